"""Which columns of a table hold the text and which one the label.

What is given decides; then common names; then the kinds of the columns. Where that leaves a choice, it is not
guessed: the error lists the columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transformer_e2e.errors import DataError, nearest

if TYPE_CHECKING:
    from datasets import Dataset

PAIRS = (  # before the single names: question + sentence is no sentence
    ("premise", "hypothesis"),
    ("sentence1", "sentence2"),
    ("sentence_1", "sentence_2"),
    ("sentence_a", "sentence_b"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("question", "passage"),
    ("question", "context"),
    ("query", "passage"),
    ("query", "document"),
    ("claim", "evidence"),
    ("text1", "text2"),
    ("text_a", "text_b"),
)
SINGLES = (
    "sentence",
    "text",
    "string",  # SciCite's
    "content",
    "document",
    "review",
    "review_body",
    "body",
    "article",
    "abstract",
    "comment",
    "comment_text",
    "tweet",
    "message",
    "utterance",
    "question",
    "query",
    "description",
    "docstring",
    "title",
    "headline",
)
LABELS = (
    "label",
    "labels",
    "gold_label",
    "target",
    "class",
    "category",
    "sentiment",
    "emotion",
    "intent",
    "topic",
    "stars",
    "rating",
    "score",
    "similarity",
    "y",
)
NUMBERINGS = ("id", "idx", "index", "guid", "uid", "uuid", "key", "row", "unnamed: 0")
FEW = 20  # different values that may be classes however few examples each has
REPEATED = 5  # examples for each value where there are more values
KINDS = {
    "text": "text",
    "class": "named classes",
    "int": "whole numbers",
    "float": "decimal numbers",
    "bool": "true or false",
    "empty": "empty",
    "other": "nested",
}


@dataclass(frozen=True)
class Columns:
    text_fields: tuple[str, ...]  # one or two
    label_field: str


def kind_of(table: Dataset, column: str) -> str:
    """A key of KINDS, by the column's type."""
    feature = table.features[column]
    if hasattr(feature, "int2str"):
        return "class"
    dtype = str(getattr(feature, "dtype", ""))
    for kind, starts in (
        ("text", ("string", "large_string")),
        ("int", ("int", "uint")),
        ("float", ("float", "double", "decimal")),
        ("bool", ("bool",)),
        ("empty", ("null",)),
    ):
        if dtype.startswith(starts):
            return kind
    return "other"


def listed(table: Dataset) -> str:
    """The columns and what they hold, for an error."""
    return ", ".join(f"{name} ({KINDS[kind_of(table, name)]})" for name in table.column_names)


def infer_columns(table: Dataset, *, texts: str | None, label: str | None, name: str) -> Columns:
    """The columns of the table; `texts` ("premise,hypothesis") and `label` are as given, None: inferred.

    Raises DataError with all problems and the columns.
    """
    chosen = _listed_names(table, texts)
    problems = [*_text_problems(table, chosen, texts), *_label_problems(table, chosen, label)]
    if not problems:
        try:
            field = label or _named_label(table, chosen)
            chosen = chosen or _infer_texts(table, field)
            return Columns(chosen, field or _likely_label(table, chosen))
        except DataError as error:
            problems.append(str(error))
    raise DataError(f"{'; '.join(problems)}. {name} has {listed(table)}")


def _listed_names(table: Dataset, given: str | None) -> tuple[str, ...]:
    if given is None or given in table.column_names:  # a name may hold a comma
        return (given,) if given else ()
    return tuple(part.strip() for part in given.split(","))


def _text_problems(table: Dataset, names: Sequence[str], given: str | None) -> Iterator[str]:
    flag = f"--text_column_names={given}"
    if len(names) > 2:
        yield f"{flag} names {len(names)} columns; a model takes one text or two"
    for name in names:
        if name not in table.column_names:
            yield f"{flag}: there is no column {name}{nearest(name, table.column_names)}"
        elif kind_of(table, name) != "text":
            yield f"{flag}: {name} holds no text"


def _label_problems(table: Dataset, texts: Sequence[str], given: str | None) -> Iterator[str]:
    flag = f"--label_column_name={given}"
    if given is None:
        return
    if given not in table.column_names:
        yield f"{flag}: there is no such column{nearest(given, table.column_names)}"
    elif given in texts:
        yield f"{flag} is the column of the text, too"
    elif kind_of(table, given) == "other":
        yield f"{flag} holds lists or objects; one label for each example works"


def _infer_texts(table: Dataset, label: str | None) -> tuple[str, ...]:
    """The column of text, or the pair: by name, else the first that holds text. Raises DataError."""
    usable = [name for name in table.column_names if kind_of(table, name) == "text" and name != label]
    by_name = {name.lower(): name for name in reversed(usable)}
    for names in (*PAIRS, *((name,) for name in SINGLES)):
        if all(name in by_name for name in names):
            return tuple(by_name[name] for name in names)
    if not usable:
        raise DataError("no column holds text; --text_column_names names one or two that do")
    texts = [name for name in usable if name.lower() not in NUMBERINGS]
    if label is None:  # one of them may be the label
        texts = [name for name in texts if not _repeats(table, name)] or texts
    return ((texts or usable)[0],)


def _named_label(table: Dataset, texts: Sequence[str]) -> str | None:
    """By its name, or the only one that holds named classes."""
    able = [name for name in table.column_names if name not in texts and kind_of(table, name) != "other"]
    by_name = {name.lower(): name for name in reversed(able)}
    named = next((by_name[name] for name in LABELS if name in by_name), None)
    classes = [name for name in able if kind_of(table, name) == "class"]
    return named or (classes[0] if len(classes) == 1 else None)


def _likely_label(table: Dataset, texts: Sequence[str]) -> str:
    """The only other column whose values can be labels. Raises DataError if there are several, or none."""
    rest = [name for name in table.column_names if name not in texts and name.lower() not in NUMBERINGS]
    likely = [
        name for name in rest if kind_of(table, name) in ("class", "bool", "float") or _repeats(table, name)
    ]
    if len(likely) == 1:
        return likely[0]
    if not likely:
        lists = [
            name for name in table.column_names if name.lower() in LABELS and kind_of(table, name) == "other"
        ]
        why = f" ({lists[0]} holds lists or objects; one label for each example works)" if lists else ""
        raise DataError(f"no column looks like a label{why}; --label_column_name names it")
    raise DataError(f"the label may be {' or '.join(likely)}; --label_column_name={likely[0]} chooses")


def _repeats(table: Dataset, column: str) -> bool:
    """Whether the values of a column of texts or whole numbers look like classes, each seen twice or more."""
    if kind_of(table, column) not in ("text", "int"):
        return False
    count = len(distinct(table, column))
    return are_classes(count, len(table)) and 2 * count <= len(table)


def distinct(table: Dataset, column: str) -> set[Any]:
    """The different values of a column. The library's own `unique` first copies a selection of rows."""
    return set(table[column])


def are_classes(count: int, examples: int) -> bool:
    """Whether `count` different values, over so many examples, can be classes."""
    return count <= FEW or REPEATED * count <= examples
