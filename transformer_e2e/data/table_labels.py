"""What the labels of a table mean: classes with names, or numbers; and which examples have none."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transformer_e2e.data.table_schema import are_classes, distinct, kind_of
from transformer_e2e.errors import DataError, nearest

if TYPE_CHECKING:
    from datasets import Dataset

SHOWN = 8  # labels in a message
MISSING = -1  # what the hub's data sets write for a label that is not told


@dataclass(frozen=True)
class Labels:
    """How a label becomes what the model learns: the number of its class, or a number.

    `names` by class number; empty for regression. `numbered`: whole numbers in the data are class numbers,
    as in columns of the hub's type ClassLabel; else each value stands for the class of its own name.
    """

    problem: str  # "classification" or "regression"
    names: tuple[str, ...] = ()
    numbered: bool = False

    def is_missing(self, value: Any) -> bool:
        """None, not a number, an empty text; of classes -1, too."""
        if value is None or (isinstance(value, str) and not value.strip()):
            return True
        if isinstance(value, float) and math.isnan(value):
            return True
        return self.problem == "classification" and not isinstance(value, str) and value == MISSING

    def targets(self, values: Sequence[Any], given: str) -> list[int] | list[float]:
        """Class numbers or numbers of values that are not missing. Raises DataError naming those unknown."""
        if self.problem == "regression":
            return [_number(value, given) for value in values]
        numbers = {name: number for number, name in enumerate(self.names)}
        found = [self._class_number(value, numbers) for value in values]
        unknown = sorted({str(value) for value, number in zip(values, found, strict=True) if number is None})
        if unknown:
            hint = nearest(unknown[0], self.names)
            raise DataError(
                f"{given} holds {shown(unknown)}, but the labels are {shown(self.names)}{hint}; "
                "a model knows those of its training alone"
            )
        return [number for number in found if number is not None]

    def _class_number(self, value: Any, numbers: dict[str, int]) -> int | None:
        name = _name(value)
        if name in numbers and not (self.numbered and isinstance(value, int | float)):
            return numbers[name]
        if not self.numbered or not name.isdecimal():
            return None
        return int(name) if int(name) < len(self.names) else None


def infer_labels(train: Dataset, validation: Dataset, column: str, problem: str, name: str) -> Labels:
    """What the labels of a column are. `problem`: "classification", "regression", or "auto".

    Decimal numbers are a regression; so are whole numbers with too many different values to be classes.
    Raises DataError where they can be neither.
    """
    kind = kind_of(train, column)
    given = f"column {column} of {name}"
    if problem == "auto":
        problem = _problem(train, column, kind, given)
    labels = Labels(problem)
    values = {value for value in distinct(train, column) if not labels.is_missing(value)}
    if not values:
        raise DataError(
            f"{given} holds no label: it is missing or -1 in all {len(train):,} training examples"
        )
    if problem == "regression":
        labels.targets(list(values), given)  # each must be a number
        return labels
    if kind == "class":
        names = tuple(train.features[column].names)
    else:
        if column in validation.column_names:
            values |= {value for value in distinct(validation, column) if not labels.is_missing(value)}
        ordered = sorted(values, key=lambda value: (isinstance(value, str), value))
        names = tuple(dict.fromkeys(_name(value) for value in ordered))
    if len(names) < 2:
        raise DataError(f"{given} holds only the label {names[0]}; there must be two or more")
    return Labels(problem, names, numbered=kind == "class")


def labelled(
    table: Dataset, column: str, labels: Labels, *, drop: bool, split: str, say: Callable[[str], None]
) -> Dataset:
    """The table without its unlabeled examples, whose number is said.

    Raises DataError if there are some and `drop` is not set, and if none has a label.
    """
    if column not in table.column_names:
        has = ", ".join(table.column_names)
        raise DataError(f"{split} has no column {column}, so it cannot be judged; it has {has}")
    kept = [index for index, value in enumerate(table[column]) if not labels.is_missing(value)]
    count = len(table) - len(kept)
    what = "missing or -1" if labels.problem == "classification" else "missing"
    if not kept:
        raise DataError(f"{split} has no labels: {column} is {what} in all {count:,} examples; give another")
    if not count:
        return table
    said = f"{split}: {count:,} of {len(table):,} examples have no label ({column} is {what})"
    if not drop:
        meant = "; if -1 is a class, give it a name in the data" if labels.problem == "classification" else ""
        raise DataError(f"{said}; --drop_unlabeled leaves them out{meant}")
    say(f"{said}; they are left out")
    return table.select(kept)


def shown(names: Sequence[str]) -> str:
    """The first few names of a list that may be long."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _problem(train: Dataset, column: str, kind: str, given: str) -> str:
    if kind == "float":
        return "regression"
    if kind in ("class", "bool", "empty"):
        return "classification"
    count = len(distinct(train, column))
    all_differ = kind == "text" and count == len(train) > 2
    if are_classes(count, len(train)) and not all_differ:
        return "classification"
    if kind == "int":
        return "regression"
    raise DataError(
        f"{given} holds {count:,} different texts in {len(train):,} examples: too many to be classes. "
        "--label_column_name names another column; --problem_type says that these are classes, or numbers"
    )


def _name(value: Any) -> str:
    """The text of a label: 2 and 2.0 are one class."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _number(value: Any, given: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise DataError(
            f"{given} holds {value!r}, and a regression needs numbers; --problem_type=classification"
        )
    return number
