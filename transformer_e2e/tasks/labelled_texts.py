"""Texts with their labels, from tables of any layout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from transformer_e2e.config.hf_settings import DataArguments
from transformer_e2e.data.schema import Schema
from transformer_e2e.data.table_labels import Labels, infer_labels, labelled, shown
from transformer_e2e.data.table_schema import Columns, distinct, infer_columns
from transformer_e2e.data.tables import Tables
from transformer_e2e.errors import DataError
from transformer_e2e.tasks.registry import Say

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class LabelledTexts:
    """Rows with labels that `labels` knows: the schema's text and label fields. `split`: of validation."""

    train: Dataset
    validation: Dataset
    split: str
    schema: Schema
    labels: Labels


def read_labelled_texts(data: DataArguments, tables: Tables, say: Say) -> LabelledTexts:
    """Infer columns and labels, and check every label. Raises DataError; what was inferred is said."""
    name = tables.name
    columns = infer_columns(
        tables.train, texts=data.text_column_names, label=data.label_column_name, name=name
    )
    labels = infer_labels(tables.train, tables.validation, columns.label_field, data.problem_type, name)
    kept, problems = [], []
    for table, split in ((tables.train, "train"), (tables.validation, tables.validation_split)):
        given, drop = f"{split} of {name}", data.drop_unlabeled
        try:
            table = labelled(table, columns.label_field, labels, drop=drop, split=given, say=say)
            kept.append(_checked(table, columns, labels, given))
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise DataError("\n".join(problems))
    what = f"one of {len(labels.names)} labels: {shown(labels.names)}" if labels.names else "a number"
    say(f"text: {' + '.join(columns.text_fields)}; {columns.label_field}: {what}")
    if unseen := _unseen(kept[0], columns, labels):
        say(f"note: no training example has the label {shown(unseen)}")
    schema = Schema(
        task="classification",
        data_name=name,
        max_length=data.max_seq_length,
        text_fields=columns.text_fields,
        label_field=columns.label_field,
        labels=labels.names,
        problem=labels.problem,
        extra={"numbered": labels.numbered},
    )
    return LabelledTexts(kept[0], kept[1], tables.validation_split, schema, labels)


def _checked(table: Dataset, columns: Columns, labels: Labels, given: str) -> Dataset:
    if absent := [field for field in columns.text_fields if field not in table.column_names]:
        raise DataError(f"{given} has no column {absent[0]}; it has {', '.join(table.column_names)}")
    labels.targets(table[columns.label_field], f"{columns.label_field} of {given}")
    return table.select_columns([*columns.text_fields, columns.label_field])


def _unseen(train: Dataset, columns: Columns, labels: Labels) -> list[str]:
    """The classes without an example."""
    seen = set(labels.targets(list(distinct(train, columns.label_field)), columns.label_field))
    return [name for number, name in enumerate(labels.names) if number not in seen]
