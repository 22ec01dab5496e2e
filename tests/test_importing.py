"""Files in four formats become interactions; a broken place stops them and loses nothing before."""

import json
import tracemalloc
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.importing import importer as importing
from consumers.importing.files import Located, pieces
from consumers.importing.foreign_formats import read_beam, read_chatgpt, read_locomo
from consumers.importing.importer import (
    Format,
    ImportReport,
    detect_format,
    import_interactions,
    read,
    read_jsonl,
)
from memory.errors import InteractionConflict, InvalidImport, InvalidScope
from memory.log.envelope import (
    MAX_CONTENT_BYTES,
    MAX_ENVELOPE_BYTES,
    content_hash,
    to_json,
)
from memory.models import Interaction, InteractionKind, Receipt, Role, Scope

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def an_interaction(number: int, user: str = "ana") -> Interaction:
    return Interaction(
        Scope("northwind", user, "scout", "s1"),
        f"{user}-{number}",
        InteractionKind.MESSAGE,
        Role.USER,
        f"Message {number}",
        NOON + timedelta(minutes=number),
    )


def imported(interaction: Interaction) -> Interaction:
    """As a file brings it: what a client recorded says nothing of where it comes from."""
    return replace(interaction, source="import:jsonl")


def a_jsonl(path: Path, lines: Iterable[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def a_json(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value))
    return path


def until_broken(placed: Iterable[Located]) -> tuple[list[Located], str]:
    before: list[Located] = []
    try:
        for item in placed:
            before.append(item)  # noqa: PERF402 - kept although the reader breaks
    except InvalidImport as error:
        return before, str(error)
    pytest.fail("the reader found nothing broken")


class RecorderInMemory:
    """Keeps interactions by id and refuses an id that comes back with other content."""

    def __init__(self) -> None:
        self.log: dict[str, Interaction] = {}
        self.batches: list[int] = []

    async def record_many(self, interactions: Sequence[Interaction]) -> list[Receipt]:
        self.batches.append(len(interactions))
        before = set(self.log)
        kept = [self.log.setdefault(interaction.id, interaction) for interaction in interactions]
        for known, interaction in zip(kept, interactions, strict=True):
            if content_hash(known) != content_hash(interaction):
                raise InteractionConflict(f"{interaction.id!r} came back with other content")
        place = len(self.log)
        return [Receipt(one.id, one.session, place, place, one.id in before) for one in kept]


# --- our own format ---


def test_jsonl_gives_each_line_with_its_number(tmp_path: Path) -> None:
    sent = [an_interaction(n) for n in range(3)]
    lines = [to_json(sent[0]), "", to_json(sent[1]) + "\r", "  ", to_json(sent[2])]
    path = a_jsonl(tmp_path / "log.jsonl", lines)
    placed = list(read_jsonl(path))
    assert [item.interaction for item in placed] == [imported(i) for i in sent]
    assert [str(item) for item in placed] == [f"{path}, line {n}" for n in (1, 3, 5)]


def test_jsonl_may_start_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "windows.jsonl"
    path.write_text(to_json(an_interaction(1)), encoding="utf-8-sig")
    assert [item.interaction for item in read(path)] == [imported(an_interaction(1))]


def test_jsonl_lines_without_a_scope_take_the_given_one(tmp_path: Path) -> None:
    line = {"id": "1", "session": "s", "content": "hi", "occurred_at": "2026-03-02T12:00:00Z"}
    path = a_jsonl(tmp_path / "log.jsonl", [json.dumps(line), json.dumps(line | {"user": "bram"})])
    scopes = [item.interaction.scope for item in read_jsonl(path, tenant="t", user="u", agent="a")]
    assert scopes == [Scope("t", "u", "a", "s"), Scope("t", "bram", "a", "s")]


@pytest.mark.parametrize("defaults", [{}, {"tenant": "t"}])
@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"id": "3", "tenant": ', "Invalid JSON"),
        ('{"id": 3}', "id: Input should be a valid string, got 3"),
        ("[1, 2]", "should be an object"),
        ('{"a":' * 3000, "recursion limit"),
        ("x" * (MAX_ENVELOPE_BYTES + 9), "the limit is 4,194,304"),
    ],
)
def test_a_broken_line_is_named_after_all_before_it(
    tmp_path: Path, line: str, says: str, defaults: dict[str, str]
) -> None:
    sent = [to_json(an_interaction(n)) for n in range(4)]
    path = a_jsonl(tmp_path / "log.jsonl", [*sent[:2], line, *sent[2:]])
    before, message = until_broken(read_jsonl(path, **defaults))
    assert [item.interaction.id for item in before] == ["ana-0", "ana-1"]
    assert f"{path}, line 3: " in message
    assert says in message


@pytest.mark.not_quick
def test_jsonl_is_read_in_the_memory_of_a_line(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    with path.open("w") as file:
        for number in range(20_000):
            file.write(to_json(an_interaction(number)) + "\n")
    tracemalloc.start()
    count = sum(1 for _ in read_jsonl(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 20_000
    assert peak < path.stat().st_size / 5


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for broken in (lambda path: list(read_jsonl(path)), detect_format):
        with pytest.raises(InvalidImport, match=r"nowhere\.jsonl.*No such file"):
            broken(tmp_path / "nowhere.jsonl")


# --- LoCoMo ---


def a_sample(**sessions: Any) -> dict[str, Any]:
    turns = [
        {"speaker": "Rosa", "dia_id": "D1:1", "text": "I adopted a greyhound."},
        {"speaker": "Piet", "dia_id": "D1:2", "text": "Nice!", "blip_caption": "a grey dog"},
    ]
    conversation = {"speaker_a": "Rosa", "speaker_b": "Piet"} | sessions
    conversation |= {"session_1_date_time": "12:09 am on 8 May, 2023", "session_1": turns}
    return {"sample_id": "conv-7", "conversation": conversation, "qa": []}


def test_locomo_turns_keep_their_dialog_ids_speakers_and_dates(tmp_path: Path) -> None:
    later = [{"speaker": "Piet", "dia_id": f"D10:{n}", "text": f"turn {n}"} for n in (1, 2)]
    sample = a_sample(
        session_10_date_time="1:56 pm on 30 November, 2023",
        session_10=later,
        session_2_date_time="12:30 pm on 9 May, 2023",
        session_2=[{"speaker": "Rosa", "dia_id": "D2:1", "text": "Hello again"}],
        session_11_date_time="1:00 pm on 1 December, 2023",
    )
    path = a_json(tmp_path / "locomo.json", [sample])
    assert detect_format(path) is Format.LOCOMO
    read_back = [item.interaction for item in read(path, tenant="t", agent="scout")]
    assert [i.id.removeprefix("conv-7:") for i in read_back] == [
        "D1:1", "D1:2", "D2:1", "D10:1", "D10:2",
    ]  # fmt: skip
    assert read_back[1].scope == Scope("t", "conv-7", "scout", "session_1")
    assert (read_back[1].role, read_back[1].actor) == (Role.USER, "Piet")
    assert read_back[1].payload == {"caption": "a grey dog"}
    assert [i.occurred_at.isoformat() for i in read_back] == [
        "2023-05-08T00:09:00+00:00",
        "2023-05-08T00:09:30+00:00",
        "2023-05-09T12:30:00+00:00",
        "2023-11-30T13:56:00+00:00",
        "2023-11-30T13:56:30+00:00",
    ]


@pytest.mark.parametrize(
    ("sessions", "says"),
    [
        ({"session_2": []}, "conv-7 session_2_date_time: not a date like"),
        ({"session_2": [], "session_2_date_time": "31 Smarch"}, "'31 Smarch'"),
        ({"session_2": [], "session_2_date_time": "1:00 pm on 30 February, 2023"}, "day"),
        (
            {"session_2": [{"text": "hi"}], "session_2_date_time": "1:00 pm on 8 May, 2023"},
            "conv-7 session_2 turn 1: speaker: Field required",
        ),
    ],
)
def test_a_broken_locomo_session_is_named(
    tmp_path: Path, sessions: dict[str, Any], says: str
) -> None:
    path = a_json(tmp_path / "locomo.json", [a_sample(**sessions)])
    before, message = until_broken(read_locomo(path, tenant="t"))
    assert [item.place for item in before] == ["conv-7 D1:1", "conv-7 D1:2"]
    assert says in message


# --- BEAM ---

BEAM = [
    {
        "batch_number": 1,
        "time_anchor": None,
        "turns": [
            [
                {"role": "user", "id": 0, "time_anchor": "March-15-2024",
                 "content": "I chose SQLite for the budget app. ->-> 1,1"},
                {"role": "assistant", "id": 1, "content": "  A sound choice.  "},
            ],
            {"role": "user", "id": 2, "content": "And Flask? ->-> 2,N/A"},
        ],
    },
    [{"batch_number": 2, "turns": [[{"role": "user", "id": 3, "content": "Still there -> yes"}]]}],
    {
        "batch_number": 3,
        "turns": [[{"role": "user", "id": 4, "time_anchor": "April 5, 2024", "content": "Done"}]],
    },
    {
        "batch_number": 4,
        "time_anchor": "May-01-2024",
        "turns": [[{"role": "user", "id": 5, "content": "Shipped"}]],
    },
]  # fmt: skip


def test_beam_messages_keep_their_ids_and_lose_their_markers(tmp_path: Path) -> None:
    (tmp_path / "17").mkdir()
    path = a_json(tmp_path / "17" / "chat.json", BEAM)
    assert detect_format(path) is detect_format(path.parent) is Format.BEAM
    placed = list(read(path.parent, tenant="t"))
    assert placed == list(read_beam(path, tenant="t", user="17"))
    found = [item.interaction for item in placed]
    assert [i.id for i in found] == ["17:0", "17:1", "17:2", "17:3", "17:4", "17:5"]
    assert [i.session for i in found] == ["batch_1"] * 3 + ["batch_2", "batch_3", "batch_4"]
    assert [i.content for i in found] == [
        "I chose SQLite for the budget app.",
        "A sound choice.",
        "And Flask?",
        "Still there -> yes",
        "Done",
        "Shipped",
    ]
    first, *later = (
        datetime(2024, month, day, 12, tzinfo=UTC) for month, day in [(3, 15), (4, 5), (5, 1)]
    )
    steps = [first + timedelta(seconds=30 * n) for n in range(4)]
    assert [i.occurred_at for i in found] == [*steps, *later]


def test_beam_without_any_time_is_refused(tmp_path: Path) -> None:
    batch = {"batch_number": 1, "turns": [{"role": "user", "id": 0, "content": "hi"}]}
    path = a_json(tmp_path / "chat.json", [batch])
    before, message = until_broken(read_beam(path, tenant="t"))
    assert not before
    assert "batch 1: no time anchor like 'March-15-2024': None" in message


def test_beam_with_an_unknown_role_is_refused_by_place(tmp_path: Path) -> None:
    batch = BEAM[0] | {"turns": [{"role": "boss", "id": 0, "content": "hi"}]}  # type: ignore[operator]
    path = a_json(tmp_path / "chat.json", [batch])
    _, message = until_broken(read_beam(path, tenant="t"))
    assert "batch 1, message 1: role: " in message


def test_foreign_content_over_the_limit_goes_on_in_further_interactions(tmp_path: Path) -> None:
    essay = "so it goes\n" * (MAX_CONTENT_BYTES // 5)
    turn = {"role": "user", "id": 5, "time_anchor": "March-15-2024", "content": essay}
    path = a_json(tmp_path / "chat.json", [{"batch_number": 1, "turns": [turn]}])
    found = [item.interaction for item in read_beam(path, tenant="t", user="u")]
    assert [i.id for i in found] == ["u:5", "u:5/2", "u:5/3"]
    assert "".join(i.content for i in found) == essay.strip()


@given(st.text(alphabet="ab é語🙂\n", max_size=60), st.integers(4, 20))
def test_pieces_fit_and_lose_nothing(text: str, limit: int) -> None:
    cut = pieces(text, limit)
    assert "".join(cut) == text
    assert all(len(piece.encode()) <= limit for piece in cut)


# --- ChatGPT ---


def a_node(
    name: str, parent: str | None, role: str = "user", text: str = "", **changes: Any
) -> dict[str, Any]:
    message = {
        "id": name,
        "author": {"role": role, "name": None, "metadata": {}},
        "create_time": 1772452800.5,
        "update_time": None,
        "content": {"content_type": "text", "parts": [text]},
        "status": "finished_successfully",
        "end_turn": True,
        "weight": 1.0,
        "metadata": {},
        "recipient": "all",
        "channel": None,
    }
    return {"id": name, "message": message | changes, "parent": parent, "children": []}


def a_conversation(*nodes: dict[str, Any], **changes: Any) -> dict[str, Any]:
    root: dict[str, Any] = {"id": "root", "message": None, "parent": None, "children": []}
    conversation = {
        "title": "Trip to Porto",
        "create_time": 1772452700.0,
        "update_time": 1772453000.0,
        "mapping": {node["id"]: node for node in (root, *nodes)},
        "moderation_results": [],
        "current_node": nodes[-1]["id"],
        "conversation_id": "67c4-aa",
        "id": "67c4-aa",
    }
    return conversation | changes


PICTURE = {
    "content_type": "multimodal_text",
    "parts": [
        {"content_type": "image_asset_pointer", "asset_pointer": "file-service://file-1"},
        "Where was this taken?",
    ],
}


def a_talk() -> dict[str, Any]:
    return a_conversation(
        a_node("hidden", "root", "system", metadata={"is_visually_hidden_from_conversation": True}),
        a_node("ask", "hidden", text="I am going to Porto in May."),
        a_node("first-try", "ask", "assistant", "Porto is in Spain."),
        a_node("answer", "ask", "assistant", "Lovely! May is mild.", create_time=1772452860.0),
        a_node("thinking", "answer", "assistant",
               content={"content_type": "thoughts", "thoughts": [{"summary": "weather"}]}),
        a_node("call", "thinking", "assistant", create_time=None, recipient="python",
               content={"content_type": "code", "language": "unknown", "text": "print(1 + 1)"}),
        a_node("result", "call", "tool", author={"role": "tool", "name": "python"},
               content={"content_type": "execution_output", "text": "2"}),
        a_node("picture", "result", content=PICTURE, create_time=1772452990.0),
        a_node("empty", "picture", "assistant", ""),
        a_node("last", "empty", "assistant", "At the \ud83d river\x00.", create_time=1772453000.0),
    )  # fmt: skip


def test_chatgpt_gives_the_branch_that_was_shown(tmp_path: Path) -> None:
    path = a_json(tmp_path / "conversations.json", [a_talk()])
    assert detect_format(path) is Format.CHATGPT
    found = [item.interaction for item in read(path, tenant="t", user="me")]
    assert [i.id for i in found] == ["ask", "answer", "call", "result", "picture", "last"]
    assert {i.scope for i in found} == {Scope("t", "me", None, "67c4-aa")}
    by_id = {i.id: i for i in found}
    assert by_id["ask"].occurred_at == datetime(2026, 3, 2, 12, 0, 0, 500_000, tzinfo=UTC)
    assert (by_id["answer"].role, by_id["answer"].kind) == ("assistant", "message")
    assert (by_id["call"].kind, by_id["call"].payload) == ("tool_call", {"tool": "python"})
    assert (by_id["result"].kind, by_id["result"].role) == ("tool_result", "tool")
    assert (by_id["result"].content, by_id["result"].payload) == ("2", {"tool": "python"})
    assert by_id["picture"].content == "Where was this taken?"
    assert by_id["picture"].payload == {"attachments": ["file-service://file-1"]}
    assert by_id["last"].content == "At the \ufffd river\ufffd."


def test_a_chatgpt_message_without_a_time_has_that_of_the_one_before(tmp_path: Path) -> None:
    talk = a_conversation(
        a_node("a", "root", text="one", create_time=None),
        a_node("b", "a", text="two", create_time=1772452800.0),
        a_node("c", "b", text="three", create_time=None),
    )
    path = a_json(tmp_path / "conversations.json", [talk])
    times = [item.interaction.occurred_at for item in read_chatgpt(path, tenant="t", user="u")]
    assert times == [NOON - timedelta(seconds=100), NOON, NOON]


def test_a_chatgpt_zip_is_read_in_all_its_files(tmp_path: Path) -> None:
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in (1, 0):
            talk = a_conversation(a_node(f"m{number}", "root", text="hi"))
            archive.writestr(f"conversations-00{number}.json", json.dumps([talk]))
        archive.writestr("shared_conversations.json", "[]")
        archive.writestr("user.json", "{}")
    assert detect_format(path) is Format.CHATGPT
    found = [item.interaction.id for item in read(path, tenant="t", user="u")]
    assert found == ["m0", "m1"]


@pytest.mark.parametrize(
    ("talk", "says"),
    [
        (a_conversation(a_node("x", "lost", text="hi")), "no path from the root"),
        (a_conversation(a_node("x", "x", text="hi")), "no path from the root"),
        (a_conversation(a_node("x", "root"), mapping=None), "conversation 2: mapping"),
        (a_conversation(a_node("x", "root", author={})), "node 'x': message.author.role"),
        (a_conversation(a_node("x", "root", text="hi", create_time=1e99)), "message 'x'"),
        (
            a_conversation(a_node("x", "root", text="hi", create_time=None), create_time=None),
            "message 'x': neither it",
        ),
    ],
)
def test_a_broken_chatgpt_conversation_is_named_after_those_before(
    tmp_path: Path, talk: dict[str, Any], says: str
) -> None:
    path = a_json(tmp_path / "conversations.json", [a_talk(), talk])
    before, message = until_broken(read_chatgpt(path, tenant="t", user="u"))
    assert len(before) == 6
    assert says in message


# --- any JSON array ---


@pytest.mark.parametrize("cut", [1, 40, 200])
def test_half_a_json_file_gives_its_whole_elements_and_names_the_line(
    tmp_path: Path, cut: int
) -> None:
    talks = [a_conversation(a_node(f"m{n}", "root", text="hi")) for n in range(3)]
    text = "[" + ",\n".join(json.dumps(talk) for talk in talks)
    path = tmp_path / "conversations.json"
    path.write_text(text[:-cut])
    before, message = until_broken(read_chatgpt(path, tenant="t", user="u"))
    assert [item.interaction.id for item in before] == ["m0", "m1"]
    assert "element 3, line 3: " in message


def test_elements_larger_than_the_reading_window_are_whole(tmp_path: Path) -> None:
    talks = [a_conversation(a_node(f"m{n}", "root", text="é" * 150_000)) for n in range(4)]
    path = tmp_path / "conversations.json"
    path.write_text(json.dumps(talks, ensure_ascii=False, indent=1))
    found = [item.interaction for item in read_chatgpt(path, tenant="t", user="u")]
    assert [i.id for i in found if "/" not in i.id] == ["m0", "m1", "m2", "m3"]
    assert sum(len(i.content) for i in found) == 600_000


@pytest.mark.parametrize(
    "text", ["", "hello", "[]", "[1, 2]", '[{"a": 1}]', '["x"]', "[", "\x00", "PK\x03\x04"]
)
def test_a_file_in_no_format_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "strange.txt"
    path.write_text(text)
    with pytest.raises(InvalidImport, match=r"strange\.txt"):
        detect_format(path)


def test_a_file_of_other_encoding_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "latin.json"
    path.write_bytes(json.dumps([a_sample()], ensure_ascii=False).encode("utf-16"))
    with pytest.raises(InvalidImport, match=r"latin\.json.*codec"):
        detect_format(path)


@pytest.mark.parametrize(
    ("form", "missing"),
    [(Format.LOCOMO, "tenant"), (Format.BEAM, "tenant"), (Format.CHATGPT, "tenant")],
)
def test_a_format_that_names_no_tenant_asks_for_one(
    tmp_path: Path, form: Format, missing: str
) -> None:
    with pytest.raises(InvalidScope, match=f"{form} format names no {missing}"):
        read(tmp_path, form=form)
    with pytest.raises(InvalidScope, match="chatgpt format names no user"):
        read(tmp_path, form=Format.CHATGPT, tenant="t")


# --- recording ---


async def test_an_import_records_in_batches_and_tells_its_progress(tmp_path: Path) -> None:
    sent = [an_interaction(n, user) for n in range(5) for user in ("ana", "bram")]
    path = a_jsonl(tmp_path / "log.jsonl", map(to_json, sent))
    recorder, seen = RecorderInMemory(), list[ImportReport]()
    report = await import_interactions(recorder, read(path), batch_size=4, progress=seen.append)
    assert list(recorder.log.values()) == [imported(i) for i in sent]
    assert recorder.batches == [4, 4, 2]
    assert [step.read for step in seen] == [4, 8, 10]
    assert report == seen[-1] == ImportReport(accepted=10, duplicates=0)


async def test_large_interactions_make_small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "BATCH_CHARACTERS", 1_000)
    long = replace(an_interaction(1), content="long " * 200)
    heavy = replace(an_interaction(3), payload={"result": "x" * 990})
    sent = [an_interaction(0), long, an_interaction(2), heavy, an_interaction(4)]
    recorder = RecorderInMemory()
    report = await import_interactions(recorder, (Located(i, Path("made-up"), "") for i in sent))
    assert recorder.batches == [2, 2, 1]
    assert report.accepted == 5


async def test_the_next_batch_is_read_while_one_is_recorded() -> None:
    read_on, waited = Event(), list[bool]()

    def reading() -> Iterator[Located]:
        for n in range(3):
            if n == 2:
                read_on.set()
            yield Located(an_interaction(n), Path("made-up"), "")

    class Waiting(RecorderInMemory):
        async def record_many(self, interactions: Sequence[Interaction], /) -> list[Receipt]:
            waited.append(await anyio.to_thread.run_sync(read_on.wait, 20))
            return await super().record_many(interactions)

    report = await import_interactions(Waiting(), reading(), batch_size=2)
    assert waited == [True, True]
    assert report.accepted == 3


async def test_an_empty_import_records_nothing() -> None:
    recorder = RecorderInMemory()
    assert await import_interactions(recorder, []) == ImportReport()
    assert recorder.batches == []


async def test_half_a_file_imports_up_to_the_bad_line_and_resumes_without_doubling(
    tmp_path: Path,
) -> None:
    lines = [to_json(an_interaction(n)) for n in range(7)]
    path = a_jsonl(tmp_path / "log.jsonl", [*lines[:5], lines[5][:30], lines[6]])
    recorder = RecorderInMemory()
    with pytest.raises(InvalidImport, match=r"line 6: .*5 accepted, 0 already there before it"):
        await import_interactions(recorder, read(path), batch_size=3)
    assert list(recorder.log) == [f"ana-{n}" for n in range(5)]

    a_jsonl(path, lines)
    report = await import_interactions(recorder, read(path), batch_size=3)
    assert report == ImportReport(accepted=2, duplicates=5)
    assert list(recorder.log) == [f"ana-{n}" for n in range(7)]


async def test_a_refused_id_is_reported_by_place_and_does_not_stop_the_others(
    tmp_path: Path,
) -> None:
    path = a_jsonl(tmp_path / "log.jsonl", (to_json(an_interaction(n)) for n in range(6)))
    recorder = RecorderInMemory()
    recorder.log["ana-3"] = replace(an_interaction(3), content="Something else")
    report = await import_interactions(recorder, read(path), batch_size=2)
    assert report.refused == (f"{path}, line 4: 'ana-3' came back with other content",)
    assert recorder.log["ana-3"].content == "Something else"
    assert sorted(recorder.log) == [f"ana-{n}" for n in range(6)]
    assert report.read == 6
    assert str(report) == "4 accepted, 1 already there, 1 refused"


@pytest.mark.parametrize("reader", [
    lambda path: read_locomo(a_json(path, [a_sample()]), tenant="t"),
    lambda path: read_beam(a_json(path, BEAM), tenant="t", user="u"),
    lambda path: read_chatgpt(a_json(path, [a_talk()]), tenant="t", user="u"),
])  # fmt: skip
async def test_importing_a_foreign_file_again_doubles_nothing(
    tmp_path: Path, reader: Callable[[Path], Iterable[Located]]
) -> None:
    recorder = RecorderInMemory()
    first = await import_interactions(recorder, reader(tmp_path / "file.json"))
    second = await import_interactions(recorder, reader(tmp_path / "file.json"))
    assert first.accepted > 0
    assert second == ImportReport(accepted=0, duplicates=first.accepted)


def test_a_time_years_ahead_is_refused_by_place_after_all_before_it(tmp_path: Path) -> None:
    ahead = replace(an_interaction(2), occurred_at=datetime(2999, 1, 1, tzinfo=UTC))
    path = a_jsonl(tmp_path / "chat.jsonl", [to_json(an_interaction(1)), to_json(ahead)])
    recorder = RecorderInMemory()
    with pytest.raises(InvalidImport, match=r"line 2: occurred_at must be at most 3,653 days"):
        anyio.run(import_interactions, recorder, read(path))
    assert [i.id for i in recorder.log.values()] == ["ana-1"]
