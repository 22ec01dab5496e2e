"""Word lists for the patterns: people, jobs, and empty words."""


def any_of(words: str) -> str:
    """Returns a pattern that matches one of `words`; an underscore stands for the space in one."""
    return f"(?:{'|'.join(words.split())})".replace("_", r"\s")


def words(text: str) -> frozenset[str]:
    """Returns the words of `text`."""
    return frozenset(text.split())


KIN = words(
    "wife husband spouse partner girlfriend boyfriend fiance fiancé fiancee ex mother mom mum"
    " mama father dad papa parents sister brother sibling siblings twin son daughter child kid kids"
    " children stepson stepdaughter stepmother stepfather baby grandma grandmother granny grandpa"
    " grandfather grandparents grandson granddaughter aunt uncle cousin niece nephew godson"
    " goddaughter family mother-in-law father-in-law sister-in-law brother-in-law in-laws"
    " friend bestie roommate flatmate housemate neighbor neighbour boss manager supervisor mentor"
    " colleague coworker co-worker teammate coach therapist doctor"
    " dog cat puppy pup kitten parrot rabbit hamster horse pony turtle turtles dogs cats pet"
    " pets fish"
)
"""Heads of "my …" whose doings belong to the speaker's world: people and animals."""

FREQUENCY = words(
    "always usually often sometimes rarely seldom mostly currently still recently finally regularly"
    " occasionally frequently typically generally now already once twice officially"
)
"""Adverbs that a memory keeps, since they change its meaning."""
FILLER = words(
    "just really actually also even totally definitely absolutely honestly truly simply kinda sorta"
    " basically literally genuinely personally especially particularly probably pretty super very"
    " quite both all too then first initially myself ourselves ever certainly seriously obviously"
    " slowly quickly highly deeply completely fully successfully proudly happily lately though"
    " mainly primarily largely only yet thoroughly desperately eagerly actively consistently"
    " strongly much further"
)
"""Adverbs that a memory drops."""
ARTICLES = words("a an the some any my our their this these those that")
VAGUE_HEADS = words(
    "it that this these those them they he she him her his hers one ones some something anything"
    " everything nothing someone somebody anyone everyone so there here what whatever how why when"
    " where who stuff things thing all such mine yours ours same another others other both us each"
    " out up off down back over on through along together to into away by in at for from with of"
    " about as like than if whether and or but not"
)
"""Words that cannot open an object which stands by itself."""

INTENSIFIERS = words("just really actually also even very so super quite pretty totally")
"""Words that make no difference to an attribute's name."""
PRONOUNS = words(
    "it them him her he she they one ones something anything everything nothing someone so there"
    " here what whatever how why that this those these stuff such same as like if whether"
)
"""Words that refer to something said before."""

OCCUPATIONS = words("""
accountant actor actress administrator advisor agent analyst anthropologist architect artist
assistant astronomer athlete attorney auditor author baker banker barber barista bartender
biologist bookkeeper botanist builder carpenter cashier ceo cfo chef chemist choreographer
cinematographer clerk coach consultant contractor cook coordinator copywriter counselor counsellor
cto dentist designer developer dietitian director dj doctor driver ecologist economist editor
electrician engineer entrepreneur farmer filmmaker firefighter florist founder gardener geologist
guide hairdresser historian illustrator influencer instructor intern interpreter investor janitor
jeweler journalist judge landscaper lawyer lecturer librarian lifeguard linguist magician manager
marketer mathematician mechanic midwife model musician nanny neuroscientist nurse nutritionist
officer optician optometrist painter paralegal paramedic pathologist pediatrician pharmacist
philosopher photographer physician physicist physiotherapist pilot planner plumber poet policeman
policewoman politician principal producer professor programmer psychiatrist psychologist
publicist radiologist realtor receptionist recruiter reporter researcher sailor salesman
saleswoman salesperson scientist screenwriter sculptor secretary sergeant singer sociologist
soldier songwriter specialist statistician strategist student supervisor surgeon surveyor tailor
teacher technician technologist therapist trader trainer translator treasurer tutor veterinarian
vet videographer waiter waitress welder writer youtuber blogger dancer vlogger streamer
""")
