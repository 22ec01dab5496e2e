"""Statements: a table of what is said and what it claims, and of what must claim nothing."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from extractors.protocol import LogSlice, Reading
from extractors.reading.english.own_words import NOT_THEIRS
from extractors.statements import create, stated
from memory import explicit_memories
from memory.beliefs.assertions import Assertion
from memory.beliefs.consolidation import timeline
from memory.models import (
    Candidate,
    Interaction,
    InteractionKind,
    MemoryKind,
    Provenance,
    Role,
    Scope,
    Stance,
)
from memory.settings import Settings

THURSDAY = datetime(2023, 5, 25, 13, 14, tzinfo=UTC)
SCOPE = Scope("tenant", "user", session="session")


def message(
    content: str, *, role: Role = Role.USER, actor: str | None = None, at: datetime = THURSDAY
) -> Interaction:
    kind = InteractionKind.MESSAGE
    return Interaction(SCOPE, "m1", kind, role, content, at, actor=actor)


def found(content: str, actor: str | None = None) -> list[Candidate]:
    """The candidates of a message, without the withdrawal that goes with every instruction."""
    candidates = stated(message(content, actor=actor))
    return [c for c in candidates if not c.text.startswith("Withdrawn")]


def pairs(content: str) -> set[str]:
    """`attribute = value`, with a minus in front where the evidence contradicts."""
    return {
        f"{'- ' if c.stance is Stance.CONTRADICTS else ''}{c.attribute} = {c.value}"
        for c in found(content)
    }


SAID = [
    # who and where
    ("My name is Ana Ferreira.", "name = ana ferreira"),
    ("I'm Craig, a hands-on developer.", "name = craig"),
    ("my name is anna", "name = anna"),
    ("Please call me Sam.", "called = sam"),
    ("It says Abraham on my badge, but call me Bram.", "called = bram"),
    ("I'm 34 years old.", "age = 34"),
    ("I'm 44 and new to this.", "age = 44"),
    ("I just turned 30.", "age = 30"),
    ("My birthday is 5 May.", "birthday = 5 may"),
    ("I was born in Ohio.", "born_in = ohio"),
    ("I was born on 5 May 1990.", "birthday = 5 may 1990"),
    ("I live in Lisbon.", "lives_in = lisbon"),
    ("Actually, I live in Lisbon now.", "lives_in = lisbon"),
    ("i live in berlin", "lives_in = berlin"),
    ("I'm based in São Paulo.", "lives_in = são paulo"),
    ("I\u2019ve lived in Madrid since 2019.", "lives_in = madrid"),
    ("I'm originally from Kenya.", "from = kenya"),
    ("I grew up in Leeds.", "grew_up_in = leeds"),
    ("My time zone is CET.", "time_zone = cet"),
    ("My email is ana@example.com.", "email = ana@example.com"),
    ("I speak German, French and Dutch.", "speaks.french = yes"),
    ("I'm fluent in Polish.", "speaks.polish = yes"),
    # work
    ("I work at Siemens.", "works_at = siemens"),
    ("I work for a small bakery.", "works_at = small bakery"),
    ("I work as a data engineer at Acme Corp.", "job_title = data engineer"),
    ("I work as a data engineer at Acme Corp.", "works_at = acme corp"),
    ("I'm a nurse at St. Mary's Hospital.", "job_title = nurse"),
    ("I'm a senior recruiter here at Northwind.", "works_at = northwind"),
    ("I started working at Acme in March.", "works_at = acme"),
    ("I joined Acme as a designer.", "job_title = designer"),
    ("I got promoted to team lead in April.", "job_title = team lead"),
    ("I was made hiring lead last week.", "job_title = hiring lead"),
    ("I hire data engineers for Tolvaert.", "habit.hire_data_engineers_for_tolvaert = yes"),
    # health and diet
    ("I'm allergic to peanuts and shellfish.", "allergic_to.shellfish = yes"),
    ("Remember that I'm allergic to nuts.", "allergic_to.nuts = yes"),
    ("I'm not allergic to nuts.", "allergic_to.nuts = no"),
    ("I'm vegetarian.", "is.vegetarian = yes"),
    ("I am lactose intolerant.", "is.lactose_intolerant = yes"),
    ("I have asthma.", "has.asthma = yes"),
    ("I can't have dairy.", "can.have_dairy = no"),
    ("I never drink alcohol.", "habit.drink_alcohol = no"),
    # family and belongings
    ("I have two kids and a dog named Rex.", "has.kids = two"),
    ("I have two kids and a dog named Rex.", "dog.name = rex"),
    ("I don't have any kids.", "has.kids = no"),
    ("My wife's called Mia.", "wife.name = mia"),
    ("I'm German.", "remark.im_german = yes"),
    ("My sister Anna lives in Rome.", "sister.anna.lives_in = rome"),
    ("My sister Anna lives in Rome.", "sister.name = anna"),
    ("My daughter Bianca turned six today.", "daughter.bianca.age = 6"),
    ("My kids love dinosaurs.", "kids.taste.dinosaurs = likes"),
    ("How do I thank my mentor, Robert, who's 75?", "mentor.name = robert"),
    ("I'm married to Tom.", "relationship_status = married"),
    ("I got divorced last year.", "relationship_status = divorced"),
    # tastes and preferences
    ("I love hiking with my family.", "taste.hiking_with_family = likes"),
    ("I hate suits.", "taste.suits = dislikes"),
    ("I don't like mushrooms.", "taste.mushrooms = dislikes"),
    ("I can't stand cilantro.", "taste.cilantro = dislikes"),
    ("I'm not a fan of horror movies.", "taste.horror_movies = dislikes"),
    ("I'm really into pottery.", "taste.pottery = likes"),
    ('"The Hobbit" is one of my favorites.', "taste.hobbit = likes"),
    ("My favourite colour is blue.", "favourite.colour = blue"),
    ("I prefer tea to coffee.", "prefers.coffee_or_tea = tea"),
    ("I prefer coffee over tea.", "prefers.coffee_or_tea = coffee"),
    ("I'd rather walk than drive.", "prefers.drive_or_walk = walk"),
    ("I prefer short outreach messages.", "prefers.short_outreach_messages = yes"),
    ("I prefer diagrams to fully grasp an idea.", "prefers.diagrams = yes"),
    ("I'm using Vue 3 and I prefer it over React.", "prefers.react_or_vue_3 = vue 3"),
    ("I'm considering video samples like I prefer.", "prefers.video_samples = yes"),
    ("Keep in mind my preference for plain CSS.", "prefers.plain_css = yes"),
    ("I'm passionate about dance.", "passionate_about.dance = yes"),
    # tools and skills
    ("I use Figma for mockups.", "uses.figma = yes"),
    ("I'm using Flask 2.3.1 and SQLite 3.39, can you help?", "uses.sqlite_3_39 = yes"),
    ("I don't use LinkedIn any more.", "uses.linkedin = no"),
    ("We switched from Slack to Teams last week.", "uses.slack = no"),
    ("We switched from Slack to Teams last week.", "uses.teams = yes"),
    ("I'm learning Portuguese.", "learning.portuguese = yes"),
    ("I play the clarinet.", "plays.clarinet = yes"),
    # corrections and retractions
    ("I moved from Berlin to Munich.", "lives_in = munich"),
    ("I moved from Berlin to Munich.", "- lives_in = berlin"),
    ("I don't live in Berlin anymore.", "- lives_in = berlin"),
    ("I no longer work at Google.", "- works_at = google"),
    ("I used to work for Google.", "- works_at = google"),
    ("I lost my job yesterday.", "- works_at = None"),
    ("I left Google in May.", "- works_at = google"),
    ("I don't like running any more.", "- taste.running = likes"),
    ("I quit smoking in January.", "habit.smoke = no"),
    ("I gave up coffee.", "habit.coffee = no"),
    ("I no longer work from Tuesday to Thursday.", "habit.work_from_tuesday_to_thursday = no"),
    # plans, wishes and decisions
    ("I'm planning to run a marathon in October.", "plans.run_marathon = yes"),
    ("I'm going to visit Japan next spring.", "plans.visit_japan = yes"),
    ("I'm going to Lisbon on 24 April.", "plans.go_to_lisbon = yes"),
    ("I'll visit my parents next weekend.", "plans.visit_parents = yes"),
    ("I'm planning a trip to Oslo.", "plans.trip_to_oslo = yes"),
    ("I have a dentist appointment on Friday.", "plans.dentist_appointment = yes"),
    ("I need to renew my passport by June 3.", "plans.renew_passport = yes"),
    ("I want to learn the piano.", "wants.learn_piano = yes"),
    ("I'm thinking of adopting a dog.", "considers.adopt_dog = yes"),
    ("I've decided to learn Rust.", "decided.learn_rust = yes"),
    ("My goal is to run a half marathon.", "goal = to run a half marathon"),
    # events
    ("I ran a charity race last Saturday.", "did.run_charity_race = 2023-05-20"),
    ("Last Saturday I ran a charity race.", "did.run_charity_race = 2023-05-20"),
    ("Just started doing aerial yoga!", "did.start_doing_aerial_yoga = yes"),
    ("My wife and I adopted a puppy.", "did.adopt_puppy = yes"),
    ("I've never written any Flask routes.", "never.write_flask_routes = yes"),
    ("I've been practicing the violin.", "doing.practice_violin = yes"),
    ("I haven't been to Edinburgh yet.", "visited.edinburgh = no"),
    # numbers and dates
    ("Our API latency is now averaging 250ms.", "api_latency = 250ms"),
    ("I improved my quiz score from 70% to 90%.", "quiz_score = 90%"),
    ("The page load time has dropped from 3s to 1.2s.", "page_load_time = 1.2s"),
    ("My deadline is next Monday.", "deadline = 2023-05-29"),
    ("The deadline for the report is 3 June.", "deadline.report = 2023-06-03"),
    ("I have a deadline of June 15 to finish the MVP.", "deadline.finish_mvp = 2023-06-15"),
    ("The first sprint ends on May 29.", "first_sprint.ends = 2023-05-29"),
    ("The shortlist is now due on 10 June.", "shortlist.date = 2023-06-10"),
    ("Our launch got moved to June 12.", "launch.date = 2023-06-12"),
    # behind a question
    ("I live in Oslo, can you find me a gym?", "lives_in = oslo"),
    ("Where can I eat, considering I'm vegan?", "is.vegan = yes"),
]


@pytest.mark.parametrize(("content", "claim"), SAID)
def test_a_statement_is_read(content: str, claim: str) -> None:
    assert claim in pairs(content)


NOT_SAID = [
    # questions
    "Do you think I should move to Rome?",
    "I live in Rome?",
    "Would I like it if I moved to Rome?",
    "Did you know that I lived in Rome?",
    "Can you explain why I failed and I lost?",
    # conditions and wishes
    "If I lived in Rome, I would be happy.",
    "If I lived there I would walk to work every day.",
    "I wish I lived in Rome and I had a dog.",
    "I might move to Vienna one day.",
    "I could live in Rome.",
    "I would work at Google.",
    "Unless I move to Rome, I keep my car.",
    "Suppose I work at Google.",
    "Imagine I live on Mars. I have three dogs.",
    "Act as a pirate. I love rum.",
    "For example, I live in Rome.",
    # other people
    "She said I live in Rome.",
    "My friend says he lives in Oslo.",
    "Sven says he hates Java.",
    "He told me I work at Google, and I love it.",
    "Only my mother says Abraham.",
    "You live in Rome.",
    "They love pizza.",
    # quoted and pasted
    'He wrote "I live in Rome" on the wall.',
    "> I live in Rome",
    "Translate this: I live in Rome and I work at Fiat.",
    "```\nI live in Rome\n```",
    "Can you fix this?\nDear team,\nI live in Rome.",
    "Look:\nSubject: me\nI live in Rome.",
    "Ana: I live in Rome.\nBen: I live in Oslo.",
    "`I live in Rome`",
    # jokes
    "Yeah, right, I love Mondays.",
    "I love Mondays. Just kidding!",
    # pleasantries, feelings and talk
    "I have a question.",
    "I'm so tired.",
    "I love your painting!",
    "I love it.",
    "I love that.",
    "I like the first one.",
    "I think you're right.",
    "I appreciate your help.",
    "I'll do my best.",
    "I did it!",
    "We can do this together!",
    "I went there.",
    "I got it.",
    "I'm glad you asked.",
    "I hope you like it.",
    "I took a lot of photos.",
    "I'm trying to understand this.",
    "I want to make sure it works.",
    "I need help.",
    "I'm having trouble with the layout.",
    "Got it, thanks!",
    "Thanks, I will!",
    # nothing of the speaker's
    "The weather is nice.",
    "Rome is a city.",
    "",
    "...",
    "I",
    "My",
    "my my my",
]


@pytest.mark.parametrize("content", NOT_SAID)
def test_nothing_is_believed_that_was_not_said(content: str) -> None:
    assert pairs(content) == set()


INSTRUCTED = [
    ("Always mention the salary range.", "mention the salary range", None),
    ("And always mention the salary range.", "mention the salary range", None),
    ("Never contact candidates on weekends.", "not contact candidates on weekends", None),
    ("Please never use emojis.", "not use emojis", None),
    ("Don't ever use tabs.", "not use tabs", None),
    ("From now on, keep answers short.", "keep answers short", None),
    ("Please format dates as dd.mm. from now on.", "format dates as dd.mm", None),
    ("I'd like you to always include tests.", "include tests", None),
    ("Marek asks us: Never contact candidates on weekends.",
     "not contact candidates on weekends", None),
    ("Always use bullet points when I ask about lists.", "use bullet points",
     "when asked about lists"),
    ("When I ask for code, always include tests.", "include tests", "when asked for code"),
    ("Always cc my manager when I write to clients.", "cc my manager",
     "when the user writes to clients"),
    ("Always write to candidates in Italian.", "write to candidates in italian",
     "write to candidates in …"),
    ("And send me six candidates at a time.", "send me six candidates at a time",
     "send me … candidates at a time"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "value", "context"), INSTRUCTED)
def test_a_standing_instruction_is_kept(content: str, value: str, context: str | None) -> None:
    [claim] = found(content)
    assert (claim.kind, claim.attribute) == (MemoryKind.PREFERENCE, "instruction")
    assert (claim.value, claim.context) == (value, context)


@pytest.mark.parametrize(
    "content",
    [
        "Please format the code below.",
        "Please write a poem.",
        "Never mind.",
        "Never give up!",
        "Never say never.",
        "Always a pleasure!",
        "Don't forget the milk.",
        "Don't give up, buddy.",
        "Keep going!",
        "Use the following code:",
        "Can you always be reached?",
        "My assistant Merle always wants bullet points.",
        "I always use tabs when I code?",
    ],
)
def test_a_request_for_once_is_no_standing_instruction(content: str) -> None:
    assert [c for c in found(content) if c.attribute == "instruction"] == []


def test_an_instruction_reads_well_to_the_agent() -> None:
    texts = [
        found("Always cc my manager when I write to clients.")[0].text,
        found("From now on send me four candidates at a time.", "Ana")[0].text,
        found("Always format code when I ask about details.")[0].text,
    ]
    assert texts == [
        "Always cc the user's manager when the user writes to clients",
        "Send Ana four candidates at a time",
        "Always format code when asked about details",
    ]


# Wording ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "alone", "named"),
    [
        ("I live in Lisbon.", "Lives in Lisbon", "Ana lives in Lisbon"),
        ("I've been reading Dune to my kids.", "Has been reading Dune to their kids",
         "Ana has been reading Dune to their kids"),
        ("I don't eat meat any more.", "No longer eats meat", "Ana no longer eats meat"),
        ("I never drink alcohol.", "Never drinks alcohol", "Ana never drinks alcohol"),
        ("My older sister studies law in Rome.", "Older sister studies law in Rome",
         "Ana's older sister studies law in Rome"),
        ("My parents travel every winter to Spain.", "Parents travel every winter to Spain",
         "Ana's parents travel every winter to Spain"),
        ("My wife and I adopted a puppy.", "Adopted a puppy with their wife",
         "Ana adopted a puppy with their wife"),
        ("I met this producer at a fair.", "Met a producer at a fair",
         "Ana met a producer at a fair"),
        ("Last week I finished my thesis.",
         "Finished their thesis last week (15 to 21 May 2023)",
         "Ana finished their thesis last week (15 to 21 May 2023)"),
        ("My favourite colour is blue.", "Favourite colour is blue",
         "Ana's favourite colour is blue"),
    ],
)  # fmt: skip
def test_a_memory_reads_well(content: str, alone: str, named: str) -> None:
    assert alone in [c.text for c in found(content)]
    assert named in [c.text for c in found(content, "Ana")]


def test_the_subject_is_who_said_it() -> None:
    assert {c.subject for c in found("I live in Lisbon.", "Ana")} == {"Ana"}
    assert {c.subject for c in found("I live in Lisbon.")} == {None}


# Time ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "attribute", "valid_from"),
    [
        ("I live in Lisbon.", "lives_in", None),
        ("I moved to Munich last year.", "lives_in", (2022, 1, 1)),
        ("I've lived in Madrid since 2019.", "lives_in", (2019, 1, 1)),
        ("I have worked at Acme for three years.", "works_at", (2020, 5, 25)),
        ("I got married in 2015.", "relationship_status", (2015, 1, 1)),
        ("Yesterday I quit smoking.", "habit.smoke", (2023, 5, 24)),
        ("I started surfing five years ago.", "did.start_surfing", (2018, 1, 1)),
        ("I'm going to visit Japan next month.", "plans.visit_japan", (2023, 6, 1)),
        ("I need to renew my passport by June 3.", "plans.renew_passport", None),
        ("I joined the choir today.", "did.join_choir", None),
        ("I enrolled in a 3 March course.", "did.enroll_in_course", None),
    ],
)
def test_time_counts_from_when_it_was_said(
    content: str, attribute: str, valid_from: tuple[int, int, int] | None
) -> None:
    [claim] = [
        c for c in found(content) if c.attribute == attribute and c.stance is Stance.SUPPORTS
    ]
    expected = datetime(*valid_from, tzinfo=UTC) if valid_from else None
    assert claim.valid_from == expected
    assert claim.occurred_at == THURSDAY


def test_a_named_time_can_be_searched() -> None:
    [claim] = found("I ran a race last Saturday.")
    assert claim.search_text == "20 May 2023"
    assert claim.payload == {"when": {"from": "2023-05-20", "to": "2023-05-20"}}


# Beliefs meet -------------------------------------------------------------------------------------


def believed(*said: str) -> dict[str, str | None]:
    """What is believed by attribute after messages a day apart, each alone in its session."""
    assertions: dict[tuple[str | None, str | None], list[Assertion]] = {}
    made_by = Provenance("statements", "2")
    for n, content in enumerate(said):
        at = THURSDAY.replace(day=1 + n)
        for c in stated(message(content, at=at)):
            key = (c.attribute, c.context)
            assertions.setdefault(key, []).append(Assertion(c, made_by, at, n))
    beliefs = {key: timeline(made) for key, made in assertions.items()}
    return {
        str(key[0]): b.value for key, held in beliefs.items() for b in held if b.valid_to is None
    }


@pytest.mark.parametrize(
    ("said", "attribute", "value"),
    [
        (["I live in Berlin.", "I moved from Berlin to Munich."], "lives_in", "munich"),
        (["I live in Berlin.", "I don't live in Berlin any more."], "lives_in", None),
        (["I work at Acme.", "I got fired."], "works_at", None),
        (["I like coffee.", "I hate coffee."], "taste.coffee", "dislikes"),
        (["I hate coffee.", "I love coffee."], "taste.coffee", "likes"),
        (["I love coffee.", "I don't like coffee anymore."], "taste.coffee", None),
        (["I prefer tea to coffee.", "I prefer coffee over tea."], "prefers.coffee_or_tea",
         "coffee"),
        (["I use Slack.", "I no longer use Slack."], "uses.slack", "no"),
        (["I don't eat meat.", "I eat meat."], "habit.eat_meat", "yes"),
        (["Always use emojis.", "Never use emojis."], "instruction", "not use emojis"),
        (["Never use emojis.", "Always use emojis."], "instruction", "use emojis"),
        (["Always include tests.", "You don't need to include tests anymore."], "instruction",
         None),
        (["Always write in Italian.", "Write in English from now on."], "instruction",
         "write in english"),
        (["Send me six names at a time.", "From now on send me four names at a time."],
         "instruction", "send me four names at a time"),
        (["My deadline is 1 June.", "My deadline is now June 5."], "deadline", "2023-06-05"),
        (["Our latency is now 400ms.", "Our latency dropped to 250ms."], "latency", "250ms"),
    ],
)  # fmt: skip
def test_the_newer_statement_ends_the_older(
    said: list[str], attribute: str, value: str | None
) -> None:
    assert believed(*said).get(attribute) == value


def test_events_are_many_and_end_nothing() -> None:
    first, second = "I went to a concert yesterday.", "I went to a concert today."
    values = {c.value for said in (first, second) for c in found(said)}
    assert values == {"2023-05-24", "2023-05-25"}
    assert not any(c.single_valued for c in found(first))


# The extractor ------------------------------------------------------------------------------------


def test_it_declares_itself() -> None:
    extractor = create(Settings())
    assert (extractor.name, extractor.version) == ("statements", "2")
    assert extractor.reading is Reading.KNOWING
    assert extractor.reads == {InteractionKind.MESSAGE}
    assert extractor.makes == {MemoryKind.FACT, MemoryKind.PREFERENCE}


def test_only_people_make_statements() -> None:
    assert list(stated(message("I live in Rome.", role=Role.ASSISTANT))) == []
    assert list(stated(message("I live in Rome.", role=Role.SYSTEM))) == []
    retrieved = Interaction(
        SCOPE, "m1", InteractionKind.RETRIEVAL, Role.USER, "I live in Rome.", THURSDAY
    )
    assert list(stated(retrieved)) == []


def test_what_an_app_asks_to_remember_is_not_read_again() -> None:
    asked = Interaction(
        SCOPE, "m1", InteractionKind.NOTE, Role.USER, "I live in Rome.", THURSDAY,
        payload=explicit_memories.payload(MemoryKind.FACT),
    )  # fmt: skip
    assert list(stated(asked)) == []
    message = replace(asked, kind=InteractionKind.MESSAGE)
    assert [c.value for c in stated(message)] == ["rome"]


def test_messages_are_read_one_by_one() -> None:
    extractor = create(Settings())
    messages = [message(content) for content, _ in SAID[:20]]

    def read(*slices: list[Interaction]) -> list[Candidate]:
        return [c for part in slices for c in asyncio.run(extractor.extract(LogSlice(SCOPE, part)))]

    assert read(messages) == read(messages[:7], messages[7:8], messages[8:])


SPOKEN = st.lists(
    st.sampled_from(
        [*(content for content, _ in SAID), *NOT_SAID, *(content for content, *_ in INSTRUCTED)]
    )
    | st.text(max_size=30)
    | st.sampled_from(
        [
            "I ",
            "my ",
            "we ",
            "\u2019s ",
            "\u201cI live in Rome\u201d ",
            "```",
            "\n",
            ", and ",
            "? ",
            NOT_THEIRS,
            "\u0130 ",
        ]
    ),
    max_size=8,
)


@given(SPOKEN, st.sampled_from(["", " ", "\n", ", "]), st.none() | st.just("Ana"))
@example(["I need to renew my pass", NOT_THEIRS, "port."], "", None)  # an image was pasted there
@example(["The deadline for the report is \u0130 3 June."], "", None)  # matches "i", lowers to two
@example(['\u0130 think "The Hobbit" is one of my favorites.'], "", "Ana")
def test_every_quote_is_where_it_says(words: list[str], glue: str, actor: str | None) -> None:
    said = message(glue.join(words), actor=actor)
    for candidate in stated(said):
        [evidence] = candidate.evidence
        assert said.content[evidence.start : evidence.end] == evidence.quote
        assert evidence.quote.strip()
        assert evidence.interaction_id == said.id
        assert candidate.text.strip()
        assert candidate.attribute
        assert NOT_THEIRS not in candidate.text + (candidate.value or "")


@given(SPOKEN)
def test_one_message_says_a_thing_once_in_one_place(words: list[str]) -> None:
    said = list(stated(message(" ".join(words))))
    places = [(c.attribute, c.value, c.stance, c.context, c.evidence[0].start) for c in said]
    assert len(places) == len(set(places))


@pytest.mark.parametrize("content", ["my " * 3000, "I like it and " * 600, "if I, " * 1500])
def test_endless_sentences_are_read_too(content: str) -> None:
    assert list(stated(message(content))) == []
