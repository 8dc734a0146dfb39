"""python-docs-qa: questions about the functions and classes of the standard library, in SQuAD's flat form.

A context is what `help()` shows: the signature, then the docstring. Four kinds of question: a parameter's
default value (answered by the signature), the exception that is raised (anywhere), what is returned
(anywhere), and what the thing does (the first sentence). Whole modules are held out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from transformer_e2e.data.docstrings import Definition, apart, check_split, definitions, hold_out
from transformer_e2e.data.sentences import first_sentence, sentences
from transformer_e2e.data.snapshots import fingerprint

NAME = "python-docs-qa"
KINDS = ("default", "raises", "returns", "summary")
LONGEST_CONTEXT = 1500  # characters; 1 % are longer, and are left out whole
LONGEST_DEFAULT = 30  # characters; longer ones are expressions, not values

MOST_DEFAULTS = 2  # questions of one signature, about different values: over half of all defaults are None
LONGEST_ANSWER = 200  # characters
LONGEST_CONDITION = 120  # characters

ARTICLES = {"a", "an", "the"}
RAISES = re.compile(
    r"\b[Rr]ais(?:es?|ing):?\s+(?:an?\s+|the\s+)?(?::\w+:)?[`'\"]*((?:\w+\.)*[A-Z]\w+)\b(?!\s+exceptions)"
)
IS_RAISED = re.compile(
    r"\b((?:\w+\.)*[A-Z]\w*(?:Error|Exception|Warning|Interrupt|Exit|Iteration|Timeout))[`'\"]*"
    r"(?:\s+exception)?\s+(?:is|will\s+be)\s+raised\b"
)
RETURNS = re.compile(r"(?:This\s+(?:function|method)\s+)?returns?:?\s+", re.IGNORECASE)
CONDITION = re.compile(r"[`'\"]*(?:\s+exception)?[,:]?\s*((?:if|when|unless)\s[^.;]*)")  # after the exception
CONDITION_FIRST = re.compile(r"((?:If|When|Unless)\s[^,.;]*),")
NO_SENTENCE = re.compile(r"\S+\(.*->|:|\W*\Z", re.DOTALL)  # an old form of signature, a field

Row = dict[str, Any]
Spans = list[tuple[int, int]]


@dataclass(frozen=True)
class Question:
    kind: str
    text: str
    answers: tuple[tuple[str, int], ...]  # (text, start in the context): all are right


def rows(split: str) -> list[Row]:
    """{"id", "title", "context", "question", "answers": {"text", "answer_start"}} of "train", "validation" or
    "test", in the order of the sources.

    Each answer stands in the context at its `answer_start`. Modules are on one side wholly, and no context of
    a split shares a run of 8 words with one of another split. Raises DataError for another split.
    """
    check_split(split, NAME)
    return [
        {
            "id": fingerprint([title, context, question.text])[:24],
            "title": title,
            "context": context,
            "question": question.text,
            "answers": {
                "text": [text for text, _ in question.answers],
                "answer_start": [start for _, start in question.answers],
            },
        }
        for title, context, question in _splits()[split]
    ]


def always_first_sentence(context: str) -> str:
    """What a reader would answer who does not look at the question: the docstring's first sentence."""
    return first_sentence(context.partition("\n\n")[2])


def questions(one: Definition) -> Iterator[Question]:
    """What can be asked of a function or class; nothing where the docstring does not say it plainly."""
    offset = len(one.signature) + 2
    spans = [(start + offset, end + offset) for start, end in sentences(one.docstring)]
    context = _context(one)
    found = [*_defaults(one), *_raises(one, context, spans), *_returns(one, context, spans)]
    yield from found
    if found:  # where nothing else is asked, no question would have to be read
        yield from _summary(one, context, spans)


def _context(one: Definition) -> str:
    return f"{one.signature}\n\n{one.docstring}"


def _defaults(one: Definition) -> Iterator[Question]:
    first_of: dict[str, Question] = {}
    for default in one.defaults:
        if len(default.value) <= LONGEST_DEFAULT and _has_word(default.value):
            text = _choose(
                one,
                default.parameter,
                f"What is the default value of {default.parameter}?",
                f"What does {default.parameter} default to?",
            )
            first_of.setdefault(default.value, Question("default", text, ((default.value, default.start),)))
    yield from list(first_of.values())[:MOST_DEFAULTS]


def _raises(one: Definition, context: str, spans: Spans) -> Iterator[Question]:
    """One question for each condition that is given; of the others, one with all exceptions as answers."""
    plain: dict[str, int] = {}
    for start, end in spans:
        for pattern in (RAISES, IS_RAISED):
            for match in pattern.finditer(context, start, end):
                answer, condition = match.group(1), _condition(context, start, match.end(1), end)
                if condition:
                    text = f"Which exception is raised {condition}?"
                    yield Question("raises", text, ((answer, match.start(1)),))
                elif answer != one.name:  # as in the docstring of an exception
                    plain.setdefault(answer, match.start(1))
    if plain:
        text = _choose(
            one, "raises", f"Which exception does {one.name} raise?", f"What is raised by {one.name}?"
        )
        yield Question("raises", text, tuple(plain.items()))


def _condition(context: str, start: int, after: int, end: int) -> str:
    """ "if ..." behind the exception, or at the beginning of its sentence; empty: none, or a long one."""
    found = CONDITION.match(context, after, end) or CONDITION_FIRST.match(context, start, end)
    text = " ".join(found.group(1).split()) if found else ""
    return text[:1].lower() + text[1:] if len(text) <= LONGEST_CONDITION else ""


def _returns(one: Definition, context: str, spans: Spans) -> Iterator[Question]:
    answers: dict[str, int] = {}
    for start, end in spans:
        if match := RETURNS.match(context, start, end):
            answer = context[match.end() : end].partition(";")[0].rstrip(" \n.,")
            if _is_answer(answer):
                answers.setdefault(answer, match.end())
    if answers:
        text = _choose(one, "returns", f"What does {one.name} return?", f"What is the result of {one.name}?")
        yield Question("returns", text, tuple(answers.items()))


def _summary(one: Definition, context: str, spans: Spans) -> Iterator[Question]:
    """Of docstrings whose first sentence does not say what is returned."""
    start, end = spans[0]
    answer = context[start:end]
    if _is_answer(answer) and not NO_SENTENCE.match(answer) and not RETURNS.match(answer):
        noun = "stand for" if one.signature.startswith("class ") else "do"
        text = _choose(one, "summary", f"What does {one.name} {noun}?", f"What is {one.name} for?")
        yield Question("summary", text, ((answer, start),))


def _is_answer(text: str) -> bool:
    return len(text) <= LONGEST_ANSWER and not text.endswith(":") and _has_word(text)


def _has_word(text: str) -> bool:
    """SQuAD's measure drops punctuation and articles, so it could not tell '' from {} or 'a'."""
    return bool(set(re.sub(r"[^\w\s]|_", "", text.lower()).split()) - ARTICLES)


def _choose(one: Definition, about: str, *texts: str) -> str:
    """One of several ways to ask, by what is asked: always the same."""
    return texts[int(fingerprint([one.module, one.name, about])[:8], 16) % len(texts)]


@cache
def _splits() -> dict[str, list[tuple[str, str, Question]]]:
    asked: dict[tuple[str, str], tuple[Definition, Question]] = {}
    for one in definitions():
        context = _context(one)
        if one.name and len(context) <= LONGEST_CONTEXT:
            for question in questions(one):  # a class and its copy for another platform have equal ones
                asked.setdefault((context, question.text), (one, question))
    place = hold_out(Counter(one.module for one, _ in asked.values()))
    return apart(
        (place[one.module], one.docstring, (f"{one.module}.{one.name}", context, question))
        for (context, _), (one, question) in asked.items()
    )
