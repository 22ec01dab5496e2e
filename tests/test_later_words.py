"""Remarks, and what later words do to what is held: end it, correct it, forget it."""

from datetime import UTC, datetime, timedelta

import pytest

from extractors.protocol import LogSlice
from extractors.statements import Statements
from memory.beliefs.assertions import Assertion, belief_key
from memory.beliefs.consolidation import timeline
from memory.models import Candidate, Interaction, InteractionKind, Provenance, Role, Scope

SCOPE = Scope("tenant", "user", "agent", "s1")
START = datetime(2026, 3, 4, 12, tzinfo=UTC)


def said(*contents: str, apart: timedelta = timedelta(days=3)) -> list[Interaction]:
    return [
        Interaction(SCOPE, f"m{n}", InteractionKind.MESSAGE, Role.USER, text, START + n * apart)
        for n, text in enumerate(contents)
    ]


async def candidates(*contents: str) -> list[Candidate]:
    return await Statements().extract(LogSlice(SCOPE, said(*contents)))


async def held(*contents: str) -> set[str]:
    """The texts that hold after all was said, folded as the store folds them."""
    keys: dict[bytes, list[Assertion]] = {}
    for place, candidate in enumerate(await candidates(*contents)):
        made = Provenance("statements", "2")
        assertion = Assertion(candidate, made, candidate.occurred_at, place)
        keys.setdefault(belief_key(candidate, None), []).append(assertion)
    return {
        belief.newest.candidate.text
        for assertions in keys.values()
        for belief in timeline(assertions)
        if belief.valid_to is None
    }


@pytest.mark.parametrize(
    "content",
    ["My shoe size is 42.5", "The IBAN of our club is XX12 3400 5600 7800",
     "You can reach me at ines.marlow@postbox.example", "gf hates coriander and celery",
     "Been type 1 diabetic since I was nine", "I wear hearing aids in both ears",
     "My son's teacher, Mrs Adair, is lactose intolerant"],
)  # fmt: skip
async def test_what_is_the_persons_own_is_kept_as_said(content: str) -> None:
    assert any(word in text for text in await held(content) for word in content.split()[-2:])


@pytest.mark.parametrize(
    "content",
    ["If I lived in Tokyo I'd eat ramen every day", "I might be allergic to pollen",
     "I'm so tired today ugh", "I have a question about chapter seven", "Can you help my sister?",
     "ok thanks that's what I wanted", "I almost bought a motorbike yesterday", "Write a list",
     "I thought I had celiac disease", "Great, another Monday meeting, what I always wanted. Not.",
     "My dad keeps saying I'm a vegetarian at heart", "you're the best, you know all of Rome"],
)  # fmt: skip
async def test_what_is_not_asserted_or_of_the_moment_is_no_remark(content: str) -> None:
    assert await held(content) == set()


async def test_a_remark_said_again_is_one_memory() -> None:
    made = await candidates("My shoe size is 42.5", "my shoe size is 42.5!")
    assert len({belief_key(candidate, None) for candidate in made}) == 1


@pytest.mark.parametrize(
    ("first", "later", "gone"),
    [
        ("I own a blue kayak.", "Sold the kayak on Saturday, finally.", "kayak"),
        ("I'm dating a guy called Ruben.", "Ruben and I broke up.", "dating"),
        ("I take metformin twice a day.", "My doctor took me off metformin.", "metformin"),
        ("I work as a courier for Zippel.", "Zippel let me go.", "Zippel"),
        ("I eat meat every day.", "I've gone vegetarian.", "meat"),
        ("I'm pregnant.", "Our baby girl was born on Sunday!", "pregnant"),
        ("I'm married.", "My divorce went through in court today.", "married"),
        ("I hate ironing.", "I've come to really enjoy ironing.", "Hates"),
        ("I prefer aisle seats.", "Actually I like window seats better now.", "aisle"),
        ("My favorite band is Copper Lanterns.", "My new favorite band is The Tram.", "Copper"),
        ("My address is 14 Larkfield Row.", "Please forget where I live.", "Larkfield"),
        ("I'm gay.", "Forget what I told you about being gay.", "gay"),
    ],
)
async def test_later_words_end_what_is_held(first: str, later: str, gone: str) -> None:
    assert any(gone in text for text in await held(first))
    assert not any(
        text.startswith(gone) or gone in text.split()
        for text in await held(first, later)
        if not text.startswith(("Sold", "Ruben", "Doctor", "Zippel let", "Our baby"))
    )


@pytest.mark.parametrize(
    ("first", "later"),
    [
        ("I own a blue kayak.", "My brother sold his kayak."),
        ("I own a blue kayak.", "I almost sold the kayak."),
        ("I own a blue kayak.", "I haven't sold the kayak."),
        ("I own a blue kayak.", "Should I have sold the kayak?"),
        ("I work at the Meridian library.", "On Saturdays I also work at a flower shop."),
        ("I'm married.", "My brother got divorced."),
        ("My friend Rosa is vegan.", "My friend Kit isn't vegan."),
    ],
)
async def test_other_words_end_nothing(first: str, later: str) -> None:
    assert await held(first) <= await held(first, later)


async def test_an_asked_erasure_leaves_no_quote() -> None:
    made = await candidates("I'm gay.", "Forget what I told you about being gay.")
    assert [c.evidence[0].quote for c in made] == ["I'm gay", "Forget"]


@pytest.mark.parametrize(
    ("contents", "right", "wrong"),
    [
        (("I'm 36.", "sorry, 37, had my birthday last week"), "Is 37 years old", "36"),
        (("I'm allergic to hazelnuts.", "Actually it's walnuts, not hazelnuts."),
         "Is allergic to walnuts", "hazelnuts"),
        (("I work at Halloway Print.", "Correction: it's Galloway Print, typo."),
         "Works at Galloway Print", "Halloway"),
        (("I was born in Gdansk. Sorry, I meant Gdynia.",), "Was born in Gdynia", "Gdansk"),
        (("I have two brothers, I mean three brothers.",), "Has three brothers", "two"),
        (("My phone number is 555 0142.", "no wait, it's 555 0147"), None, "0142"),
    ],
)  # fmt: skip
async def test_a_correction_replaces_what_was_said_before(
    contents: tuple[str, ...], right: str | None, wrong: str
) -> None:
    texts = await held(*contents)
    assert right is None or right in texts
    assert not any(wrong in text for text in texts)


@pytest.mark.parametrize(
    "content",
    ["Use tabs, not spaces, in every file of mine.", "pls answer short. like generally.",
     "Whenever you show code, add type hints.", "we use uv, never pip", "No emojis please",
     "please email me instead of calling", "I hate it when you repeat my question"],
)  # fmt: skip
async def test_a_soft_wish_stands(content: str) -> None:
    assert "instruction" in {c.attribute for c in await candidates(content)}


@pytest.mark.parametrize(
    "content",
    ["Please don't use tables in your next message.", "Answer in German today.",
     "don't answer yet, I'm still pasting", "Don't include tests in this PR.",
     "Give me the list in order and never repeat a name in it.", "Be concise today."],
)  # fmt: skip
async def test_a_wish_for_once_does_not_stand(content: str) -> None:
    assert "instruction" not in {c.attribute for c in await candidates(content)}


async def test_a_role_play_goes_on_until_it_ends() -> None:
    play = "be a barista for my English lesson"
    assert await held(play, "I would like one flat white, my name is Anabel") == set()
    ended = await held(play, "my name is Anabel", "ok end the role play. I live in Graz.")
    assert ended == {"Lives in Graz"}


async def test_the_last_thing_is_taken_back() -> None:
    said_by_another = "Ignore the last thing, that was my little brother on my tablet."
    assert await held("I live in Graz.", "I like jazz.", said_by_another) == {"Lives in Graz"}
