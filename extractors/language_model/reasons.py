"""Names the reasons for which a model gives no usable answer, and what an operator can do."""

from enum import StrEnum


class Reason(StrEnum):
    """Why a call brought no usable answer, or had to be repaired.

    Each value is what `memory calls` and `memory status` show.
    """

    UNREACHABLE = "unreachable"
    TIMED_OUT = "timed_out"
    OUT_OF_TIME = "out_of_time"
    PAUSED = "paused"
    LOADING = "loading"
    OVERLOADED = "overloaded"
    RATE_LIMITED = "rate_limited"
    QUOTA_SPENT = "quota_spent"
    KEY_REFUSED = "key_refused"
    UNKNOWN_MODEL = "unknown_model"
    TOO_LONG = "too_long"
    UNSUPPORTED = "unsupported"
    NO_CHAT = "no_chat"
    DECLINED = "declined"
    FILTERED = "filtered"
    CUT_OFF = "cut_off"
    EMPTY = "empty"
    UNREADABLE = "unreadable"
    WRONG_SCHEMA = "wrong_schema"

    @property
    def meaning(self) -> str:
        """What happened, in a few words."""
        return _MEANINGS[self][0]

    @property
    def advice(self) -> str:
        """What an operator can do about it."""
        return _MEANINGS[self][1]


_MEANINGS = {
    Reason.UNREACHABLE: (
        "no connection to the server",
        "check that it runs, and MEMORY_OPENAI_BASE_URL",
    ),
    Reason.TIMED_OUT: (
        "no answer in time",
        "raise MEMORY_MODEL_SESSION_SECONDS, or take a faster model",
    ),
    Reason.OUT_OF_TIME: (
        "the session's time for models was over",
        "raise MEMORY_MODEL_SESSION_SECONDS, or take a faster model",
    ),
    Reason.PAUSED: (
        "the model is left alone after failures",
        "see the calls before it; it is asked again by itself",
    ),
    Reason.LOADING: ("the server loads the model", "wait until it is loaded"),
    Reason.OVERLOADED: ("the server failed", "see the server's log"),
    Reason.RATE_LIMITED: ("too many requests", "ask for a higher rate, or run fewer workers"),
    Reason.QUOTA_SPENT: ("the account has no credit left", "pay the provider"),
    Reason.KEY_REFUSED: ("the server refuses the key", "set MEMORY_OPENAI_API_KEY"),
    Reason.UNKNOWN_MODEL: ("the server does not know the model", "set MEMORY_MODEL"),
    Reason.TOO_LONG: (
        "the turns do not fit the model's context",
        "start the server with a larger context",
    ),
    Reason.UNSUPPORTED: (
        "the server does not take the request",
        "see the detail in `memory calls`",
    ),
    Reason.NO_CHAT: (
        "what came is no chat completion",
        "check MEMORY_OPENAI_BASE_URL; it ends with /v1",
    ),
    Reason.DECLINED: ("the model declined", "configure another model after it"),
    Reason.FILTERED: (
        "the provider filtered the text",
        "configure another model after it",
    ),
    Reason.CUT_OFF: (
        "the answer reached its limit of tokens",
        "raise MEMORY_MODEL_ANSWER_TOKENS, or switch the model's reasoning off",
    ),
    Reason.EMPTY: ("the answer is empty", "switch the model's reasoning off"),
    Reason.UNREADABLE: (
        "the answer has no JSON object, or several that differ",
        "see the answer in `memory calls`; take a larger model",
    ),
    Reason.WRONG_SCHEMA: (
        "the answer does not fit the schema",
        "see the answer in `memory calls`; take a larger model",
    ),
}
