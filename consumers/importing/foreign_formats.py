"""Reads conversations in foreign formats: LoCoMo, BEAM and ChatGPT's data export.

Each reader yields everything before a broken place, then raises InvalidImport naming it. Ids come
from the file alone, so reading it again adds nothing twice.
"""

import re
import reprlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from pydantic import AliasChoices, BaseModel, Field, ValidationError

from consumers.importing.files import (
    Located,
    elements,
    pieces,
    refusing,
    storable,
)
from memory.errors import InvalidImport, InvalidInput
from memory.log.envelope import validated
from memory.models import Interaction, InteractionKind, Role, Scope

TURN_SECONDS = 30  # between turns of a conversation that dates only its sessions

CHAT_FILE = "chat.json"  # of a BEAM folder

_MONTHS = [
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
]  # fmt: skip
_SESSION_DATE = re.compile(r"(\d{1,2}):(\d{2}) ([ap]m) on (\d{1,2}) (\w+),? (\d{4})", re.IGNORECASE)
_TIME_ANCHOR = re.compile(r"(\w+)[- ](\d{1,2}),?[- ](\d{4})")
_TURN_MARKER = re.compile(r"\s*->->\s*[\w,./ ]*\)?\s*$")

_Model = TypeVar("_Model", bound=BaseModel)


# --- LoCoMo: samples of dated sessions between two people ---------------------------------------


class _LocomoTurn(BaseModel):
    speaker: str
    dia_id: str
    text: str = ""
    blip_caption: str | None = None


class _LocomoSample(BaseModel):
    sample_id: str
    conversation: dict[str, Any]


def read_locomo(path: Path, *, tenant: str, agent: str | None = None) -> Iterator[Located]:
    """Reads a list of samples; user is the sample, session `session_N`, id `<sample_id>:<dia_id>`.

    Both speakers have role user and are distinguished by actor. A picture's caption is in
    `payload["caption"]`. Sessions are dated in UTC, each turn TURN_SECONDS after the last.
    """
    for number, element in enumerate(elements(path), start=1):
        sample = _parsed(_LocomoSample, element, path, f"sample {number}")
        conversation = sample.conversation
        names = [name for name in conversation if re.fullmatch(r"session_\d+", name)]
        for name in sorted(names, key=lambda name: int(name.removeprefix("session_"))):
            with refusing(path, f"{sample.sample_id} {name}_date_time"):
                began = _session_date(conversation.get(f"{name}_date_time"))
                scope = Scope(tenant, sample.sample_id, agent, name)
            yield from _locomo_session(conversation[name], scope, began, path)


def _locomo_session(turns: Any, scope: Scope, began: datetime, path: Path) -> Iterator[Located]:
    for index, element in enumerate(turns if isinstance(turns, list) else [turns]):
        place = f"{scope.user} {scope.session} turn {index + 1}"
        turn = _parsed(_LocomoTurn, element, path, place)
        yield from _placed(
            Interaction(
                scope=scope,
                id=f"{scope.user}:{turn.dia_id}",
                kind=InteractionKind.MESSAGE,
                role=Role.USER,
                content=turn.text,
                occurred_at=began + timedelta(seconds=index * TURN_SECONDS),
                payload={"caption": turn.blip_caption} if turn.blip_caption else {},
                actor=turn.speaker,
                source="import:locomo",
            ),
            path,
            f"{scope.user} {turn.dia_id}",
        )


def _session_date(written: object) -> datetime:
    match = _SESSION_DATE.fullmatch(str(written).strip())
    if not match or (name := match[5].lower()) not in _MONTHS:
        raise InvalidInput(f"not a date like '1:56 pm on 8 May, 2023': {written!r}")
    hour = int(match[1]) % 12 + (12 if match[3].lower() == "pm" else 0)
    return datetime(
        int(match[6]), _MONTHS.index(name) + 1, int(match[4]), hour, int(match[2]), tzinfo=UTC
    )


# --- BEAM: batches of user and assistant messages -----------------------------------------------


class _BeamMessage(BaseModel):
    role: Role
    id: int | str
    content: str
    time_anchor: str | None = None


class _BeamBatch(BaseModel):
    batch_number: int | str
    turns: list[Any]
    time_anchor: str | None = None


def read_beam(
    path: Path, *, tenant: str, user: str | None = None, agent: str | None = None
) -> Iterator[Located]:
    """Reads a `chat.json` or its folder; user defaults to the folder's name, id is `<user>:<id>`.

    Session is `batch_N`. A time anchor dates its message or batch at noon UTC and holds until the
    next one, each message TURN_SECONDS after the last. Markers at the end of a message are cut off.
    """
    path = path / CHAT_FILE if path.is_dir() else path
    user = user or path.resolve().parent.name
    moment: datetime | None = None
    for number, element in enumerate(_flattened(elements(path)), start=1):
        batch = _parsed(_BeamBatch, element, path, f"batch {number}")
        messages = [
            _parsed(_BeamMessage, message, path, f"batch {batch.batch_number}, message {index}")
            for index, message in enumerate(_flattened(batch.turns), start=1)
        ]
        with refusing(path, f"batch {batch.batch_number}"):
            scope = Scope(tenant, user, agent, f"batch_{batch.batch_number}")
            anchors = [batch.time_anchor, *(message.time_anchor for message in messages)]
            moment = moment or _time_anchor(next(filter(None, anchors), None))
            if batch.time_anchor:
                moment = _on_day(_time_anchor(batch.time_anchor), moment)
        for message in messages:
            if message.time_anchor:
                with refusing(path, f"id {message.id}"):
                    moment = _on_day(_time_anchor(message.time_anchor), moment)
            yield from _placed(_beam_interaction(message, scope, moment), path, f"id {message.id}")
            moment += timedelta(seconds=TURN_SECONDS)


def _beam_interaction(message: _BeamMessage, scope: Scope, moment: datetime) -> Interaction:
    return Interaction(
        scope=scope,
        id=f"{scope.user}:{message.id}",
        kind=InteractionKind.MESSAGE,
        role=message.role,
        content=_TURN_MARKER.sub("", message.content).strip(),
        occurred_at=moment,
        source="import:beam",
    )


def _on_day(anchor: datetime, moment: datetime) -> datetime:
    return moment if anchor.date() == moment.date() else anchor


def _flattened(items: Iterable[Any]) -> Iterator[Any]:
    for item in items:
        if isinstance(item, list):
            yield from _flattened(item)
        else:
            yield item


def _time_anchor(written: str | None) -> datetime:
    match = _TIME_ANCHOR.fullmatch((written or "").strip())
    if not match or (name := match[1].lower()) not in _MONTHS:
        raise InvalidInput(f"no time anchor like 'March-15-2024': {written!r}")
    return datetime(int(match[3]), _MONTHS.index(name) + 1, int(match[2]), 12, tzinfo=UTC)


# --- ChatGPT: the data export, a tree of messages per conversation ------------------------------


class _Author(BaseModel):
    role: str
    name: str | None = None


class _Message(BaseModel):
    id: str
    author: _Author
    create_time: float | None = None
    content: dict[str, Any] | None = None
    recipient: str | None = None
    metadata: dict[str, Any] | None = None


class _Node(BaseModel):
    message: _Message | None = None
    parent: str | None = None


class _Conversation(BaseModel):
    id: str = Field(validation_alias=AliasChoices("conversation_id", "id"))
    create_time: float | None = None
    mapping: dict[str, Any]
    current_node: str | None = None


def read_chatgpt(
    path: Path, *, tenant: str, user: str, agent: str | None = None
) -> Iterator[Located]:
    """Reads the export's zip, or its `conversations.json`; one session per conversation.

    It takes the branch of every tree that was shown last, and leaves out regenerated answers and
    system, hidden and empty messages. What the assistant sent to a tool becomes a tool call, and
    the answer its tool result. A message without a time has that of the one before it.
    """
    for number, element in enumerate(elements(path), start=1):
        talk = _parsed(_Conversation, element, path, f"conversation {number}")
        with refusing(path, f"conversation {talk.id!r}"):
            scope = Scope(tenant, user, agent, talk.id)
            branch = _shown_branch(talk, path)
        seconds = talk.create_time
        for message in branch:
            seconds = message.create_time or seconds
            place = f"conversation {talk.id!r}, message {message.id!r}"
            with refusing(path, place):
                interaction = _chatgpt_interaction(message, scope, seconds)
            if interaction:
                yield from _placed(interaction, path, place)


def _shown_branch(talk: _Conversation, path: Path) -> list[_Message]:
    """The messages from the root to the current node, oldest first."""
    branch: list[_Message] = []
    seen: set[str] = set()
    name = talk.current_node or next(reversed(talk.mapping), None)
    while name is not None:
        if name not in talk.mapping or name in seen:
            raise InvalidInput(f"no path from the root to current node {talk.current_node!r}")
        seen.add(name)
        node = _parsed(_Node, talk.mapping[name], path, f"conversation {talk.id!r}, node {name!r}")
        if node.message:
            branch.append(node.message)
        name = node.parent
    return branch[::-1]


def _chatgpt_interaction(
    message: _Message, scope: Scope, seconds: float | None
) -> Interaction | None:
    """`message` as an interaction; None if the conversation did not show it."""
    text, attachments = _parts(message.content or {})
    hidden = (message.metadata or {}).get("is_visually_hidden_from_conversation")
    if hidden or message.author.role not in set(Role) - {Role.SYSTEM}:
        return None
    if not text.strip() and not attachments:
        return None
    if seconds is None:
        raise InvalidInput("neither it, one before it nor its conversation has a create_time")
    kind, payload = _chatgpt_kind(message)
    return Interaction(
        scope=scope,
        id=message.id,
        kind=kind,
        role=Role(message.author.role),
        content=text,
        occurred_at=datetime.fromtimestamp(seconds, UTC),
        payload=payload | ({"attachments": attachments} if attachments else {}),
        source="import:chatgpt",
    )


def _chatgpt_kind(message: _Message) -> tuple[InteractionKind, dict[str, Any]]:
    if message.author.role == Role.TOOL:
        return InteractionKind.TOOL_RESULT, {"tool": message.author.name or "tool"}
    if message.author.role == Role.ASSISTANT and message.recipient not in {None, "all"}:
        return InteractionKind.TOOL_CALL, {"tool": message.recipient}
    return InteractionKind.MESSAGE, {}


def _parts(content: dict[str, Any]) -> tuple[str, list[str]]:
    """The text of a message's content, and pointers to its other parts."""
    if content.get("content_type") in {"thoughts", "reasoning_recap", "user_editable_context"}:
        return "", []
    parts = content.get("parts") or [content.get("text")]
    objects = [part for part in parts if isinstance(part, dict)]
    spoken = [part["text"] for part in objects if isinstance(part.get("text"), str)]
    pointers = [part["asset_pointer"] for part in objects if part.get("asset_pointer")]
    return "\n".join([part for part in parts if isinstance(part, str)] + spoken), pointers


def _parsed(model: type[_Model], element: object, path: Path, place: str) -> _Model:
    try:
        return model.model_validate(element)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(step) for step in first["loc"]) or "value"
        found = reprlib.repr(first["input"])
        raise InvalidImport(f"{path}, {place}: {field}: {first['msg']}, got {found}") from error


def _placed(interaction: Interaction, path: Path, place: str) -> Iterator[Located]:
    """`interaction` ready to record; none if it is empty, several if it is too large.

    Foreign files have other limits than the log. So characters that Postgres cannot store become
    U+FFFD, and content over the limit continues in interactions `<id>/2`, `<id>/3`, ...
    """
    first, *others = pieces(storable(interaction.content))
    parts = [replace(interaction, content=first)] + [
        replace(interaction, id=f"{interaction.id}/{number}", content=piece, payload={})
        for number, piece in enumerate(others, start=2)
    ]
    for part in parts:
        if part.content.strip() or part.payload:
            with refusing(path, place):
                sound = validated(part)
            yield Located(sound, path, place)
