"""The `memory` command: hands over to `consumers.cli`, or says how to install it."""

import sys

EXIT_USAGE = 2


def main() -> None:
    """Runs the command line; exits 2 where the packages it is drawn with are not installed."""
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
