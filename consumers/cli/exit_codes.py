"""The exit codes of the `memory` command."""

EXIT_FAILED = 1
EXIT_CONFIGURATION = 3
EXIT_UNAVAILABLE = 4
