"""One producer: sends its part of the load over the product's bus, from where it last was sure.

It may be killed anywhere. What was sent and not yet written down as sent is sent again, as a
retrying app would.
"""

import argparse
import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast

from anyio import to_thread

from benchmarks.chaos.dying import die_with_parent
from benchmarks.chaos.extractors import DigestEmbedder
from benchmarks.chaos.load import Group, Load
from memory.bus.kafka import KafkaBus
from memory.bus.topics import Message, key_of
from memory.client import AsyncMemoryClient
from memory.errors import ExperientialMemoryError
from memory.settings import Settings

logger = logging.getLogger(__name__)

Send = Callable[[Group], Awaitable[None]]


@asynccontextmanager
async def over_kafka() -> AsyncIterator[Send]:
    """The product's producer; what is poisonous goes past its checks, and over its connection."""
    bus = KafkaBus(Settings())

    def poison(group: Group) -> None:
        assert group.key is not None
        assert group.poison is not None
        said = Message(cast("Any", None), key_of(group.key), group.poison, [])
        bus._deliver([said])

    async def send(group: Group) -> None:
        if group.poison is None:
            await bus.publish(group.messages)
        else:
            await to_thread.run_sync(poison, group)

    try:
        yield send
    finally:
        await bus.aclose()


@asynccontextmanager
async def over_postgres() -> AsyncIterator[Send]:
    """Postgres as the bus, which takes nothing poisonous."""
    async with AsyncExitStack() as stack:
        client: AsyncMemoryClient | None = None

        async def send(group: Group) -> None:
            nonlocal client
            if client is None:  # the server may be away when this process starts
                made = AsyncMemoryClient(Settings(), embedder=DigestEmbedder())
                client = await stack.enter_async_context(made)
            await client.record_many(group.messages)

        yield send


async def send_all(load: Load, producer: int, send: Send, ledger: Path, allowance: Path) -> None:
    """Sends every group in order, each until it is accepted; `ledger` counts those that were."""
    done = int(ledger.read_text()) if ledger.exists() else 0
    sent = 0
    for number, group in enumerate(load.groups(producer)):
        sent += 0 if group.again else len(group.messages)
        if number < done:
            continue
        while sent > _allowed(allowance):  # noqa: ASYNC110 - the run writes it, not this process
            await asyncio.sleep(0.1)
        await _accepted(send, group)
        _write(ledger, number + 1)


async def _accepted(send: Send, group: Group) -> None:
    while True:
        try:
            return await send(group)
        except ExperientialMemoryError as error:
            if not error.retriable:
                raise
            logger.warning("sends again: %s", error)
            await asyncio.sleep(0.2)


def _allowed(allowance: Path) -> int:
    return int(allowance.read_text() or 0)


def _write(ledger: Path, number: int) -> None:
    fresh = ledger.with_suffix(".new")
    fresh.write_text(str(number))
    fresh.replace(ledger)


async def produce(args: argparse.Namespace) -> None:
    sizes = (args.messages, args.seed, args.producers, args.users, args.poison, args.resent)
    load = Load(*sizes)
    async with AsyncExitStack() as stack:
        over = over_kafka if Settings().kafka_servers else over_postgres
        send = await stack.enter_async_context(over())
        ledger = args.directory / f"sent-{args.producer}"
        await send_all(load, args.producer, send, ledger, args.directory / "allowance")


def main() -> None:
    """Produces; ends with 0 when everything was accepted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    for name in ("messages", "seed", "producers", "users", "poison", "resent", "producer"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--directory", type=Path, required=True)
    die_with_parent()
    asyncio.run(produce(parser.parse_args()))


if __name__ == "__main__":
    main()
