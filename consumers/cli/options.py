"""Options that commands share, and how a command's work is run."""

import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TypeVar, TypeVarTuple

import anyio
import click
from pydantic import ValidationError

from memory.bus.freshness import TIMEOUT
from memory.errors import ConfigurationError
from memory.models import Receipt
from memory.settings import Settings

T = TypeVar("T")
Args = TypeVarTuple("Args")

tenant_option = click.option(
    "--tenant",
    envvar="MEMORY_TENANT",
    show_envvar=True,
    default="default",
    show_default=True,
    help="Whose store this is.",
)
any_tenant_option = click.option(
    "--tenant", envvar="MEMORY_TENANT", show_envvar=True, help="Only this tenant; else every one."
)
user_option = click.option("--user", required=True, help="Whose memory.")
agent_option = click.option("--agent", help="As this agent: what is private to it counts too.")
after_option = click.option(
    "--after", help="Wait until the answer reflects this receipt, as `record --json` prints it."
)
wait_option = click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=TIMEOUT,
    show_default=True,
    help="With --after: at most so many seconds.",
)


def moment(_: click.Context, param: click.Parameter, text: str | None) -> datetime | None:
    """What an option takes as a time; the library refuses one that has no zone."""
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError as error:
        sample = datetime.now(UTC).isoformat(timespec="seconds")
        raise click.BadParameter(f"{text!r} is not like {sample}", param=param) from error


as_of_option = click.option(
    "--as-of", callback=moment, metavar="TIME", help="What held then; ISO 8601 with a zone."
)
believed_at_option = click.option(
    "--believed-at",
    callback=moment,
    metavar="TIME",
    help="What was believed then, whatever was learned or retracted since.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def receipt_of(after: str | None) -> Receipt | None:
    """The receipt that `--after` gives.

    Raises:
        InvalidInput: it is none.
    """
    return Receipt.from_json(after) if after is not None else None


def example(*lines: str) -> str:
    """The end of a command's help: commands to copy."""
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)


def configured() -> Settings:
    """The settings that the environment gives.

    Raises:
        ConfigurationError: a MEMORY_* variable cannot be read; the message names it.
    """
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = "_".join(["MEMORY", *(str(step) for step in first["loc"])]).upper()
        # A value that may be secret stays out of the message.
        secret = any(word in name for word in ("URL", "KEY", "KAFKA_OPTIONS"))
        value = "" if secret else f", got {first['input']!r}"
        raise ConfigurationError(f"{name}: {first['msg']}{value}") from error


def run(work: Callable[[*Args], Awaitable[T]], *arguments: *Args) -> T:
    """Runs a command's async work to its end."""
    return anyio.run(work, *arguments)


@contextmanager
def stopping_at_signals(follow: bool) -> Iterator[None]:
    """SIGTERM, as SIGINT, ends a follower in good order; anything else it ends with exit code 1."""
    if not follow:
        yield
        return
    # What a script starts in the background ignores SIGINT, and with it what we make of SIGTERM.
    interrupted = signal.signal(signal.SIGINT, signal.default_int_handler)
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        with suppress(KeyboardInterrupt):
            yield
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, interrupted)


def fail_on(failures: int) -> None:
    """Ends the command with exit code 1 where extraction failed on sessions."""
    if failures:
        click.echo(
            f"error: extraction failed {failures} times; `memory extract` tries again,"
            " `memory status` lists those given up",
            err=True,
        )
        click.get_current_context().exit(1)


def names(text: str | None) -> list[str] | None:
    """A comma-separated list; None for none given."""
    return [name.strip() for name in text.split(",") if name.strip()] if text else None
