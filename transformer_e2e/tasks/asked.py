"""The questions of a trial, for both tasks that answer them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from transformer_e2e.config.hf_settings import DataArguments
from transformer_e2e.data.questions import COLUMNS, Columns, Question, read_questions
from transformer_e2e.data.schema import Schema
from transformer_e2e.data.tables import load_tables
from transformer_e2e.errors import ConfigError, UserError
from transformer_e2e.hf.arguments import Arguments
from transformer_e2e.hf.models import model_problems
from transformer_e2e.tasks.registry import Row, Say


@dataclass(frozen=True)
class Asked:
    name: str  # of the data set
    columns: Columns
    train: list[Question]
    held_out: list[Question]
    split: str  # what `held_out` is

    def schema(self, data: DataArguments, **extra: Any) -> Schema:
        question, context, answers = self.columns
        return Schema(
            task=data.task,
            data_name=self.name,
            max_length=data.max_seq_length,
            text_fields=(question, context),
            label_field=answers,
            extra={"max_answer_length": data.max_answer_length, **extra},
        )


def open_questions(arguments: Arguments, problems: Sequence[str], *, spans: bool, say: Say) -> Asked:
    """Training and validation questions. `problems`: the task's own.

    `spans`: training answers stand in their contexts. Raises UserErrors, those of model and data together.
    """
    found = [*model_problems(arguments), *problems]
    data = arguments.data
    try:
        columns = _columns(data)
        tables = load_tables(data, seed=arguments.seed, say=say)
        train, held_out = (
            read_questions(rows, f"{tables.name} ({split})", columns, answered=True, spans=spans and not held)
            for rows, split, held in (
                (tables.train, "training", False),
                (tables.validation, tables.validation_split, True),
            )
        )
    except UserError as error:
        if not found:
            raise
        found.append(str(error))
    ConfigError.raise_if(found)
    return Asked(tables.name, columns, train, held_out, tables.validation_split)


def questions_of_rows(schema: Schema, rows: Sequence[Row], *, answered: bool) -> list[Question]:
    """The questions of `infer` (without answers) and `evaluate`. Raises DataError."""
    question, context = schema.text_fields
    columns = (question, context, schema.label_field or COLUMNS[2])
    return read_questions(rows, "the examples", columns, answered=answered)


def texts_of(questions: Sequence[Question]) -> Iterator[str]:
    """What a tokenizer is trained on: each context once, questions, and answers that stand in no context."""
    yield from dict.fromkeys(question.context for question in questions)
    for question in questions:
        yield question.question
        yield from (answer for answer in question.answers if answer not in question.context)


def _columns(data: DataArguments) -> Columns:
    """Names of question, context and answers: what the arguments say, else SQuAD's. Raises ConfigError."""
    given = [name.strip() for name in (data.text_column_names or ",".join(COLUMNS[:2])).split(",")]
    if len(given) != 2 or not all(given):
        raise ConfigError(
            f"--text_column_names={data.text_column_names} must be two names, those of question and context: "
            "question,context"
        )
    return given[0], given[1], data.label_column_name or COLUMNS[2]
