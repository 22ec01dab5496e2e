"""The command group: imports each command when it runs, and turns errors into exit codes."""

import json
import logging
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from keyword import iskeyword
from typing import Any, NoReturn

import click

from consumers.cli.exit_codes import EXIT_CONFIGURATION, EXIT_FAILED, EXIT_UNAVAILABLE
from consumers.runtime import logs
from consumers.runtime.terminal import plain, printable_json
from memory.errors import ConfigurationError, ExperientialMemoryError

logger = logging.getLogger(__name__)

if find_spec("rich") is None:  # it is imported late, but missed early
    raise ModuleNotFoundError("No module named 'rich'", name="rich")


COMMANDS = {  # each in the module of its name, and its line in `memory --help`
    "demo": "Run a sample through the whole system.",
    "import": "Import conversations from a file and extract memories.",
    "record": "Append one interaction to the log.",
    "recall": "Rank a user's memories for a question.",
    "context": "Assemble what the next model call should know.",
    "explain": "Show the evidence behind a memory.",
    "history": "List current or former beliefs about a user.",
    "retract": "Retract interactions, without deleting them.",
    "restore": "Undo a retraction.",
    "review": "Review what tools, documents and pasted text propose.",
    "forget": "Forget a memory, a session, or a user permanently.",
    "ingest": "Write a Kafka topic to the log.",
    "dead-letters": "Inspect and redrive messages that could not be applied.",
    "extract": "Derive memories from new interactions.",
    "compact": "Run maintenance jobs: merge, promote, retain, verify …",
    "generations": "List the generations and the users they serve.",
    "replay": "Derive a generation from the log beside the live one.",
    "diff": "Compare the memories of two generations.",
    "shift": "Let a replayed generation serve a share of the users.",
    "rollback": "Give every user back to the live generation, at once.",
    "promote": "Make a generation that serves all users the live one.",
    "retire": "Remove a generation and all its memories.",
    "trust": "Say whose words an interaction is, and how far it is trusted.",
    "tenants": "Say which tenants are served and how much each may take; pause or throttle one.",
    "roles": "Make and list the logins of apps, workers and backups.",
    "scan": "Count the secrets and personal data in a tenant's log.",
    "topics": "Create the Kafka topics, or print the schema of their messages.",
    "store": "Show or renew the identity of the store.",
    "migrate": "Migrate the database to this release.",
    "backup": "Dump a store, and compare a restored one.",
    "changes": "Publish changes of memories to other systems.",
    "reembed": "Move the store to another embedder while it serves.",
    "costs": "Show the costs of model calls.",
    "calls": "List model calls, with the text of unusable answers.",
    "prompts": "Compare the prompts of this release with those used before.",
    "status": "Show positions, lag, and sessions set aside.",
}


class CommandGroup(click.Group):
    """The commands of `COMMANDS`, each imported when it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Returns the names, in the order in which a new user tries them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Returns the command, or None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        module = import_module(
            f"consumers.cli.{name}_" if iskeyword(name) else f"consumers.cli.{name}"
        )
        command = getattr(module, f"{name}_command")
        assert isinstance(command, click.Command)  # noqa: S101 - our own table
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Lists the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def main(self, args: Sequence[str] | None = None, *more: Any, **extra: Any) -> NoReturn:
        """Runs one command and exits with its code; prints errors as one line or as JSON."""
        given = list(sys.argv[1:] if args is None else args)
        extra["standalone_mode"] = False
        try:
            code = super().main(given, *more, **extra)
        except click.exceptions.NoArgsIsHelpError as error:  # the page of help, not a fault
            click.echo(error.format_message(), err=True)
            code = error.exit_code
        except click.ClickException as error:
            _report(error, f"{error.format_message()}{_hint(error)}", given)
            code = error.exit_code
        except click.Abort as error:
            _report(error, "aborted", given)
            code = EXIT_FAILED
        except ExperientialMemoryError as error:
            _report(error, "; ".join([str(error), *getattr(error, "__notes__", ())]), given)
            code = exit_code(error)
        sys.exit(code if isinstance(code, int) else 0)


def exit_code(error: ExperientialMemoryError) -> int:
    """Returns the exit code for `error`."""
    if isinstance(error, ConfigurationError):  # a refused login is retriable as well
        return EXIT_CONFIGURATION
    return EXIT_UNAVAILABLE if error.retriable else EXIT_FAILED


def _hint(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f" (see {context.command_path} --help)" if context else ""


def _report(error: Exception, message: str, given: Sequence[str]) -> None:
    line = " ".join(message.split())
    # Looked up in the words themselves: after a usage error nothing has been parsed.
    if "--json" in given:
        document = {"error": {"type": type(error).__name__, "message": line}}
        click.echo(printable_json(json.dumps(document, ensure_ascii=False)))
    elif logs.as_json():
        logger.error("%s", line, extra={"event": "failed", "figures": {"error": logs.named(error)}})
    else:
        click.echo(f"error: {plain(line)}", err=True)


EPILOG = """\b
Try first:
  memory demo
\b
Exit codes:
  0  done
  1  refused or failed: bad input, failed sessions, a limit of `status` exceeded
  2  usage error: unknown option, missing argument
  3  configuration error: change the installation or the database first
  4  unavailable: the same call may succeed later
\b
Settings are MEMORY_* variables. MEMORY_DATABASE_URL names a Postgres server; without it,
an embedded server keeps its data in MEMORY_DATA_DIR.
"""


@click.group(cls=CommandGroup, epilog=EPILOG, context_settings={"max_content_width": 100})
@click.version_option(package_name="experiential-memory", prog_name="memory")
@click.option(
    "--verbose", is_flag=True, help="Log every step to stderr, and where errors came from."
)
@click.option(
    "--log-format",
    type=click.Choice([form.value for form in logs.LogFormat]),
    envvar="MEMORY_LOG_FORMAT",
    show_envvar=True,
    default=logs.LogFormat.TEXT.value,
    show_default=True,
    help="How lines on stderr look.",
)
def memory(verbose: bool, log_format: str) -> None:
    """Memory for AI agents: record interactions, derive memories, recall them with citations.

    Every command takes --json, which prints one JSON document to stdout, errors included;
    progress and messages go to stderr.
    """
    logs.to_stderr(logs.LogFormat(log_format), verbose=verbose)
