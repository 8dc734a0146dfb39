"""Tables from files on this machine: .csv, .tsv, .json, .jsonl, SQuAD's JSON, and .txt by lines.

Nothing is cached, and nothing is guessed from a name but the format. Only an empty cell of a .csv or .tsv
file counts as missing: "NA", "null" and "None" are words, and may be labels.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformer_e2e.data.local_text import read_text
from transformer_e2e.errors import DataError, nearest

if TYPE_CHECKING:
    import pandas
    from datasets import Dataset

SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".txt")


def file_problem(flag: str, name: str) -> str | None:
    """Why `--flag=name` cannot be a table file, or None."""
    path = Path(name).expanduser()
    if path.suffix.lower() not in SUFFIXES:
        return f"--{flag}={name} must end in one of {', '.join(SUFFIXES)}"
    if not path.is_file():
        around = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        return f"--{flag}={name}: there is no such file{nearest(path.name, around)}"
    return None


def read_table(path: Path) -> Dataset:
    """The rows of a file, in their order. Raises DataError: which file, where in it, and what is wrong.

    A .txt file becomes rows of one column `text`: its lines, each with the line break that ends it.
    """
    try:
        text = read_text(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if not text.strip():
        raise DataError(f"{path} is empty: it has neither rows nor a header")
    kind = path.suffix.lower()
    if kind == ".txt":
        columns: dict[str, list[Any]] = {"text": list(io.StringIO(text, newline="\n"))}
    elif kind in (".csv", ".tsv"):
        columns = _cells(path, text, "," if kind == ".csv" else "\t")
    else:
        columns = as_columns(_objects(path, text), str(path))
    if not columns or not any(columns.values()):
        raise DataError(f"{path} holds no rows")
    return table_of(columns, str(path))


def as_columns(rows: Sequence[Mapping[str, Any]], given: str) -> dict[str, list[Any]]:
    """The rows as columns; a key that a row lacks is None there. Raises DataError: a row is no object."""
    strange = next((number for number, row in enumerate(rows, 1) if not isinstance(row, Mapping)), None)
    if strange is not None:
        what = type(rows[strange - 1]).__name__
        raise DataError(
            f"{given}: example {strange} is a {what}; each one must be an object, "
            'such as {"text": "...", "label": "..."}'
        )
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def table_of(columns: Mapping[str, list[Any]], given: str) -> Dataset:
    """Raises DataError naming the column whose values have no common type."""
    from datasets import Dataset

    try:
        return Dataset.from_dict(dict(columns))
    except Exception as error:  # pyarrow's own classes, TypeError and OverflowError among them
        for name, values in columns.items():
            try:
                Dataset.from_dict({name: values})
            except Exception as reason:
                raise DataError(f"{given}: column {name} mixes kinds of values: {reason}") from error
        raise


def _cells(path: Path, text: str, separator: str) -> dict[str, list[Any]]:
    """Columns of whole numbers, numbers, truth values or texts; None where a cell is empty."""
    import pandas

    try:
        frame = _frame(text, separator)
    except ValueError as error:  # ParserError, EmptyDataError
        raise DataError(
            f"{path} cannot be read as a table with a header line: {error}; quote cells that hold "
            f"{'commas' if separator == ',' else 'tabs'} or line breaks"
        ) from error
    if not isinstance(frame.index, pandas.RangeIndex):  # what pandas makes of cells beyond the header
        raise DataError(
            f"{path}: its rows hold more cells than its header, which is {', '.join(map(str, frame.columns))}"
        )
    if other := _other_separator(frame):
        raise DataError(
            f"{path} separates its cells by {other}, which makes one column of them, {frame.columns[0]!r}; "
            f"those of a {path.suffix} file must be separated by {'commas' if separator == ',' else 'tabs'}"
        )
    columns = {str(name): frame[name].astype(object) for name in frame.columns}
    return {name: [None if pandas.isna(cell) else cell for cell in cells] for name, cells in columns.items()}


def _other_separator(frame: pandas.DataFrame) -> str | None:
    """What else stands between the cells, in words, if that is as often in every row as in the header."""
    if len(frame.columns) != 1:
        return None
    (name,) = frame.columns
    for mark, words in ((";", "semicolons"), ("\t", "tabs"), (",", "commas"), ("|", "bars")):
        count = str(name).count(mark)
        if count and all(isinstance(cell, str) and cell.count(mark) == count for cell in frame[name]):
            return words
    return None


def _frame(text: str, separator: str) -> pandas.DataFrame:
    """Raises ValueError.

    Tabs need no quotes, and many .tsv files (GLUE's) have them in their texts: where quotes would hold a tab,
    or never end, they are characters, if the file makes a table so.
    """
    import pandas

    read = partial(
        pandas.read_csv, sep=separator, keep_default_na=False, na_values=[""], dtype_backend="numpy_nullable"
    )
    if separator == ",":
        return read(io.StringIO(text))
    try:
        frame = read(io.StringIO(text))
        if not any(_holds_tab(frame[name]) for name in frame.columns):
            return frame
    except ValueError:
        return read(io.StringIO(text), quoting=csv.QUOTE_NONE)
    try:
        return read(io.StringIO(text), quoting=csv.QUOTE_NONE)
    except ValueError:
        return frame


def _holds_tab(cells: Iterable[Any]) -> bool:
    return any(isinstance(cell, str) and "\t" in cell for cell in cells)


def _objects(path: Path, text: str) -> list[Any]:
    """JSON lines, a list of objects, or an object with the list in `data`; SQuAD's articles are laid flat."""
    first = text.lstrip()[:1]
    if path.suffix.lower() == ".jsonl" or (first == "{" and _is_json_line(text)):
        return _json_lines(path, text)
    try:
        content = json.loads(text)
    except ValueError as error:
        raise DataError(f"{path} is no JSON: {error}") from error
    rows = content.get("data") if isinstance(content, dict) else content
    if not isinstance(rows, list):
        raise DataError(
            f"{path} must hold one JSON object a line, a list of objects, or an object with that list in "
            "`data`"
        )
    if rows and all(isinstance(row, dict) and "paragraphs" in row for row in rows):
        try:
            return list(_squad(rows))
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{path} looks like SQuAD, but a part is missing or odd: {error}") from error
    return rows


def _is_json_line(text: str) -> bool:
    """Whether the first line is an object by itself that is no wrapper of the rows."""
    try:
        found = json.loads(text.lstrip().partition("\n")[0])
    except ValueError:
        return False
    return isinstance(found, dict) and not isinstance(found.get("data"), list)


def _json_lines(path: Path, text: str) -> list[Any]:
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except ValueError as error:
                raise DataError(f"{path}, line {number} is no JSON: {error}") from error
    return rows


def _squad(articles: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """One row a question, as the data set `squad` on the hub has them."""
    for article in articles:
        for paragraph in article["paragraphs"]:
            for asked in paragraph["qas"]:
                answers = asked.get("answers") or []
                yield {
                    "id": str(asked["id"]),
                    "title": article.get("title", ""),
                    "context": paragraph["context"],
                    "question": asked["question"],
                    "answers": {
                        "text": [answer["text"] for answer in answers],
                        "answer_start": [answer["answer_start"] for answer in answers],
                    },
                }
