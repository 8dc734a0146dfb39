"""The columns of other people's tables, under the names that a model knows them by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from transformer_e2e.data.schema import Schema
from transformer_e2e.errors import nearest

if TYPE_CHECKING:
    from datasets import Dataset

FLAGS = "--text_column_names or --label_column_name"


def names_given(
    schema: Schema, text_columns: str | None, label_column: str | None = None
) -> tuple[dict[str, str], list[str]]:
    """(a model's own field -> the column that holds it, for those that the flags name; what is wrong)."""
    problems = []
    given: dict[str, str] = {}
    if text_columns is not None:
        names = [name.strip() for name in text_columns.split(",")]
        wanted = schema.text_fields
        if len(set(names)) != len(wanted) or len(names) != len(wanted) or not all(names):
            problems.append(
                f"--text_column_names={text_columns} must name {len(wanted)}, for the model's own "
                f"{', '.join(wanted)}"
            )
        given |= dict(zip(wanted, names, strict=False))
    if label_column is not None:
        if schema.label_field is None:
            problems.append(f"--label_column_name={label_column}: task {schema.task} has no such column")
        else:
            given[schema.label_field] = label_column
    return given, problems


def column_problems(
    columns: Sequence[str], wanted: Iterable[str], given: Mapping[str, str], where: str
) -> list[str]:
    """What of a model's fields `wanted` a table with `columns` lacks."""
    return [
        f"{where} has no column {name}; it has {', '.join(columns)}"
        + (nearest(name, columns) if field in given else ": say which by " + FLAGS)
        for field in wanted
        if (name := given.get(field, field)) not in columns
    ]


def renamed(table: Dataset, given: Mapping[str, str]) -> Dataset:
    """The table with the model's own names for its columns; a column that had such a name is left out."""
    changes = {name: field for field, name in given.items() if name != field}
    in_the_way = [field for field in changes.values() if field in table.column_names and field not in changes]
    return table.remove_columns(in_the_way).rename_columns(changes)
