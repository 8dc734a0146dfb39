"""Corpora from Hugging Face `datasets`: folders written by save_to_disk, and data sets by name.

The library is imported only when text must be read; from the cache, a data set opens without it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from transformer_e2e.data.splitting import split, unique
from transformer_e2e.errors import DataError, nearest

VALIDATION_NAMES = ("validation", "valid", "val", "dev")
HEADING = re.compile(r"\s?= (?!=)[^\n]*[^=\s] =\s*")  # ` = Title = `, not ` = = Section = = `

Splits = tuple[tuple[str, ...], tuple[str, ...]]


def is_saved(path: Path) -> bool:
    """Whether the folder was written by `Dataset.save_to_disk` or `DatasetDict.save_to_disk`."""
    return (path / "dataset_dict.json").is_file() or (path / "state.json").is_file()


def load_saved(path: Path) -> Any:
    """As `datasets.load_from_disk`, which fails at a split that was saved without rows: here it is empty."""
    import datasets

    if not (path / "dataset_dict.json").is_file():
        return datasets.load_from_disk(str(path))
    names = json.loads((path / "dataset_dict.json").read_text(encoding="utf-8"))["splits"]
    return {
        name: datasets.load_from_disk(str(path / name))
        if json.loads((path / name / "state.json").read_text(encoding="utf-8"))["_data_files"]
        else datasets.Dataset.from_dict({})
        for name in names
    }


def read_saved(path: Path, text_column: str, validation_fraction: float) -> Splits:
    """(train, validation) documents of a folder written by save_to_disk. Raises DataError."""
    try:
        loaded = load_saved(path)
    except Exception as error:  # whatever pyarrow or the library makes of a damaged folder
        raise DataError(
            f"--dataset={path} looks like a saved data set but cannot be read: {error}"
        ) from error
    return _splits(loaded, str(path), text_column, validation_fraction)


def read_hub(
    name: str, config: str | None, revision: str | None, text_column: str, validation_fraction: float
) -> Splits:
    """(train, validation) documents of a data set on the Hub, or of its copy in the cache of `datasets`.

    The splits of the data set are used where it has both. Raises DataError, saying whether the name, the
    configuration or the network is at fault.
    """
    import datasets

    given = f"--dataset={name}" + (f" --dataset_config={config}" if config else "")
    try:
        loaded = datasets.load_dataset(name, config, revision=revision)
    except Exception as error:  # the network's, the Hub's, pyarrow's and the library's own: dozens of classes
        works = (
            "--dataset=python-docs, a text file, a folder of .txt files, or a folder written by save_to_disk"
        )
        raise DataError(refusal(given, error, works + nearest(name, ["python-docs"]))) from error
    return _splits(loaded, given, text_column, validation_fraction)


def articles(rows: Iterable[str]) -> Iterator[str]:
    """Documents from the rows of a text column.

    Where rows are lines of text under `= Title =` headings (the WikiText family), the lines between two
    titles are one document again, title first. Elsewhere each row is a document.
    """
    lines = list(rows)
    if not any(HEADING.fullmatch(line) for line in lines):
        yield from lines
        return
    article: list[str] = []
    for line in lines:
        if HEADING.fullmatch(line) and article:
            yield "".join(article)
            article = []
        article.append(line if line.endswith("\n") else line + "\n")
    yield "".join(article)


def _splits(loaded: Any, given: str, text_column: str, validation_fraction: float) -> Splits:
    by_name = loaded if isinstance(loaded, Mapping) else {"train": loaded}
    held = next((name for name in VALIDATION_NAMES if name in by_name), None)
    if "train" not in by_name:
        raise DataError(f"{given} has no split named train; it has {', '.join(by_name)}")
    if held is None:
        return split(unique(articles(_rows(by_name["train"], given, text_column))), validation_fraction)
    validation = unique(articles(_rows(by_name[held], given, text_column)))
    known = set(validation)
    train = unique(articles(_rows(by_name["train"], given, text_column)))
    return tuple(document for document in train if document not in known), validation


def _rows(table: Any, given: str, text_column: str) -> list[str]:
    columns = list(table.column_names)
    if text_column not in columns:
        hint = nearest(text_column, columns)
        raise DataError(
            f"{given} has no column {text_column}; it has {', '.join(columns)}: "
            f"give one of them with --text_column{hint}"
        )
    rows = list(table[text_column])
    strange = next((type(row).__name__ for row in rows if not isinstance(row, str | None)), None)
    if strange:
        raise DataError(
            f"--text_column={text_column} of {given} holds {strange}, not text; it has {', '.join(columns)}"
        )
    return [row for row in rows if row is not None]


def refusal(given: str, error: Exception, works: str) -> str:
    """What to tell the user when `datasets` could not load what was given: whose fault it is, what works."""
    return f"{given} cannot be loaded: {fault(error, 'datasets')}. Without the Hub: {works}"


def fault(error: Exception, library: str) -> str:
    """Why `library` could not load something by name: the account, the network, or in its own words."""
    chain = " ".join(f"{type(cause).__name__} {cause}" for cause in _causes(error))
    if re.search(r"gated|\b40[13]\b|authenticat", chain, re.IGNORECASE):
        return "the Hub wants an account for it: run `hf auth login`, or set HF_TOKEN"
    if re.search(r"offline|connect|reach|resolve|timed? ?out|max retries", chain, re.IGNORECASE):
        return (
            f"the Hugging Face Hub cannot be reached and no copy is in the cache of `{library}` (HF_HOME); "
            "load it once with a network, or copy such a cache here and set HF_HOME"
        )
    return f"`{library}` says: {error}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
