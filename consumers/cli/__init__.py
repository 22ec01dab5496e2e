"""The `memory` command line: parses, calls, and prints; the work itself lives in the other rooms.

May import every room of `consumers`, `extractors` and `memory`.
Must never hold logic that a program could not call as well.
"""
