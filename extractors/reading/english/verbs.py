"""The verbs: their forms, and the tenses in which a speaker's use of them is worth remembering.

A verb tells of an event, a habit, something ongoing or a plan. A verb in no group makes no memory
by itself.
"""

from enum import Flag, auto


class Use(Flag):
    """The tenses in which a verb is worth remembering."""

    EVENT = auto()
    """Past and perfect: "I adopted a dog"."""
    HABIT = auto()
    """Present: "I run every morning"."""
    ONGOING = auto()
    """Progressive: "I'm training for a marathon"."""
    PLAN = auto()
    """After "I'm going to", "I plan to", "I want to": "visit Japan"."""


class Form(Flag):
    """The possible tenses of an inflected form."""

    LEMMA = auto()
    THIRD = auto()
    PAST = auto()
    PARTICIPLE = auto()
    ING = auto()


_EVENTS = """
accept achieve acquire add adopt apply arrange attend award bake begin binge book borrow break
bring build buy camp cancel capture carve catch celebrate chair change choose climb co-found
co-host co-write coach collaborate collect come compete complete compose conduct configure contact
cook create cut decline decorate deliver deploy design develop discover discuss dive divorce
donate download draft draw drive drop earn eat emigrate enjoy enroll enter exercise exhibit
explore fail fall film finalize find finish fish fix fly fundraise gather get give go graduate
grow guide hang harvest hike hire hit hold host immigrate implement improve increase inherit
install integrate interview introduce invest join judge knit land launch lead learn leave lose
love make manage marry meet mentor migrate miss move negotiate open order organize paint
participate pass perform pick pitch plan plant play postpone practice present produce promote
publish purchase quit raise reach read receive record recover redecorate redesign redo reduce
refactor refinish register rehearse relocate remodel renovate rent reorganize replace reread
reschedule rescue reserve resign restore retake retire return revamp revise ride roast row run
sail save schedule score secure see sell set sew share ship shoot sign ski snorkel solve spend
sponsor start stay stop study stumble submit subscribe surf swim switch take talk teach test tour
train transfer transition travel try turn tweak undergo update upgrade use visit volunteer walk
watch win work wrap write
"""
_HABITS = """
attend avoid bake belong bike blog buy camp climb coach code collect commute compose cook craft
cycle dance design donate draw drink drive eat exercise farm fast film fish fundraise garden go
grow hike hire host hunt invest jog journal knit lead listen live look make manage meditate mentor own paint
play practice pray produce raise read recruit rent ride row run sail sell serve sew sing skate skateboard
ski sleep smoke snowboard speak spend stream study suffer supervise surf swim take teach train
travel tutor visit vlog volunteer vote walk watch wear weigh work write
"""
_ONGOING = """
adopt apply attend audition balance binge blog brainstorm build buy campaign carve coach
collaborate collect compete complete cook create dance date decorate design develop direct do
donate draft draw edit exercise expand experiment explore film finalize finish fundraise garden
grow help hike host implement improve increase invest job-hunt journal juggle knit launch lead
learn look maintain make manage meditate meet mentor migrate move network open organize own paint
participate plant play practice practise prep prepare produce promote publish raise read record
recover redesign redo refactor rehearse relocate renovate rent research restore retire revise ride
run save search sell set settle shop sing start streamline study suffer supervise switch take
target teach tour track train transition travel tutor tweak visit volunteer watch wear work write
"""
_PLANS = """
adopt apply attend audition bake become book build buy camp celebrate change check climb
collaborate compete complete continue cook create cut dance decorate deliver deploy design develop
donate drive enroll enter exercise exhibit expand experiment explore fast film finalize finish fly
fundraise get give go graduate grow have head hike hire hold host implement improve incorporate
increase interview invest invite join knit launch learn leave live lose make marry meditate meet
migrate move open organize own paint participate perform plan plant play practice prepare present
produce publish pursue quit raise read record redecorate redesign reduce refactor release relocate
renew renovate rent replace research restore retire return revamp ride run sail save schedule sell
set settle ship sign ski specialize spend sponsor start stay stop study submit surf swim switch
tailor take teach test tour train transition travel try upgrade visit volunteer walk watch win
work write
"""
_PARSED_ONLY = """
adore agree aim appreciate ask average be believe bet call care cherish consider decide detest die
dislike ensure estimate expect favor favour feel figure focus forget guess handle happen hate hear
hope identify intend keep know like mean name need notice prefer promise rather realize recommend
remember request say seem send show struggle support tell think understand value want wish wonder
"""
_IRREGULAR = """
be was/were been; become became become; begin began begun; bet bet bet; bite bit bitten; break
broke broken; bring brought brought; build built built; buy bought bought; catch caught caught;
choose chose chosen; co-write co-wrote co-written; come came come; cost cost cost; cut cut cut; do
did done; draw drew drawn; dream dreamed/dreamt dreamed/dreamt; drink drank drunk; drive drove
driven; eat ate eaten; fall fell fallen; feel felt felt; fight fought fought; find found found;
fit fit fit; fly flew flown; forget forgot forgotten; get got gotten/got; give gave given; go went
gone; grow grew grown; hang hung hung; have had had; hear heard heard; hit hit hit; hold held
held; hurt hurt hurt; keep kept kept; know knew known; lead led led; learn learned/learnt
learned/learnt; leave left left; let let let; lose lost lost; make made made; mean meant meant;
meet met met; pay paid paid; put put put; quit quit quit; read read read; redo redid redone;
reread reread reread; retake retook retaken; rethink rethought rethought; ride rode ridden; run
ran run; say said said; see saw seen; sell sold sold; send sent sent; set set set; sew sewed sewn;
shoot shot shot; show showed shown; sing sang sung; sleep slept slept; speak spoke spoken; spend
spent spent; spread spread spread; stand stood stood; swim swam swum; take took taken; teach
taught taught; tell told told; think thought thought; undergo underwent undergone; understand
understood understood; wake woke woken; wear wore worn; win won won; write wrote written
"""
_DOUBLING = """
begin blog chat chop commit cram cut drop get hit jog knit plan prefer put quit rip run set ship
shop sit skip slip step stop strip submit swap swim tag tap transfer trim vlog win wrap
"""
_NO_PAST = """
need feed seed bleed exceed proceed succeed breed embed shed indeed hundred speed
"""


_DOUBLED = frozenset(_DOUBLING.split())
_NOT_PAST = frozenset(_NO_PAST.split())


def _spelled_s(verb: str) -> str:
    if verb.endswith(("s", "x", "z", "ch", "sh", "o")):
        return verb + "es"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ies"
    return verb + "s"


def _spelled_ed(verb: str) -> str:
    if verb.endswith("e"):
        return verb + "d"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ied"
    return verb + (verb[-1] if verb in _DOUBLED else "") + "ed"


def _spelled_ing(verb: str) -> str:
    if verb.endswith("ie"):
        return verb[:-2] + "ying"
    if verb.endswith("e") and not verb.endswith(("ee", "ye", "oe")) and verb != "be":
        return verb[:-1] + "ing"
    return verb + (verb[-1] if verb in _DOUBLED else "") + "ing"


_THIRD_PERSON = {"be": "is", "have": "has", "do": "does", "go": "goes", "quit": "quits"}


def third_person(verb: str) -> str:
    """Returns `watches` for `watch`."""
    return _THIRD_PERSON.get(verb) or _spelled_s(verb)


def _uses() -> dict[str, Use]:
    uses: dict[str, Use] = dict.fromkeys(_PARSED_ONLY.split(), Use(0))
    groups = (
        (_EVENTS, Use.EVENT),
        (_HABITS, Use.HABIT),
        (_ONGOING, Use.ONGOING),
        (_PLANS, Use.PLAN),
    )
    for verbs, use in groups:
        for verb in verbs.split():
            uses[verb] = uses.get(verb, Use(0)) | use
    return uses


USES = _uses()


def _forms() -> dict[str, tuple[str, Form]]:
    irregular: dict[str, tuple[list[str], list[str]]] = {}
    for entry in _IRREGULAR.replace("\n", " ").split(";"):
        lemma, told, done = entry.split()
        irregular[lemma] = (told.split("/"), done.split("/"))
    forms: dict[str, tuple[str, Form]] = {}

    def add(form: str, lemma: str, kind: Form) -> None:
        known = forms.get(form)
        forms[form] = (known[0], known[1] | kind) if known else (lemma, kind)

    for lemma in sorted(USES.keys() | irregular.keys()):
        regular = [_spelled_ed(lemma)]
        past, participle = irregular.get(lemma, (regular, regular))
        add(lemma, lemma, Form.LEMMA)
        add(third_person(lemma), lemma, Form.THIRD)
        add(_spelled_ing(lemma), lemma, Form.ING)
        for form in past:
            add(form, lemma, Form.PAST)
        for form in participle:
            add(form, lemma, Form.PARTICIPLE)
    return forms


FORMS = _forms()
"""Every known inflected form, with its lemma and its possible tenses."""


def inflection(word: str) -> tuple[str, Form]:
    """Returns lemma and possible forms of a word; an unknown regular past is its own lemma."""
    known = FORMS.get(word)
    if known:
        return known
    regular = word.endswith("ed") and len(word) > len("used") and word not in _NOT_PAST
    return (word, Form.PAST | Form.PARTICIPLE) if regular else ("", Form(0))
