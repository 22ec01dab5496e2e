"""Says whose words a message holds, and in what mode, before any of its sentences is read.

Whose words they are is decided by the message and not by the clause: an announcement ("here is a
persona:"), a task ("translate", "polish this"), a mail's shape, a machine's voice. In doubt the
words are not the person's own, and nothing is read. `memory.trust.spans` finds by structure what is
pasted; this module adds what only reading can tell.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from extractors.reading.english.lexicon import any_of


class Frame(StrEnum):
    """The mode of a stretch of a message; only of OWN words statements are made."""

    OWN = "own"
    OTHERS = "others"
    """Reported, quoted or pasted words, and what the person says to somebody else."""
    FICTION = "fiction"
    """Personas, role play, stories, dreams, drafts in another's voice."""
    EXERCISE = "exercise"
    """Text to translate, correct or classify; examples, test data, errors."""
    MACHINE = "machine"
    """A prompt, a notice or a job's output in the role of the user."""
    REMEMBERED = "remembered"
    """A context of remembered things that is sent back."""
    OFF_RECORD = "off the record"
    """What the person does not want kept."""


@dataclass(frozen=True, slots=True)
class Framed:
    """The stretch `content[start:end]` and its frame."""

    start: int
    end: int
    frame: Frame


def frames(content: str) -> tuple[Framed, ...]:
    """Returns the frames of a message in order, without gaps. Linear in its length.

    `content` has plain quotation marks. What frames the whole message is looked for first; else the
    person's own words end where the first foreign ones begin.
    """
    if not content:
        return ()
    if whole := _whole(content):
        return (Framed(0, len(content), whole),)
    begins, frame = min(_foreign(content), default=(len(content), Frame.OWN))
    own = (Framed(0, begins, Frame.OWN),) if begins else ()
    return own if begins == len(content) else (*own, Framed(begins, len(content), frame))


def own_part(content: str) -> str:
    """Returns `content` with all that is not the person's own as line breaks; the same length."""
    parts = frames(content)
    if len(parts) == 1 and parts[0].frame is Frame.OWN:
        return content
    return "".join(
        content[p.start : p.end] if p.frame is Frame.OWN else "\n" * (p.end - p.start)
        for p in parts
    )


def _rule(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


# The message as a whole ---------------------------------------------------------------------------

_MACHINE_OPENING = (
    _rule(
        r"\A\W{0,8}(?:system(?: (?:prompt|message|notice|note))?\s?[:>\]]|developer:|cron\b"
        r"|\[[^\]\n]{0,40}\b(?:task|job|cron|system|reminder|heartbeat|scheduled?|automat\w+"
        r"|notification|hook|bot|trigger\w*)\b[^\]\n]{0,40}\]|<[a-z]+[-_][a-z_-]+>"
        r"|automat(?:ic|ed) (?:message|notice|reply|reminder)\b)"
    ),
    _rule(
        r"\A\W{0,8}(?:you are|you're|act as|your (?:task|job|role) is)\b(?=[^\n]{0,4000}?"
        r"\b(?:your (?:task|job|role|goal)|always|never|must|do not|don't|instructions|output"
        r"|respond|reply|user:)\b)"
    ),
    _rule(r"\A\s{0,9}[{\[]\s{0,9}(?:\"|\{|\[|\})"),
    _rule(r"\A\W{0,4}(?:cc|bcc|unsubscribe)\b"),
)
_MACHINE = _rule(
    r"\b(?:(?:this|that) (?:is an?|message (?:is|was)) automat(?:ed|ic(?:ally)?)\b"
    r"|automated (?:out[- ]of[- ]office|message|reply|response|notification|e?-?mail|alert)"
    r"|context compaction|auto-?compact\w*|do not reply to this (?:message|e?-?mail)"
    r"|(?:session|conversation) (?:is being|was) (?:continued|summari[sz]ed)"
    r"|conversation so far (?:has been|was|is) summari[sz]ed"
    r"|cron ?job|scheduled (?:task|job|run|trigger)|heartbeat(?:_ok|\.md)?"
    r"|keep-?alive (?:bot|message)|(?:AGENTS|CLAUDE|BOOT|SKILL|SYSTEM)\.md"
    r"|output (?:only )?(?:valid )?json(?: only)?|(?:job|run|build|task|workflow) [\w#-]{1,40} "
    r"(?:started|finished|failed|succeeded|completed)\b)"
)
_OFF_RECORD = _rule(
    r"\b(?:off[- ]the[- ]record|(?:just|strictly|this is|keep (?:it|this|that)|stays?) between (?:us|you"
    r" and me)|between (?:us|you and me)(?=\s?[:,\u2013\u2014-])"
    r"|(?:not|nothing) for (?:your|the) (?:notes?|memory|records?|files?)"
    r"|(?:do not|don'?t|never|not|no need to|rather you didn'?t|without|needn'?t|need to)"
    r" (?:(?:ever|please|to|you|have to|need to) ){0,2}(?:remember(?:ing)?"
    r"|sav(?:e|ing)|stor(?:e|ing)|record(?:ing)?|memori[sz](?:e|ing)|not(?:e|ing)(?: down)?"
    r"|writ(?:e|ing) down|log(?:ging)?|keep(?:ing)?) (?:this|that|it|any of (?:this|that)"
    r"|what i|my|these|the (?:next|following)|anything|down)\b(?! in mind)"
    r"|(?:don'?t|do not|never) (?:add|put|commit|keep) (?:this|that|it|any of (?:this|that)|my [\w ]{1,30}?)"
    r" (?:to|in|into|on) (?:your |the |a |any )?(?:memory|memories|notes?|profile|files?|records?"
    r"|database)"
    r"|(?:stays?|stay|staying|keep (?:it|this|that)) in (?:this|here|the) (?:chat|room|conversation|thread)?"
    r"|(?:in this|this) (?:chat|conversation|session) only|for this (?:chat|conversation) only"
    r"|confidential(?:ly)?\b(?=\s?[:,])|incognito"
    r"|forget (?:i|that i|you|what i) (?:ever |just )?(?:said|told|mentioned|heard|saw|read)"
    r" (?:this|that|it|anything)\b"
    r"|you (?:don'?t|do not|needn'?t) (?:have to |need to )?remember\b"
    r"|(?:please )?(?:don'?t|do not) remember\b(?! (?:if|whether|when|where|who|what|how|why)\b))"
)
_WRONG_WINDOW = _rule(
    r"\b(?:wrong (?:window|chat|person|tab)|(?:not|wasn'?t|isn'?t|weren'?t) (?:meant )?for you\b"
    r"|(?:it'?s|this is|i'?m|i am) (?:actually )?[\w-]+'s (?:\w+ )?(?:roommate|flatmate|wife|husband|partner|brother|sister|son"
    r"|daughter|mom|mum|mother|dad|father|friend|assistant|colleague|boyfriend|girlfriend|cousin|kid)\b"
    r"|(?-i:[A-Z]\w{1,20})(?:'s (?:\w+ )?\w+)? here\b(?=\W)|(?:typing|writing|speaking|asking|dictated|dictating) (?:this )?(?:for|by) (?:my|his|her|\w+)\b"
    r"|(?:gave|handed|passed|passing|giving|handing) (?:me |you )?(?:the |his |her |my )?(?:phone|laptop|keyboard|over)\b|borrow\w* \w+ (?:phone|laptop|account)"
    r"|(?:he|she|they) (?:asked|wants|wanted|told) me to (?:ask|tell|write|say|type)|left (?:this|it|the \w+) open|not (?:him|her|the usual|\w+ typing)"
    r"|it'?s me,? \w+|using \w+'s (?:account|phone|tablet|laptop|login)|that (?:was|wasn'?t) (?:me\b(?= typing| writing)|my (?:\w+ ){0,2}(?:brother|sister|son|daughter|wife|husband|kid|child|cat|dad|mom|mum|friend|roommate)\b)"
    r"|on (?:his|her|their|someone'?s|somebody'?s|\w+'s) (?:phone|laptop|account|computer|ipad|tablet)\b"
    r"|meant (?:for|to send)|didn'?t mean to send|ignore that,? (?:i was|talking)|talking to (?:my|the)"
    r" (?:dog|kids?|wife|husband|son|daughter|cat|baby|mum|mom|phone))\b"
)
_TO_A_DEVICE = _rule(r"\A\W{0,4}(?:alexa|siri|hey google|ok google|@\w+)\b")
_SIGNED = _rule(
    r"\n\s{0,4}(?:(?:kind |best |warm |many )?(?:regards|wishes|thanks)|best|cheers|sincerely|yours(?: \w+)?"
    r"|love|xx?o?x?),?[ \t]{0,4}\n\s{0,4}\S[^\n]{0,40}\Z"
)
_HANDED_ON = _rule(  # a task at the end, on the text in front of it
    r"(?:\A|[.!?:\n\u2014-])\W{0,4}(?:(?:pls|please|can you|could you|would you|will you|can u|help me|now"
    r"|so|and|then|ok|okay) ){0,4}"
    r"(?:translate|proof-?read|summari[sz]e|rewrite|reword|rephrase|paraphrase|correct|edit|polish|shorten"
    r"|improve|grade|fix|spell-?check|make|turn|format|classify|label|rate|tidy up|clean up|respond to"
    r"|reply to|answer|put)\s"
    r"(?:up\s)?(?:minutes (?:of|from)\s)?(?:this|that|it|these|those|the (?:above|text|message|mail"
    r"|email|letter|paragraph|log|transcript|story|poem|review))\b[^.!?\n]{0,60}\W{0,4}\Z"
    r"|\b(?:what|who|how|why|which|is|does|do|are|should|was|can)\b[^.!?\n]{0,60}\b(?:he|she|they"
    r"|this (?:mean|error|log|message|mail|letter|person|sound|say|text)|to (?:this|that|him|her|them)"
    r"|it (?:too|sound|mean))\b[^.!?\n]{0,60}\?\W{0,4}\Z"
    r"|\b(?:that'?s|this is|is) what (?:he|she|they|my \w+|the \w+) (?:\w+ )?(?:said|wrote|replied|sent|told"
    r"|answered|posted)\b"
)


def _whole(content: str) -> Frame | None:
    """The frame of the message as a whole, if it has one."""
    if any(pattern.match(content, 0, _OPENING) for pattern in _MACHINE_OPENING):
        return Frame.MACHINE
    for start, end in _pieces(content):
        for pattern, frame in _OF_ALL:
            if pattern.search(content, start, end):
                return frame
    last = len(content.rstrip())
    closing = content[max(0, last - _CLOSING) : last]
    if _TO_A_DEVICE.match(content) or _SIGNED.search(closing):
        return Frame.OTHERS
    task = _HANDED_ON.search(closing)
    before = last - len(closing) + task.end() - 1 if task else 0
    return Frame.EXERCISE if task and _SENTENCES.search(content, 0, before) else None


_OPENING = 4_000  # characters of a prompt that are read for what it is
_CLOSING = 200
_SENTENCES = re.compile(r"[.!?:\n\"\u2014]|--")
_OF_ALL = (
    (_MACHINE, Frame.MACHINE),
    (_OFF_RECORD, Frame.OFF_RECORD),
    (_WRONG_WINDOW, Frame.OTHERS),
)
_PIECE_END = re.compile(r"[.!?](?=\s)|\n")
_LONGEST_PIECE = 300


def _pieces(content: str) -> Iterator[tuple[int, int]]:
    """Sentences and lines, each with what ends it; of a longer one the parts."""
    start = 0
    for found in (*_PIECE_END.finditer(content), None):
        end = found.end() if found else len(content)
        for at in range(start, end, _LONGEST_PIECE):
            yield at, min(end, at + _LONGEST_PIECE)
        start = end


# Where foreign words begin ------------------------------------------------------------------------

_INVENTED = _rule(
    r"\b(?:role-?\s?play(?:ing)?|\d+ questions\b|charades|for my (?:\w+ )?(?:lesson|class|practice|exam prep)\b|let'?s (?:pretend|play|act|imagine|role|say|suppose|practi[sc]e|do a)"
    r"|(?:fake|fictional|made-?up|imaginary|invented|dummy|sample|mock|example|test)"
    r" (?:\w+ )?(?:persona|applicant|user|customer|person|client|character|profile|patient|data|row|bio"
    r"|resume|cv|case|input|sentence|text|message|e?mail|company|candidate)"
    r"|(?:persona|alter ego)\b|act(?:ing)? as (?!a (?:team|group|result)\b)|pretend(?:ing)?\b|imagine\b|suppose\b"
    r"|hypothetical(?:ly)?\b|assum(?:e|ing) (?:that |i|we|you)|in this scenario|scenario\b"
    r"|(?:in|for|of) (?:my|our|the|a|this) (?:[\w&'-]{1,20} ){0,3}?(?:novel|story|book|screenplay|script|campaign"
    r"|game|sim|simulation|film|movie|play|sketch|comic|dream|rpg|fanfic\w*|song|poem|musical|podcast episode)\b"
    r"(?= *(?:,|:|i\b|i'm|the\b|he\b|she\b|my\b|we\b|is\b))"
    r"|my (?:\w+ ){0,2}(?:character|protagonist|narrator|avatar|heroine|hero|villain|oc)\b"
    r"|(?:the )?(?:narrator|protagonist|speaker|heroine|villain|hero) (?:says|said|is|thinks|speaks|goes)"
    r"|(?:write|draft|compose|create|generate|give me|tell me|finish|continue|start|do)"
    r" (?:me |us |up )?(?:an?|the|my|some|\d+|this|our|two|three|four|five)\s(?:\w+[ -]){0,3}?"
    r"(?:poem|story|stories|monologue|dialog(?:ue)?|scene|song|lyrics|novel|script|letter|bio|post|tweet"
    r"|caption|speech|sketch|sentences?|examples?|ad|limerick|haiku|diary|essay|chapter|toast|blurb)"
    r"[^.!?\n]{0,80}[:.\n]"
    r"|chapter \w+|(?:opens|begins|starts|ends|goes) like this|dreamt?\b(?! of (?:becoming|being|going))"
    r"|(?:as|like) (?:if|though) i (?:were|was|am|'m)\b|speaking as|as told by|from the (?:perspective|point of view|pov) of|in the voice of|first[- ]person"
    r"|you(?:'re| are)(?: now)? (?:the|my|an?) [^.!?\n,]{1,40}(?:,| and) i(?:'m| am|'ll be| play)"
    r"|i(?:'ll| will)? (?:be|play) (?:the |a |an )?(?:[A-Z]\w+|\w+)[.,] (?:you|i)\b"
    r"|you(?:'ll| will)? (?:be|play) (?:the |an? )?\w+\b)"
)
_WORKED_ON = _rule(
    r"(?:\b(?:translate|proof-?read|summari[sz]e|rewrite|reword|rephrase|paraphrase|shorten|spell-?check"
    r"|grade|transcribe|transliterate|annotate|diagram|parse|tokeni[sz]e|punctuate|conjugate)\b"
    r"(?:d\b)?[^.!?\n:]{0,80}(?:[.:\n?>]|->|$)"
    r"|\b(?:correct|edit|polish|improve|fix|check|label|classify|tag|analy[sz]e|mark)\b[^.!?\n:]{0,40}"
    r"\b(?:this|these|my (?:\w+ )?(?:sentence|homework|text|essay|grammar|english|paragraph|answer)|the"
    r" (?:\w+ )?(?:sentence|text|grammar|paragraph|following|errors?|mistakes?|tone|sentiment))\b[^.!?\n:]{0,60}"
    r"(?:[.:\n?>]|->|$)"
    r"|\b(?:which|what) (?:\w+ )?(?:of these|one|sentence|version|is (?:right|correct|better))\b"
    r"|\b(?:is|are) (?:this|these|the following|it) (?:\w+ )?(?:sentences? )?(?:correct|right|grammatical|ok|okay|fine)\b"
    r"|\bfill (?:in|out) (?:the|this)|\bhow (?:do|would|can|to|should) (?:you|i|we|one) (?:say|write|translate"
    r"|spell|pronounce)\b|\bsay (?:this|that|it|the following) in\b|\b(?:sentences?|examples?|something|ones|phrases?) like\b"
    r"|\bfor (?:example|instance),? (?:if|when|a|an|the|someone|say)\b|\be\.g\.|\bunit tests?\b|\btest(?:ing)?,? (?:test|one two|1 2|123)\w*|\btest (?:case|input|data|string)s?\b"
    r"|\b(?:if|when) (?:a|the|someone|some|another|any) (?:user|customer|person|client)?\s?(?:types?|says?|asks?|writes?|enters?)\b"
    r"|\b\w*(?:Error|Exception|Warning)\b:|\btraceback\b|\b(?:input|expected|output|row|text|prompt|note|msg|message)\s?=+\s?"
    r"|\bsay\b[^.!?\n]{1,40} in (?:french|german|spanish|italian|japanese|chinese|korean|dutch|polish|latin|portuguese"
    r"|russian|arabic|turkish|swedish|finnish|greek|hindi)\b)"
)
_KIN_OR_ROLE = (
    r"(?:(?:my|our|the|a|an|his|her|their|some|this|that)\s(?:[\w'-]+\s){0,4}?[\w'-]+|[A-Z][\w'-]+(?:\s[A-Z][\w'-]+)?"
    r"|(?-i:mom|mum|dad|boss)|she|he|they|someone|somebody)"
)
_SAYING = (
    r"(?:said|says|say|told|tells|texted|texts|wrote|writes|written|goes|went|replied|replies|answered"
    r"|emailed|messaged|posted|shouted|yelled|whispered|announced|complained|claimed|claims|sent|quoted|insists|"
    r"insisted|keeps? saying|was like|is like|added|explained|admitted|confessed|commented|tweeted|dm'?e?d|left|remarked|mentioned)"
)
_REPORTS = _rule(
    rf"\b(?!(?:i|we)\b){_KIN_OR_ROLE}\s(?:(?:just|also|once|always|then|recently|keeps|kept|has|had)\s)?{_SAYING}\b"
    r"[^.!?\n:\"]{0,80}(?::|,\s(?=\"))"
    r"|\b(?:according to|in the words of|quoting|to quote)\b"
    r"|\b(?:voice-?mail|transcript|ticket|review|testimonial|bug report|complaint|e?-?mail|message|text|letter|note|post"
    r"|tweet|comment|article|report|quote|statement|forum|reddit|interview|feedback|caption|memo|dm|lyrics?|blog"
    r"|bio|profile|ad|advert|listing|obituary)s?\s"
    r"(?:[^.!?\n:]{0,60}\s)?(?:from|by|of|for|in|says?|reads?|goes|saying|below|on|i got|transcript|about)\b[^.!?\n:]{0,60}:"
    r"|\b(?:voice-?mail|transcript|testimonial|the ad|caption|quote|lyrics?|tagline|slogan|motto|bug report|review)\b[^.!?\n:]{0,30}:"
    r"|\b(?:to|for) (?:my|our|the) (?:team|boss|landlord|manager|colleagues?|clients?|group|family|teacher|neighbou?rs?)\s?:"
    r"|(?:\A|[.!?\n]\s*)(?:speaker|person|user|customer|client|caller|agent|patient|doctor|interviewer|student) ?\w{0,2}:"
)
_MEMORY_BACK = _rule(
    r"(?:\A|\n)\W{0,6}(?:relevant |known |saved |stored |user |your |long-term |retrieved )*(?:memor(?:y|ies)|user profile)\b"
    r"[^\n]{0,40}(?:[:\]]|\n)"
    r"|<(?:\w+[_-])?memor(?:y|ies)[\w-]*>"
    r"|\bwhat (?:you|i|we) (?:already )?(?:know|remember|have (?:stored|saved))(?: so far)? about (?:me|you|the user|them)\b[^.?!\n]{0,20}[:\n]"
    r"|\b(?:the )?user (?:is|lives|likes|prefers|works|has|wants|loves|hates|speaks|owns)\b"
    r"|(?:\A|\n)\W{0,6}(?:user|assistant|human|ai):\s"
)
_DEVICES = (
    (_MEMORY_BACK, Frame.REMEMBERED),
    (_INVENTED, Frame.FICTION),
    (_WORKED_ON, Frame.EXERCISE),
    (_REPORTS, Frame.OTHERS),
)


def _foreign(content: str) -> Iterator[tuple[int, Frame]]:
    """Where each kind of foreign words begins, with its frame: at the announcement itself."""
    for start, end in _pieces(content):
        for pattern, frame in _DEVICES:
            found = pattern.search(content, start, end)
            if found and not _PLAY_ENDS.search(content, start, end):
                yield start, frame
                return
    if (colon := _introduced(content)) is not None:
        yield colon, Frame.OTHERS


# A play that goes on over several messages --------------------------------------------------------

_PLAY = _rule(
    r"\b(?:role-?\s?play|let'?s (?:pretend|play|act|imagine|practi[sc]e|do a)|act as|pretend (?:to be|you|that|i)|\d+ questions\b|charades"
    r"|(?:be|play|you(?:'re| are)(?: now)?|you(?:'ll| will) be|i(?:'ll| will| want you to| need you to) (?:be|play)) (?:the |my |an? )\w+[^.!?\n]{0,40}"
    r"(?:for (?:my|our|a|an|the) (?:\w+ ){0,2}(?:lesson|class|practice|interview|exam|game|story|campaign)|and i|, i)"
    r"|(?:speak|talk) to me (?:as|like) (?:if|though)|mock interview|improv|dungeon master|be my (?:\w+ ){0,2}(?:interviewer|examiner|opponent|date|customer|client|patient))\b"
)
_PLAY_ENDS = _rule(
    r"\b(?:(?:stop|end|enough|finish|leave|quit|pause|done with|that'?s it for) (?:the |this |with )?(?:role-?\s?play|game|play(?:ing)?|practice|scene|act(?:ing)?|pretending)"
    r"|out of character|ooc\b|back to (?:reality|real life|me|myself|normal)|in real life|for real|end scene|game over|as myself)\b"
)


def begins_play(content: str) -> bool:
    """Returns whether a message sets up a play in which the person goes on to speak a part."""
    return any(_PLAY.search(content, start, end) for start, end in _pieces(content))


def ends_play(content: str) -> bool:
    return any(_PLAY_ENDS.search(content, start, end) for start, end in _pieces(content))


# Announcements of somebody else, by the colon alone -----------------------------------------------

_COLON = re.compile(
    r"(?<![\d/])(?::|->)(?=\s{1,4}(?:\"|\(|-\s)?(?:i|i'm|i've|my|we|our|i'd|im|hi|hello)\b)",
    re.IGNORECASE,
)
_OWN_INTRODUCTION = _rule(
    r"\b(?:i|i'm|i've|me|my|mine|we|our|us|you|intro\w*|background|context|update|news|fact|facts|deal|thing|things|fyi|btw|ps"
    r"|p\.s|note|reminder|remember|correction|edit|plan|problem|issue|situation|question|reason|short|answer|info|details|"
    + any_of(
        "summary preferences allergies today tomorrow now okay ok also honestly truth confession yes no nope well so"
    )
    + r")\b[^.!?\n:]{0,80}\Z"
)
_INTRODUCTION = re.compile(r"[^.!?\n:]{0,120}\Z")
_ADDRESSEE = _rule(r"\b(?:my|our) [\w' ]{1,40}\Z")


def _introduced(content: str) -> int | None:
    """Where a colon opens a first person that the words in front do not claim for the author."""
    for colon in _COLON.finditer(content):
        found = _INTRODUCTION.search(content, max(0, colon.start() - 120), colon.start())
        before = found[0] if found else ""
        if _ADDRESSEE.search(before) or not _OWN_INTRODUCTION.search(before):
            return colon.end()
    return None
