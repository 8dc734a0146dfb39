"""What a model is applied to: texts of the command line, of a file, or of standard input as it comes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from transformer_e2e.config.hf_settings import DataArguments
from transformer_e2e.config.text_lines import STANDARD_INPUT, text_lines
from transformer_e2e.config.use import InferenceSettings
from transformer_e2e.data.schema import Schema
from transformer_e2e.data.table_files import file_problem
from transformer_e2e.data.tables import load_table
from transformer_e2e.errors import ConfigError, DataError
from transformer_e2e.launch.columns import column_problems, names_given, renamed

Row = Mapping[str, Any]
_SHOWN = 5  # mistakes in one message


def batches(settings: InferenceSettings, schema: Schema, say: Callable[[str], None]) -> Iterator[list[Row]]:
    """The inputs in their order, `batch_size` at a time, by the model's own column names, each cell a text.

    Of a terminal each line is a batch. Raises ConfigError or DataError before the first batch for whatever is
    wrong with arguments or a file; of standard input when the wrong line has come.
    """
    given, problems = names_given(schema, settings.text_column_names)
    ConfigError.raise_if(problems + _problems(settings, schema), "these inputs cannot be used")
    if settings.text:
        rows: Iterable[Row] = _from_texts(settings.text, schema.text_fields, settings.context)
    elif settings.file in (None, STANDARD_INPUT):
        return _from_standard_input(settings, schema, given, say)
    else:
        rows = _from_file(settings, schema, given, say)
    return _grouped(iter(_checked(list(enumerate(rows, 1)), schema.text_fields)), settings.batch_size)


def _problems(settings: InferenceSettings, schema: Schema) -> list[str]:
    """What of the settings does not suit the model, or each other."""
    fields, file, context = schema.text_fields, settings.file, settings.context
    lines = file is not None and Path(file).suffix.lower() == ".txt"
    found = []
    if context is not None and len(fields) < 2:
        found.append(
            f"--context is for models of two texts; a model of task {schema.task} has one, {fields[0]}"
        )
    if len(fields) > 1 and context is None:
        both = " and ".join(fields)
        if len(settings.text) % 2:
            found.append(
                f"this model takes two texts in turn, {both}, and {len(settings.text)} were given; "
                "the second may also be one for all: --context"
            )
        if lines:
            found.append(
                f"--file={file} holds one text a line, and this model takes two, {both}; give the second by "
                "--context, or both as columns of a .csv, .json or .jsonl file"
            )
    if settings.text_column_names is not None and (settings.text or lines):
        found.append("--text_column_names is for files that have columns")
    if file not in (None, STANDARD_INPUT) and (problem := file_problem("file", str(file))):
        found.append(problem)
    return found


def _from_texts(texts: Sequence[str], fields: Sequence[str], context: str | None) -> list[Row]:
    if len(fields) == 1 or context is not None:
        return [_row(text, fields, context) for text in texts]
    return [dict(zip(fields, pair, strict=True)) for pair in zip(texts[::2], texts[1::2], strict=True)]


def _from_file(
    settings: InferenceSettings, schema: Schema, given: Mapping[str, str], say: Callable[[str], None]
) -> Iterable[Row]:
    file = str(settings.file)
    fields = schema.text_fields
    if Path(file).suffix.lower() == ".txt":
        return [_row(line, fields, settings.context) for line in text_lines(file, "--file", "text")]
    table = load_table(DataArguments(task=schema.task, test_file=file), "test", say)
    wanted = fields if settings.context is None else fields[:1]
    problems = column_problems(table.column_names, wanted, given, file)
    ConfigError.raise_if(problems, "this file does not suit the model")
    rows = renamed(table, given)
    return rows if settings.context is None else ({**row, fields[1]: settings.context} for row in rows)


def _from_standard_input(
    settings: InferenceSettings, schema: Schema, given: Mapping[str, str], say: Callable[[str], None]
) -> Iterator[list[Row]]:
    if sys.stdin.isatty():
        say("reading standard input, one text a line; Ctrl-D ends it")
    size = 1 if sys.stdin.isatty() else settings.batch_size
    numbered = (
        (number, _of_line(number, line, schema.text_fields, given, settings.context))
        for number, line in enumerate(sys.stdin.buffer, 1)
        if line.strip()
    )
    came = False
    while batch := list(islice(numbered, size)):
        came = True
        yield _checked(batch, schema.text_fields)
    if not came:
        raise DataError("standard input held no text; give texts as arguments, or --file")


def _of_line(
    number: int, line: bytes, fields: Sequence[str], given: Mapping[str, str], context: str | None
) -> Row:
    """A line is a JSON object with the model's columns, else a text."""
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise DataError(f"line {number} is no UTF-8 text (byte {error.start}); convert it first") from None
    if text.lstrip().startswith("{"):
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if isinstance(found, dict) and given.get(fields[0], fields[0]) in found:
            row = {**found, **{field: found[name] for field, name in given.items() if name in found}}
            return row if context is None else {**row, fields[1]: context}
    if len(fields) > 1 and context is None:
        example = json.dumps(dict.fromkeys(fields, "..."))
        raise DataError(f"line {number} is no JSON object such as {example}; or give --context")
    return _row(text, fields, context)


def _row(text: str, fields: Sequence[str], context: str | None) -> Row:
    return {fields[0]: text} if context is None else {fields[0]: text, fields[1]: context}


def _checked(numbered: Sequence[tuple[int, Row]], fields: Sequence[str]) -> list[Row]:
    """The rows with their cells as texts; a number is one. Raises DataError with what is none."""
    problems = []
    for number, row in numbered:
        for field in fields:
            if why := _why_no_text(row.get(field)):
                problems.append(f"input {number}: {field} is {_short(row.get(field))}, {why}")
    if len(problems) > _SHOWN:
        problems = [*problems[:_SHOWN], f"and {len(problems) - _SHOWN} more"]
    if problems:
        raise DataError("\n".join(["these inputs cannot be used:", *(f"  - {item}" for item in problems)]))
    return [{**row, **{field: str(row[field]) for field in fields}} for _, row in numbered]


def _why_no_text(cell: Any) -> str | None:
    if not isinstance(cell, str | int | float) or isinstance(cell, bool) or not str(cell).strip():
        return "no text"
    try:
        str(cell).encode()
    except UnicodeEncodeError:
        return "no valid Unicode"
    return None


def _short(cell: Any) -> str:
    text = json.dumps(cell, default=str)
    return text if len(text) <= 40 else text[:37] + "..."


def _grouped(rows: Iterator[Row], size: int) -> Iterator[list[Row]]:
    while batch := list(islice(rows, size)):
        yield batch
