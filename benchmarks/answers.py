"""Answers by a language model from a context, and how right they are.

Any endpoint that speaks OpenAI's chat API will do (MEMORY_OPENAI_BASE_URL, MEMORY_OPENAI_API_KEY).
Scores depend on the reader and the judge, so both are named with them and compared with no others.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import anyio

from memory.optional import extra
from memory.settings import Settings

AT_ONCE = 4

READ = """Answer the question from the notes alone. Be brief: a name, a date, a list, or one \
sentence. If the notes do not say, answer "unknown".

Notes:
{context}

Question: {question}
Answer:"""

JUDGE = """Does the answer say what the reference says? Other words, more detail and another \
format of the same date are fine; a different or missing fact is not. Reply with yes or no.

Question: {question}
Reference: {reference}
Answer: {answer}"""

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, what the right answer is, and the context it is to be read from."""

    question: str
    reference: str
    context: str


@dataclass(frozen=True, slots=True)
class Answered:
    """A reader's answer, its token F1, and the judge's word where there is a judge."""

    answer: str
    f1: float
    right: bool | None = None


class Panel:
    """A reader and perhaps a judge, by the names under which the endpoint knows them."""

    def __init__(self, settings: Settings, reader: str, judge: str | None = None) -> None:
        with extra("openai"):
            import openai
        key = settings.openai_api_key
        self._client = openai.AsyncOpenAI(
            api_key=key.get_secret_value() if key else None, base_url=settings.openai_base_url
        )
        self.reader = reader
        self.judge = judge

    async def answer_all(self, asked: Sequence[Asked]) -> list[Answered]:
        """The answers in the order of the questions, a few requests at a time."""
        answered: dict[int, Answered] = {}
        limit = anyio.CapacityLimiter(AT_ONCE)

        async def one(n: int) -> None:
            async with limit:
                answered[n] = await self.answer(asked[n])

        async with anyio.create_task_group() as group:
            for n in range(len(asked)):
                group.start_soon(one, n)
        return [answered[n] for n in range(len(asked))]

    async def answer(self, asked: Asked) -> Answered:
        """The reader's answer and its scores."""
        prompt = READ.format(context=asked.context or "(none)", question=asked.question)
        said = await self._complete(self.reader, prompt)
        f1 = token_f1(said, asked.reference)
        if self.judge is None:
            return Answered(said, f1)
        verdict = await self._complete(
            self.judge,
            JUDGE.format(question=asked.question, reference=asked.reference, answer=said),
        )
        return Answered(said, f1, verdict.casefold().lstrip(" \"'*").startswith("yes"))

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._client.close()

    async def _complete(self, model: str, prompt: str) -> str:
        completion = await self._client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": prompt}], temperature=0
        )
        return (completion.choices[0].message.content or "").strip()


def token_f1(answer: str, reference: str) -> float:
    """F1 over words in common, without case, punctuation and articles (Rajpurkar et al. 2016)."""
    said, wanted = Counter(_words(answer)), Counter(_words(reference))
    common = sum((said & wanted).values())
    if not common:
        return float(said == wanted)
    precision, recall = common / said.total(), common / wanted.total()
    return 2 * precision * recall / (precision + recall)


def _words(text: str) -> list[str]:
    bare = text.casefold().translate(str.maketrans("", "", string.punctuation))
    return _ARTICLES.sub(" ", bare).split()
