"""Defines the options that commands share, and runs a command's work."""

import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from typing import TypeVar, TypeVarTuple

import anyio
import click

from consumers.cli import output
from consumers.runtime.health import HealthAddress
from memory.bus.freshness import TIMEOUT
from memory.models import Receipt
from memory.settings import APP_NAME, Settings

T = TypeVar("T")
Args = TypeVarTuple("Args")

tenant_option = click.option(
    "--tenant",
    envvar="MEMORY_TENANT",
    show_envvar=True,
    default="default",
    show_default=True,
    help="Tenant.",
)
any_tenant_option = click.option(
    "--tenant",
    envvar="MEMORY_TENANT",
    show_envvar=True,
    help="Only this tenant. Default: all tenants.",
)
user_option = click.option("--user", required=True, help="User.")
agent_option = click.option(
    "--agent", help="Agent of the scope; its private memories are included."
)
after_option = click.option(
    "--after", help="Wait until the answer reflects this receipt, printed by `record --json`."
)
wait_option = click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=TIMEOUT,
    show_default=True,
    help="Longest wait for --after, in seconds.",
)


def moment(_: click.Context, param: click.Parameter, text: str | None) -> datetime | None:
    """Parses a time option; the library refuses a time without a zone."""
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError as error:
        sample = datetime.now(UTC).isoformat(timespec="seconds")
        raise click.BadParameter(f"{text!r} is not like {sample}", param=param) from error


as_of_option = click.option(
    "--as-of", callback=moment, metavar="TIME", help="What held at this time; ISO 8601 with a zone."
)
believed_at_option = click.option(
    "--believed-at",
    callback=moment,
    metavar="TIME",
    help="What was believed at this time, before anything learned or retracted since.",
)
health_options = [
    click.option(
        "--health-port",
        type=click.IntRange(min=0, max=65_535),
        envvar="MEMORY_HEALTH_PORT",
        show_envvar=True,
        help="Answer /healthz and /readyz on this port; 0 takes a free one. Default: nowhere.",
    ),
    click.option(
        "--health-host",
        envvar="MEMORY_HEALTH_HOST",
        show_envvar=True,
        default=HealthAddress.host,
        show_default=True,
        help="The address to answer on.",
    ),
]
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def health_option(command: Callable[..., None]) -> Callable[..., None]:
    """Adds --health-port and --health-host, handed to the command as `health: HealthAddress`."""

    @wraps(command)
    def with_address(*, health_port: int | None, health_host: str, **given: object) -> None:
        command(**given, health=HealthAddress(health_host, health_port))

    for option in reversed(health_options):
        with_address = option(with_address)
    return with_address


def receipt_of(after: str | None) -> Receipt | None:
    """Parses the receipt of `--after`.

    Raises:
        InvalidInput: it is not a receipt.
    """
    return Receipt.from_json(after) if after is not None else None


def example(*lines: str) -> str:
    """Returns the end of a command's help: commands to copy."""
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)


def configured() -> Settings:
    """Reads the settings from the environment.

    Raises:
        ConfigurationError: a MEMORY_* variable cannot be read; the message names it.
    """
    return _named(Settings())


def _named(settings: Settings) -> Settings:
    """Lets the server show which command its connections belong to."""
    if settings.application_name is not None:
        return settings
    context, command = click.get_current_context(), ""
    while context.parent is not None:  # the first one is the program, however it was called
        context, command = context.parent, f"/{context.info_name}{command}"
    return settings.model_copy(update={"application_name": f"{APP_NAME}{command}"})


def run(work: Callable[[*Args], Awaitable[T]], *arguments: *Args) -> T:
    """Runs `work`; SIGTERM interrupts it as SIGINT does, so that leases are released."""
    with _interrupted_by_sigterm():
        return anyio.run(work, *arguments)


@contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # A script's background job ignores SIGINT, and so would ignore a SIGINT that we raise.
    interrupted = signal.signal(signal.SIGINT, signal.default_int_handler)
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, interrupted)


@dataclass
class Stopped:
    """Whether a signal ended the work."""

    early: bool = False


@contextmanager
def stopping_at_signals() -> Iterator[Stopped]:
    """Ends the block at SIGTERM and SIGINT, so that the command can still say what it did."""
    stopped = Stopped()
    with _interrupted_by_sigterm():
        try:
            yield stopped
        except KeyboardInterrupt:
            stopped.early = True


def fail_on(failures: int) -> None:
    """Ends the command with exit code 1 if extraction failed on sessions."""
    if failures:
        output.say(
            f"error: extraction failed {failures} times; run `memory extract` to retry;"
            " `memory status` lists the sessions set aside"
        )
        click.get_current_context().exit(1)


def names(text: str | None) -> list[str] | None:
    """Splits a comma-separated list; returns None if none is given."""
    return [name.strip() for name in text.split(",") if name.strip()] if text else None
