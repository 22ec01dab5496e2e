"""The `memory` command: starts `consumers.cli`, or says how to install it."""

import sys

EXIT_USAGE = 2


def main() -> None:
    """Runs the command line; exits with 2 if click or rich is not installed."""
    try:
        from consumers.cli.application import memory
    except ModuleNotFoundError as error:
        if error.name not in {"click", "rich"}:
            raise
        sys.stderr.write(
            f"error: package {error.name!r} is not installed;"
            " run: pip install 'experiential-memory[cli]'\n"
        )
        sys.exit(EXIT_USAGE)
    memory(prog_name="memory")


if __name__ == "__main__":
    main()
