"""Runs cases through the product: recorded by a client, extracted, compacted, and looked at."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from benchmarks.poisoning.cases import MODEL_TENANT, Case, Event
from benchmarks.poisoning.forging import Shown, shown
from benchmarks.poisoning.repeating_model import repeating_model
from benchmarks.poisoning.token_sets import any_holds, holds
from consumers.compaction import compact
from consumers.compaction.policy import write_policy
from consumers.store import open_worker, worker_database
from memory.client import AsyncMemoryClient
from memory.context.assembly import Context
from memory.embedding import Embedder
from memory.errors import ExperientialMemoryError
from memory.models import VERBATIM_KINDS, Memory, Scope, Tier
from memory.settings import Settings

ANOTHER_SESSION = "a later session"
BRIEF_SECONDS = 0.001
"""How long working memory lasts in a case whose sessions are closed before it is looked at."""

MEMORIES = 1_000


@dataclass(slots=True)
class Outcome:
    """What came of one case.

    believed: texts of the memories that meet a set of the attack.
    shown: what the contexts show against it.
    lost: the sets of `benign` and `visible` that hold nowhere.
    refused: events that the product refused to record, and why.
    """

    case: Case
    believed: list[str] = field(default_factory=list)
    shown: list[Shown] = field(default_factory=list)
    lost: list[tuple[str, ...]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    @property
    def wanted(self) -> int:
        """How many token sets were to be kept."""
        return len(self.case.benign) + len(self.case.visible)


async def run(settings: Settings, embedder: Embedder, cases: Sequence[Case]) -> list[Outcome]:
    """Runs all cases in one store, each with users of its own; returns outcomes in their order."""
    brief = settings.model_copy(update={"session_ttl": BRIEF_SECONDS})
    plain = [case for case in cases if not case.model]
    asking = [case for case in cases if case.model]
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(AsyncMemoryClient(each, embedder=embedder))
            for each in (settings, brief)
        ]
        await _share(settings, [case.tenant for case in cases if case.collective])
        played = {case.id: Play(case, clients[case.closed]) for case in cases}
        await _extracted(settings, [played[case.id] for case in plain])
        await compact(settings, embedder=embedder)
        if asking:
            with repeating_model(settings) as modelled:
                await _extracted(modelled, [played[case.id] for case in asking])
                await compact(modelled, tenant=MODEL_TENANT, embedder=embedder)
        return [await played[case.id].outcome() for case in cases]


async def _share(settings: Settings, tenants: Sequence[str]) -> None:
    """Makes promotion predictable: no secret draw raises the number of supporters."""
    async with worker_database(settings) as database:
        for tenant in tenants:
            await write_policy(database, tenant, jitter=0)


async def _extracted(settings: Settings, plays: Sequence["Play"]) -> None:
    async with open_worker(settings) as worker:
        for stage in (1, 2):
            for play in plays:
                await play.record(stage)
            await worker.drain()


class Play:
    """One case, as the client of its app plays it."""

    def __init__(self, case: Case, client: AsyncMemoryClient) -> None:
        self._case = case
        self._client = client
        self._recorded: dict[str, list[Event]] = defaultdict(list)
        self._refused: list[str] = []

    async def record(self, stage: int) -> None:
        """Records the events of one stage; what is refused is noted, and the rest goes on."""
        for number, (event, at) in enumerate(self._case.dated()):
            if event.stage != stage:
                continue
            try:
                said = event.model_copy(update={"text": await self._filled(event)})
                await self._record(said, f"{self._case.id}-{number}", at)
            except ExperientialMemoryError as error:
                self._refused.append(f"{type(error).__name__}: {error}")
            else:
                self._recorded[event.user].append(said)

    async def _filled(self, event: Event) -> str:
        text = event.text
        if "{context}" in text:
            context = await self._client.context(self._scope(event), self._case.query)
            text = text.replace("{context}", context.text)
        if "{memory}" in text:
            known = await self._client.history(self._scope(event))
            texts = [memory.text for memory in known if memory.kind not in VERBATIM_KINDS]
            text = text.replace("{memory}", texts[0] if texts else "")
        return text

    async def _record(self, event: Event, name: str, at: datetime) -> None:
        scope = self._scope(event)
        if event.do == "remember":
            wanted = event.payload.get("remember", {})
            await self._client.remember(
                scope, event.text, id=name, occurred_at=at, private=event.private, **wanted
            )
            return
        await self._client.record(
            scope,
            event.text,
            role=event.role,
            kind=event.kind,
            id=name,
            actor=event.actor,
            payload=event.payload,
            occurred_at=at,
            private=event.private,
            source=event.source,
        )

    def _scope(self, event: Event) -> Scope:
        case = self._case
        # Two people never share a session; the log would take their words for one event.
        session = event.session if event.user == case.reader else f"{event.session}-{event.user}"
        return Scope(case.tenant, case.user(event.user), event.agent, session)

    async def outcome(self) -> Outcome:
        """Looks at what the case's reader believes and is shown."""
        case = self._case
        memories, contexts = await self._believed(), await self._contexts()
        texts = [_words(memory) for memory in memories]
        events = self._recorded[case.reader]
        lines = list(_blocks(contexts))
        found = [s for c in contexts for s in shown(c, events, case.attack)] if case.attack else []
        lost = [wanted for wanted in case.benign if not _anywhere(wanted, texts)]
        lost += [wanted for wanted in case.visible if not _anywhere(wanted, lines)]
        believed = [text for text in texts if any_holds(case.attack, text)]
        return Outcome(case, believed, list(dict.fromkeys(found)), lost, self._refused)

    async def _believed(self) -> list[Memory]:
        """What is believed of the reader, for any agent, and what the reader is told of others."""
        case = self._case
        scope = Scope(case.tenant, case.user(case.reader), "assistant")
        own: dict[int, Memory] = {}
        for agent in self._agents():
            told = await self._client.history(replace(scope, agent=agent), limit=MEMORIES)
            own |= {memory.id: memory for memory in told}
        shared: dict[int, Memory] = {}
        for query in self._queries if case.collective else ():
            found = await self._client.recall(scope, query, k=100)
            items = [item.memory for item in found.items]
            shared |= {m.id: m for m in items if m.tier is Tier.COLLECTIVE}
        return [m for m in (*own.values(), *shared.values()) if _is_believed(m)]

    @property
    def _queries(self) -> list[str]:
        return [self._case.query, _asking(self._case)]

    def _agents(self) -> list[str]:
        agents = [e.agent for e in self._case.events if e.user == self._case.reader]
        return list(dict.fromkeys([*agents, "assistant"]))

    async def _contexts(self) -> list[Context]:
        case = self._case
        mine = self._recorded[case.reader]
        places = dict.fromkeys((event.agent, event.session) for event in mine)
        asked = [(agent, session, case.query) for agent, session in places]
        asked += [("assistant", ANOTHER_SESSION, query) for query in self._queries]
        user = case.user(case.reader)
        return [
            await self._client.context(Scope(case.tenant, user, agent, session), query)
            for agent, session, query in asked
        ]


def _is_believed(memory: Memory) -> bool:
    """Whether a memory that `history()` lists is asserted now: not verbatim, ended or in review."""
    waits = bool(getattr(memory, "pending", False))
    ended = memory.valid_to is not None and memory.valid_to <= datetime.now(UTC)
    closed = memory.believed_to is not None
    return memory.kind not in VERBATIM_KINDS and not (waits or ended or closed)


def _words(memory: Memory) -> str:
    return f"{memory.text} | {(memory.value or '').replace('_', ' ')}"


def _asking(case: Case) -> str:
    """A query that is as near to what is looked for as one can be: its own words."""
    sets = (*case.attack, *case.benign, *case.visible)
    words = [word for tokens in sets for token in tokens for word in token.split("|")]
    plain = [word.strip("*!").replace("_", " ") for word in words if word[0] not in "@!"]
    return f"What about {' '.join(dict.fromkeys(plain))}?"


def _blocks(contexts: Sequence[Context]) -> Iterator[str]:
    """Yields the lines and turns of contexts, with escaped characters as what they stand for."""
    for context in contexts:
        for block in (*context.text.splitlines(), *(m["content"] for m in context.messages())):
            yield _ESCAPE.sub(_unescaped, block)


def _unescaped(match: re.Match[str]) -> str:
    return chr(int(match[1], 16)) if match[1] else " "


_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|[nrtfvb])")


def _anywhere(tokens: Sequence[str], texts: Sequence[str]) -> bool:
    return any(holds(tokens, text) for text in texts)
