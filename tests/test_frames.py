"""Whose words a message holds: statements are made of the person's own alone."""

import pytest

from extractors.reading.english.frames import Frame, frames, own_part
from extractors.reading.english.messages import read
from extractors.reading.english.repair import repaired

FOREIGN = {
    "reported": ("He told me: I lost my job.", Frame.OTHERS),
    "texted": ("My aunt texted: we moved to Malaga and bought a boat!", Frame.OTHERS),
    "labelled": ("Ticket #442 from Dana Fox: I moved to Denver last week.", Frame.OTHERS),
    "by the colon alone": ("Dana Fox: I am allergic to wasps", Frame.OTHERS),
    "somebody else typing": ("Hi, this is Ana's brother. I hate jazz.", Frame.OTHERS),
    "wrong window": ("I'm at the dentist until four. oops, wrong window", Frame.OTHERS),
    "signed": ("Hello,\nI live in Tulsa.\nRegards,\nBeverly Stroud", Frame.OTHERS),
    "persona": ("Here is a persona: I'm Julia and I live in Oslo.", Frame.FICTION),
    "role play": ("Let's role-play. I am a pilot and I live in Dubai.", Frame.FICTION),
    "character": ("In my novel, I live in Vienna and I hate cats.", Frame.FICTION),
    "as if": ("Talk to me as if I were a king. My castle is cold.", Frame.FICTION),
    "translation": ("Translate: I have a dog and I live in Peru.", Frame.EXERCISE),
    "homework": ("Is this sentence correct? I am living in Peru since 2010.", Frame.EXERCISE),
    "handed on": ("I recieved my diploma in 2009. Can you fix this?", Frame.EXERCISE),
    "test data": ("test test, my name is John Example", Frame.EXERCISE),
    "a prompt": ("You are a support agent. Always greet by name.", Frame.MACHINE),
    "a job": ("Cron job digest started. Always include links.", Frame.MACHINE),
    "a boot check": ("Read HEARTBEAT.md. Always reply HEARTBEAT_OK.", Frame.MACHINE),
    "data": ('{"note": "I live in Rome"}', Frame.MACHINE),
    "memory": ("Relevant memories:\n- I love cats\n\nWhat now?", Frame.REMEMBERED),
    "of the user": ("[Memory] The user lives in Lund.\nBest trip?", Frame.REMEMBERED),
    "off the record": ("Off the record, I hate my boss.", Frame.OFF_RECORD),
    "not to be kept": ("Don't remember this: I like jazz.", Frame.OFF_RECORD),
    "nor stored": ("please don't save that, my salary is 61k", Frame.OFF_RECORD),
}
OWN = (
    "I live in Graz and I work at Contoso.",
    "Fun fact: I was born on a boat.",
    "Quick intro: I'm 41 and I have one daughter.",
    "You are right, I moved to Rome.",
    "Can you remember this? I'm allergic to nuts.",
    "I said it before: my sister lives in Rome.",
    "My boss asked me to write a report, so I work late.",
)


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_is_not_the_persons_own_makes_no_statement(kind: str) -> None:
    content, frame = FOREIGN[kind]
    assert frame in {part.frame for part in frames(content)}
    assert list(read(content, None)) == []


@pytest.mark.parametrize("content", OWN)
def test_a_persons_own_words_stay_their_own(content: str) -> None:
    assert own_part(content) == content


def test_own_words_before_foreign_ones_are_read() -> None:
    content = "I live in Graz. Let's role-play. I live in Dubai."
    assert [found.claim.value for found in read(content, None)] == ["graz"]


@pytest.mark.parametrize("content", [content for content, _ in FOREIGN.values()] + list(OWN) + [""])
def test_frames_cover_a_message_without_gaps(content: str) -> None:
    parts = frames(content)
    assert "".join(content[part.start : part.end] for part in parts) == content
    assert len(own_part(content)) == len(content)


@pytest.mark.parametrize(
    ("content", "attribute", "value"),
    [
        ("I'M ALLERGIC TO NUTS", "allergic_to.nuts", "yes"),
        ("I LIVE IN BERGEN NOW", "lives_in", "bergen"),
        ("i live in hamburg now btw", "lives_in", "hamburg"),
        ("I'm Vegetarian", "is.vegetarian", "yes"),
        ("I Don't Eat Pork", "habit.eat_pork", "no"),
        ("IM ALLERGIC TO PEANUTS", "allergic_to.peanuts", "yes"),
    ],
)
def test_capitals_are_a_habit_of_typing(content: str, attribute: str, value: str) -> None:
    [found] = list(read(content, None))
    assert (found.claim.attribute, found.claim.value) == (attribute, value)


@pytest.mark.parametrize(
    "content",
    ["I'm Back", "I'm Exhausted", "I'm Pregnant!", "IM SO BORED", "I'm Team Jacob", "I am Done.",
     "Hello! I'm Curious About Sourdough", "Hi, I'm New Here", "I'm Not Sure"],
)  # fmt: skip
def test_a_state_is_no_name(content: str) -> None:
    assert "name" not in {found.claim.attribute for found in read(content, None)}


def test_people_introduce_themselves() -> None:
    for content in ("Hi! I'm Ana.", "I'm Ana, a nurse", "I'm Ana Torres", "My name is Ana"):
        assert "ana" in next(read(content, None)).claim.value


@pytest.mark.parametrize(
    "content",
    ["I moved to Team Blue last week.", "We moved to Kubernetes 1.31", "I moved to Premium.",
     "I've moved to Sales in May.", "I live in VS Code.", "I'm based in Teams.",
     "I moved to the Family plan.", "I practically live in Figma these days"],
)  # fmt: skip
def test_only_a_place_is_a_home(content: str) -> None:
    assert "lives_in" not in {found.claim.attribute for found in read(content, None)}


@pytest.mark.parametrize(
    "content", ["I LIVE IN \u0130ZM\u0130R", "i'm from \u00e9vora", "A", "", "NASA"]
)
def test_repair_keeps_the_length(content: str) -> None:
    assert len(repaired(content)) == len(content)
