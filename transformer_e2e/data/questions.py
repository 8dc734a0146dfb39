"""Questions about a text, in the forms in which SQuAD and its relatives write them, checked and made equal.

Source of the form: Rajpurkar et al. 2016 (SQuAD 1.1) and 2018 (2.0, where a question may have no answer).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from transformer_e2e.errors import DataError, nearest

SHOWN = 3  # examples of one kind of mistake
Columns = tuple[str, str, str]  # names of question, context and answers
COLUMNS: Columns = ("question", "context", "answers")


@dataclass(frozen=True)
class Question:
    question: str
    context: str
    answers: tuple[str, ...] = ()  # any of them is right; empty: the context does not say
    starts: tuple[int, ...] = ()  # character of the context where each answer begins; -1: not known

    def as_row(self) -> dict[str, Any]:
        return asdict(self)


def read_questions(
    rows: Iterable[Mapping[str, Any]],
    what: str,
    columns: Columns = COLUMNS,
    *,
    answered: bool,
    spans: bool = False,
) -> list[Question]:
    """The rows in their order. `what` names them in messages: "train_file=a.json".

    `answered`: every row has the column of the answers (its list may be empty). `spans`: every answer stands
    in the context; one without a place gets that of its first occurrence. Raises DataError, with all kinds of
    mistakes at once, each with its count and the first rows that have it.
    """
    mistakes: dict[str, list[int]] = {}
    found = []
    for number, row in enumerate(rows):
        question, problems = _read(row, columns, answered=answered, spans=spans)
        found.append(question)
        for problem in problems:
            mistakes.setdefault(problem, []).append(number)
    if mistakes:
        lines = [f"{what}: {len(found)} rows, of which"]
        for problem, numbers in mistakes.items():
            first = ", ".join(map(str, numbers[:SHOWN])) + (", ..." if len(numbers) > SHOWN else "")
            lines.append(f"  - {len(numbers)} {problem} (counted from 0: {first})")
        raise DataError("\n".join([*lines, _NEEDED.format(*columns)]))
    return found


_NEEDED = (
    "a row needs {0}, {1} and, but for inference, {2}: a text, a list of texts, or "
    '{{"text": ["..."], "answer_start": [0]}}; in training --text_column_names=QUESTION,CONTEXT and '
    "--label_column_name=ANSWERS name columns that are called otherwise"
)


def _read(
    row: Mapping[str, Any], columns: Columns, *, answered: bool, spans: bool
) -> tuple[Question, list[str]]:
    problems = []
    texts = []
    for name in columns[:2]:
        value = row.get(name)
        texts.append(value if isinstance(value, str) else "")
        if name not in row:
            problems.append(f"without {name}; their columns are {', '.join(row)}{nearest(name, row)}")
        elif not texts[-1].strip():
            problems.append(f"with an empty {name}")
    question, context = texts
    given = row.get(columns[2])
    if answered and given is None:
        known = f"their columns are {', '.join(row)}{nearest(columns[2], row)}"
        problems.append(f"without {columns[2]}; {known}")
    try:
        answers, starts = _answers(given)
    except (TypeError, ValueError, KeyError):
        return Question("", ""), [*problems, f"with {columns[2]} of another form"]
    if spans and context:
        starts = tuple(_place(context, text, start) for text, start in zip(answers, starts, strict=True))
        if any(start < 0 for start in starts):
            problems.append("with an answer that does not stand in the context where answer_start says")
    return Question(question.strip(), context, answers, starts), problems


def _answers(given: Any) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """(texts, starts) of any of the forms; empty texts are no answers. Raises what a wrong form raises."""
    if given is None:
        return (), ()
    if isinstance(given, str):
        given = [given]
    if isinstance(given, Mapping):
        texts: Sequence[Any] = given["text"]
        places: Sequence[Any] = given.get("answer_start") or [-1] * len(texts)
        pairs = list(zip(texts, places, strict=True))
    else:
        pairs = [
            (item, -1) if isinstance(item, str) else (item["text"], item.get("answer_start", -1))
            for item in given
        ]
    if not all(isinstance(text, str) for text, _ in pairs):
        raise TypeError("an answer is no text")
    kept = [(text, int(-1 if start is None else start)) for text, start in pairs if text.strip()]
    return tuple(text for text, _ in kept), tuple(start for _, start in kept)


def _place(context: str, answer: str, start: int) -> int:
    """Where the answer begins in the context; -1: not there."""
    if start < 0:
        return context.find(answer)
    return start if context.startswith(answer, start) else -1
