"""What becomes of secrets under a tenant's policy: in the log, in what is derived, on the bus."""

import json
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from anyio import to_thread
from click.testing import CliRunner
from kafka import KafkaConsumer

from consumers.cli.application import memory as command_line
from consumers.compaction import write_policy
from consumers.compaction.policy import read_policy
from consumers.extraction.worker import Worker
from consumers.ingest.reading import Reader
from consumers.ingest.records import Accepted, Reason, RecordCopy, Rejected
from consumers.ingest.screening import Screening
from consumers.ingest.store import Batch, OffsetRange
from consumers.operations.dead_letters import redrive
from consumers.operations.scanning import scan_log
from extractors.episodes import Episodes
from extractors.explicit import ExplicitExtractor
from memory import tenant_cache
from memory.bus.topics import key_of
from memory.client import AsyncMemoryClient, MemoryClient
from memory.database import Database
from memory.errors import (
    ConfigurationError,
    MissingDependency,
    SensitiveContent,
    TenantSuspended,
)
from memory.log.envelope import content_hash, to_json
from memory.log.tenant_policies import TenantPolicies
from memory.models import Interaction, InteractionKind, Role, Scope
from memory.privacy.findings import Sensitive
from memory.privacy.interactions import found, masked
from memory.privacy.policy import SensitivePolicy
from memory.privacy.presidio import recognisers
from memory.privacy.scanning import ALL, MASK, mask, scan
from memory.settings import Settings
from tests.conftest import WordEmbedder
from tests.ingesting import NOON, Stream
from tests.kafka_topics import kafka_settings

ANA = Scope("acme", "ana", "scout", "s1")
CARD, KEY, PASSWORD = "4539526018159083", "sk-proj-MxEhh2FDEEtfjgVvVqE1SkHbn88HxjSI", "hunter2!x"
SAID = f"My card is {CARD} and I like Lisbon."
ARGUMENTS = {"auth": {"password": PASSWORD, "headers": [f"Bearer {KEY}"]}, "card": int(CARD)}
SECRETS = (CARD, KEY, PASSWORD)


def said(content: str = SAID, **more: Any) -> Interaction:
    plain = Interaction(ANA, "m1", InteractionKind.MESSAGE, Role.USER, content, NOON)
    return replace(plain, **more)


def policy(**actions: str) -> SensitivePolicy:
    return SensitivePolicy.of(actions)


ALL_MASKED = dict.fromkeys(Sensitive, "mask")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenant_cache, "SECONDS", 0.0)


@pytest.fixture
async def store(database: Database) -> AsyncIterator[Database]:
    async with database as opened:
        yield opened


class TestText:
    def test_a_mask_keeps_the_length_and_the_lines(self) -> None:
        text = f"a {CARD}\nb my password is {PASSWORD}, ok"
        hidden = mask(text, scan(text))
        assert len(hidden) == len(text)
        assert hidden.count("\n") == 1
        assert CARD not in hidden
        assert PASSWORD not in hidden
        assert hidden.endswith(", ok")
        assert mask(hidden, scan(hidden)) == hidden

    @pytest.mark.parametrize(
        "written",
        [
            " ".join(CARD), "\u200b".join(CARD), CARD[:8] + "\u00ad" + CARD[8:],
            "".join(chr(ord(digit) - ord("0") + 0xFF10) for digit in CARD),
            "".join(chr(ord(digit) - ord("0") + 0x0660) for digit in CARD),
            "\u00a0".join(CARD[n : n + 4] for n in range(0, 16, 4)),
            "\u2011".join(CARD[n : n + 4] for n in range(0, 16, 4)),
        ],
    )  # fmt: skip
    def test_unusual_writing_hides_no_card(self, written: str) -> None:
        (finding,) = scan(f"pay {written} now", {Sensitive.PAYMENT_CARD})
        assert finding == (Sensitive.PAYMENT_CARD, 4, 4 + len(written))

    def test_only_what_is_wanted_is_found(self) -> None:
        assert scan(SAID, {Sensitive.EMAIL}) == ()

    def test_a_number_of_a_card_is_no_telephone(self) -> None:
        assert scan(f"call {CARD}", {Sensitive.PHONE}) == ()


class TestInteractions:
    def test_payload_and_actor_are_masked_too(self) -> None:
        hidden = masked(said(payload=ARGUMENTS, actor="ann@example.com"), ALL)
        written = json.dumps([hidden.content, hidden.payload, hidden.actor])
        assert not any(secret in written for secret in (*SECRETS, "ann@example"))
        assert len(hidden.content) == len(SAID)
        assert hidden.payload["auth"].keys() == {"password", "headers"}

    @pytest.mark.parametrize(
        "payload",
        [
            {"card": 4111111111111111.0},
            {"password": {"value": PASSWORD}},
            {"result": json.dumps({"password": PASSWORD})},
            {"result": json.dumps(json.dumps({"password": PASSWORD, "user": "ann"}))},
            {"result": json.dumps(json.dumps(json.dumps({"password": PASSWORD})))},
        ],
    )
    def test_values_in_other_wrappings_are_masked(self, payload: dict[str, object]) -> None:
        written = json.dumps(masked(said("Hello", payload=payload), ALL).payload)
        assert PASSWORD not in written
        assert "4111111" not in written

    def test_what_holds_nothing_is_the_same_object(self) -> None:
        plain = said("I like Lisbon.", payload={"n": [1, 2.5, 2e9, None, True, "x", 12345]})
        assert masked(plain, ALL) is plain

    def test_places_hold_no_value(self) -> None:
        places = {f.place for f in found(said(payload={"to": {"ann@example.com": PASSWORD}}), ALL)}
        assert "content" in places
        assert not any("ann@" in place for place in places)

    def test_a_refusal_names_class_and_place_and_no_value(self) -> None:
        with pytest.raises(SensitiveContent) as raised:
            policy(**dict.fromkeys(["password"], "refuse")).to_write(
                said("Hello", payload=ARGUMENTS)
            )
        assert raised.value.classes == ("password",)
        assert raised.value.place == "payload.auth.password"
        assert PASSWORD not in str(raised.value)

    def test_the_strictest_policies_hide_what_the_log_held_before(self) -> None:
        for action in ("mask", "mask_in_log", "refuse"):
            assert CARD not in policy(payment_card=action).to_derive(said()).content


class TestPolicy:
    async def test_an_unknown_class_or_action_is_refused(self, store: Database) -> None:
        for wanted in ({"tattoo": "mask"}, {"email": "burn"}):
            with pytest.raises(ConfigurationError):
                await write_policy(store, ANA.tenant, sensitive=wanted)
        assert (await read_policy(store, ANA.tenant)).sensitive == {}

    def test_the_database_keeps_no_unknown_action(self, superuser: psycopg.Connection) -> None:
        with pytest.raises(psycopg.errors.CheckViolation):
            superuser.execute(
                "INSERT INTO memory.tenants (tenant_id, policy)"
                """ VALUES ('t', '{"sensitive": {"email": "burn"}}')"""
            )


def everything(superuser: psycopg.Connection, *, log: bool) -> str:
    """Every row of the store as text, with or without the log."""
    names = superuser.execute(
        "SELECT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace"
        " WHERE relkind IN ('r', 'p') AND nspname = 'memory'"
    ).fetchall()
    return "".join(
        str(superuser.execute(f"SELECT t::text FROM memory.{name} t").fetchall())
        for (name,) in names
        if log or name != "interactions"
    )


class TestStore:
    async def test_without_a_policy_everything_stays(self, async_client: AsyncMemoryClient) -> None:
        await async_client.record(ANA, SAID, payload=ARGUMENTS)
        (kept,) = await async_client.interactions(ANA)
        assert kept.content == SAID
        assert kept.payload == ARGUMENTS

    async def test_mask_keeps_the_log_and_hides_all_that_is_derived(
        self,
        store: Database,
        async_client: AsyncMemoryClient,
        settings: Settings,
        superuser: psycopg.Connection,
    ) -> None:
        await write_policy(store, ANA.tenant, sensitive=ALL_MASKED)
        await async_client.record(ANA, SAID, payload=ARGUMENTS)
        for n in range(12):
            await async_client.record(ANA, f"My password is {PASSWORD}. {'word ' * 200}{n}")
        memory = await async_client.remember(ANA, f"The key is {KEY}", attribute="key", value=KEY)
        assert KEY not in f"{memory.text}{memory.value}"
        extractors = [ExplicitExtractor(), Episodes()]
        await Worker(store, async_client._embedder, extractors, settings).drain()  # type: ignore[arg-type]
        derived = everything(superuser, log=False)
        assert MASK in derived
        assert not any(secret in derived for secret in SECRETS)
        assert (await async_client.interactions(ANA))[0].content == SAID
        shown = await async_client.context(Scope("acme", "ana", "scout", "s2"), "card Lisbon?")
        assert "Lisbon" in shown.text
        assert not any(secret in shown.text for secret in SECRETS)
        for evidence in (await async_client.explain(ANA, memory.id)).evidence:
            assert evidence.quote == mask(f"The key is {KEY}", scan(f"The key is {KEY}"))

    async def test_the_session_itself_shows_the_turn_as_it_was_said(
        self, store: Database, async_client: AsyncMemoryClient
    ) -> None:
        await write_policy(store, ANA.tenant, sensitive=ALL_MASKED)
        await async_client.record(ANA, SAID)
        assert CARD in (await async_client.context(ANA, "card")).text

    async def test_masked_quotes_are_no_breach(
        self, store: Database, async_client: AsyncMemoryClient, superuser: psycopg.Connection
    ) -> None:
        await write_policy(store, ANA.tenant, sensitive=ALL_MASKED)
        await async_client.remember(ANA, f"100% of the_key is {KEY}")
        params = {"users": [ANA.user]}
        assert await store.fetch(ANA, "verification.wrong_quotes", params) == []
        superuser.execute("UPDATE memory.evidence SET quote = 'x' || substr(quote, 2)")
        superuser.commit()
        assert len(await store.fetch(ANA, "verification.wrong_quotes", params)) == 1

    @pytest.mark.parametrize("action", ["mask_in_log", "refuse"])
    async def test_the_strict_actions_keep_it_out_of_the_store(
        self,
        store: Database,
        async_client: AsyncMemoryClient,
        superuser: psycopg.Connection,
        action: str,
    ) -> None:
        await write_policy(store, ANA.tenant, sensitive=dict.fromkeys(Sensitive, action))
        if action == "refuse":
            with pytest.raises(SensitiveContent, match="payment card, in content"):
                await async_client.record(ANA, SAID)
            with pytest.raises(SensitiveContent):
                await async_client.remember(ANA, SAID)
            plain = said("Hello", id="m0")
            with pytest.raises(SensitiveContent):
                await async_client.record_many([plain, said()])
            assert await async_client.interactions(ANA) == []
        else:
            await async_client.record(ANA, SAID, payload=ARGUMENTS, id="m1")
            assert (await async_client.record(ANA, SAID, payload=ARGUMENTS, id="m1")).duplicate
            await async_client.remember(ANA, f"My key is {KEY}")
            assert MASK in (await async_client.interactions(ANA))[0].content
        held = everything(superuser, log=True)
        assert not any(secret in held for secret in SECRETS)

    def test_the_blocking_client_obeys_as_well(
        self, client: MemoryClient, superuser: psycopg.Connection
    ) -> None:
        client.record(ANA, SAID)
        superuser.execute(
            "INSERT INTO memory.tenants (tenant_id, policy)"
            """ VALUES ('acme', '{"sensitive": {"payment_card": "refuse"}}')"""
        )
        superuser.commit()
        with pytest.raises(SensitiveContent):
            client.record(ANA, SAID)
        client.record(Scope("other", "ana", session="s"), SAID)

    async def test_a_scan_counts_and_names_nothing(
        self, store: Database, async_client: AsyncMemoryClient
    ) -> None:
        await async_client.record(ANA, SAID, payload=ARGUMENTS)
        await async_client.record(ANA, "Hello")
        await async_client.record(Scope("other", "ana", session="s"), SAID)
        scanned = await scan_log(store, ANA.tenant)
        assert scanned.interactions == 2
        assert scanned.holding == {"payment_card": 1, "password": 1, "api_key": 1}
        assert scanned.values["payment_card"] == 2
        assert not any(secret in repr(scanned) for secret in SECRETS)


class _Store:
    """What tells a screening the policies; the tests of ingestion read them from a database."""

    def __init__(self, **actions: str) -> None:
        self._policy = policy(**actions)

    def sensitive(self, tenants: list[str]) -> dict[str, SensitivePolicy]:
        return {t: self._policy if t == ANA.tenant else policy() for t in tenants}


class _SuspendedLater:
    """A store that tells a policy once, and then serves the tenant no more."""

    def __init__(self, **actions: str) -> None:
        self._answers: list[list[dict[str, Any]]] = [[{"actions": actions, "recognisers": None}]]

    async def fetch(self, scope: Scope, name: str) -> list[dict[str, Any]]:
        if not self._answers:
            raise TenantSuspended(f"tenant {scope.tenant!r} is suspended")
        return self._answers.pop()


async def test_a_policy_outlives_the_service_of_its_tenant() -> None:
    policies = TenantPolicies(_SuspendedLater(payment_card="mask_in_log"), passes=True)  # type: ignore[arg-type]
    for _ in range(3):
        (written,) = await policies.to_write([said()])
        assert CARD not in written.content


def read(*records: RecordCopy) -> Batch:
    range_ = OffsetRange(0, 1, 0, len(records))
    for record in records:
        entry = Reader("t").read(record)
        (range_.accepted if isinstance(entry, Accepted) else range_.rejected).append(entry)  # type: ignore[arg-type]
    return Batch.of([range_])


def record(value: str, offset: int = 0) -> RecordCopy:
    return RecordCopy(0, offset, -1, key_of(ANA), value.encode(), [("note", CARD.encode())])


def screened(batch: Batch, **actions: str) -> tuple[list[Accepted], list[Rejected]]:
    (range_,) = Screening().screened(_Store(**actions), batch).ranges  # type: ignore[arg-type]
    return range_.accepted, range_.rejected


class TestBus:
    def test_a_refused_message_is_a_dead_letter_whose_copy_is_masked(self) -> None:
        accepted, (letter,) = screened(
            read(record(to_json(said(payload=ARGUMENTS)))),
            **dict.fromkeys(["payment_card", "password"], "refuse"),
        )
        assert accepted == []
        assert letter.reason is Reason.SENSITIVE
        assert "payment card" in letter.detail
        copy = f"{letter.detail}{letter.record.value!r}{letter.record.headers!r}"
        assert CARD not in copy
        assert PASSWORD not in copy
        again = Reader("t").read(letter.record)
        assert isinstance(again, Accepted)
        assert len(again.incoming.interaction.content) == len(SAID)

    def test_mask_in_log_masks_what_other_senders_send(self) -> None:
        (entry,), rejected = screened(read(record(to_json(said()))), payment_card="mask_in_log")
        assert rejected == []
        assert CARD not in entry.incoming.interaction.content
        assert CARD.encode() not in entry.row
        assert entry.incoming.content_hash == content_hash(entry.incoming.interaction)

    @pytest.mark.parametrize("value", [f"no JSON {CARD}", json.dumps({"content": SAID})])
    def test_copies_of_other_dead_letters_are_masked(self, value: str) -> None:
        _, (letter,) = screened(read(record(value)), payment_card="refuse")
        assert letter.reason is not Reason.SENSITIVE
        assert CARD.encode() not in (letter.record.value or b"")

    def test_mask_alone_and_other_tenants_change_no_message(self) -> None:
        batch = read(record(to_json(said())))
        assert screened(batch, payment_card="mask")[0][0].incoming == batch.accepted[0].incoming
        other = replace(said(), scope=Scope("other", "ana", session="s"))
        theirs = replace(record(to_json(other)), key=key_of(other.scope))
        batch = read(theirs)
        assert Screening().screened(_Store(payment_card="refuse"), batch) is batch  # type: ignore[arg-type]


@pytest.mark.kafka
class TestIngestion:
    async def test_a_policy_holds_for_what_others_send(
        self, kafka: str, url: str, store: Database, superuser: psycopg.Connection
    ) -> None:
        stream = Stream(kafka_settings(kafka, url, partitions=1), url)
        await write_policy(
            store, ANA.tenant, sensitive={"payment_card": "refuse", "password": "mask_in_log"}
        )
        told = replace(said(f"My password is {PASSWORD}"), id="m2")
        await to_thread.run_sync(stream.send, said(), told, replace(said("Hello"), id="m3"))
        counts = await to_thread.run_sync(stream.drain)
        assert (counts.appended, counts.set_aside) == (2, 1)
        (letter,) = stream.letters()
        assert letter["reason"] == "sensitive"
        assert (letter["user_id"], letter["interaction_id"]) == ("ana", "m1")
        held = everything(superuser, log=True)
        assert not any(secret.encode().hex() in held for secret in SECRETS)
        assert not any(secret in held for secret in SECRETS)
        done = await redrive(store, stream.settings, None)
        assert (done.appended, done.refused) == (1, [])
        assert [name for name, _, _ in stream.log(ANA)] == ["m2", "m3", "m1"]

    async def test_the_client_masks_before_the_bus(
        self, kafka: str, url: str, store: Database, embedder: WordEmbedder
    ) -> None:
        stream = Stream(kafka_settings(kafka, url, partitions=1), url)
        await write_policy(store, ANA.tenant, sensitive={"payment_card": "mask_in_log"})
        async with AsyncMemoryClient(stream.settings, embedder=embedder) as client:
            await client.record(ANA, SAID)
            assert CARD not in (await client.context(ANA, "card")).text
        values = await to_thread.run_sync(sent, stream)
        assert len(values) == 1
        assert CARD.encode() not in values[0]


def sent(stream: Stream) -> list[bytes]:
    """The values in the topic."""
    consumer = KafkaConsumer(
        stream.topic,
        bootstrap_servers=list(stream.settings.kafka_servers or ()),
        auto_offset_reset="earliest",
        consumer_timeout_ms=5_000,
    )
    values = [record.value for record in consumer]
    consumer.close()
    return values


def test_the_command_line_sets_a_policy_and_scans(
    client: MemoryClient, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMORY_DATABASE_URL", url)
    client.record(ANA, SAID)

    def run(*words: str) -> Any:
        done = CliRunner().invoke(command_line, [*words, "--json"], prog_name="memory")
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    assert run("tenants", "policy", "acme")["sensitive"] == {}
    run("tenants", "policy", "acme", "--sensitive", "all=mask", "--sensitive", "email=keep")
    changed = run("tenants", "policy", "acme", "--sensitive", "phone=refuse")["sensitive"]
    masked_all = {sensitive.value: "mask" for sensitive in Sensitive}
    assert changed == masked_all | {"email": "keep", "phone": "refuse"}
    scanned = run("scan", "--tenant", "acme")
    assert (scanned["interactions"], scanned["holding"]) == (1, {"payment_card": 1})
    wrong = CliRunner().invoke(command_line, ["tenants", "policy", "acme", "--sensitive", "x=y"])
    assert wrong.exit_code == 2


class TestPresidio:
    NUMBER = "My tax file number is 876 543 210."

    @pytest.mark.optional
    def test_its_recognisers_are_asked_where_a_policy_names_them(self) -> None:
        pytest.importorskip("presidio_analyzer")
        wants = {"national_id": "mask"}
        assert SensitivePolicy.of(wants).to_derive(said(self.NUMBER)).content == self.NUMBER
        hidden = SensitivePolicy.of(wants, ["presidio"]).to_derive(said(self.NUMBER)).content
        assert hidden == f"My tax file number is {MASK * 11}."

    def test_without_the_extra_nothing_is_written(self, monkeypatch: pytest.MonkeyPatch) -> None:
        recognisers.cache_clear()
        monkeypatch.setitem(sys.modules, "presidio_analyzer", None)
        with pytest.raises(MissingDependency, match="presidio"):
            SensitivePolicy.of({"email": "mask_in_log"}, ["presidio"]).to_write(said())
