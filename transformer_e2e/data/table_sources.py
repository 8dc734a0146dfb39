"""Where examples come from: files, a saved folder, the hub, or this interpreter's documentation."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformer_e2e.config.hf_settings import RUNNING_TEXT, DataArguments
from transformer_e2e.data import docstring_qa, docstring_table, hub_text, python_docs
from transformer_e2e.data.table_files import SUFFIXES, as_columns, file_problem, read_table, table_of
from transformer_e2e.errors import ConfigError, DataError, nearest

if TYPE_CHECKING:
    from datasets import Dataset

Rows = list[dict[str, Any]]

DEFAULTS = {  # task -> its own data set
    "mlm": "python-docs",
    "clm": "python-docs",
    "classification": "python-docstrings",
    "extractive_qa": "python-docs-qa",
    "generative_qa": "python-docs-qa",
}
PYTHON_DOCS_HELD_OUT = 0.05  # share of the characters; the same documents as the from-scratch path's default


@dataclass(frozen=True)
class Source:
    """A data set's splits by name, each read when it is asked for."""

    name: str
    splits: Mapping[str, Callable[[], Dataset]]


def find_source(data: DataArguments) -> Source:
    """The data set that the arguments name, or the task's own.

    Raises ConfigError with all problems, or DataError.
    """
    files = {
        split: (f"{split}_file", given)
        for split in ("train", "validation", "test")
        if (given := getattr(data, f"{split}_file"))
    }
    name = data.dataset_name or DEFAULTS[data.task]
    local = "files" if files else name if name in BUILT_IN or hub_text.is_saved(_folder(name)) else None
    problems = [
        f"--{flag}={value} is for data sets on the hub, not for {local}"
        for flag in ("dataset_config_name", "dataset_revision")
        if local and (value := getattr(data, flag))
    ]
    problems += [problem for flag, given in files.values() if (problem := file_problem(flag, given))]
    if files and data.dataset_name:
        given = ", ".join(f"--{flag}" for flag, _ in files.values())
        problems.append(
            f"--dataset_name={data.dataset_name} and {given} exclude each other; give one of them"
        )
    ConfigError.raise_if(problems, "these examples cannot be read")
    if not files:
        return _named(data, name)
    read = read_table if data.task in RUNNING_TEXT else _read_rows
    paths = {split: _folder(name) for split, (_, name) in files.items()}
    return Source(
        next(iter(paths.values())).name, {split: partial(read, path) for split, path in paths.items()}
    )


def _named(data: DataArguments, name: str) -> Source:
    if name in BUILT_IN:
        splits = ("train", "validation") if name == "python-docs" else ("train", "validation", "test")
        return Source(name, {split: partial(_built_in, name, split) for split in splits})
    import datasets

    path = _folder(name)
    given = f"--dataset_name={name}"
    _check_name(name, path)
    try:
        if hub_text.is_saved(path):
            loaded: Any = hub_text.load_saved(path)
        else:
            config, revision = data.dataset_config_name, data.dataset_revision
            given += f" --dataset_config_name={config}" if config else ""
            loaded = datasets.load_dataset(name, config, revision=revision)
    except Exception as error:  # the network's, the hub's, pyarrow's and the library's own: dozens of classes
        works = f"{', '.join(BUILT_IN)}, a folder written by save_to_disk, or a --train_file"
        raise DataError(hub_text.refusal(given, error, works)) from error
    tables = dict(loaded) if isinstance(loaded, Mapping) else {"train": loaded}
    return Source(name, {split: partial(_itself, table) for split, table in tables.items()})


def _folder(name: str) -> Path:
    return Path(name).expanduser()


def _check_name(name: str, path: Path) -> None:
    """Raises DataError for what cannot be a data set, before the hub is asked."""
    if path.is_file():
        raise DataError(f"--dataset_name={name} is a file; give it as --train_file={name}")
    if path.is_dir():
        return
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or path.suffix in SUFFIXES:
        around = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"--dataset_name={name}: there is no such folder{nearest(path.name, around)}")
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name):
        raise DataError(
            f"--dataset_name={name} is no name of a data set: those look like rajpurkar/squad, or are one of "
            f"{', '.join(BUILT_IN)}"
        )
    if "/" not in name and (meant := nearest(name, BUILT_IN)):
        raise DataError(f"--dataset_name={name} is no data set made here{meant}")


def _itself(table: Dataset) -> Dataset:
    return table


def _built_in(name: str, split: str) -> Dataset:
    return table_of(as_columns(BUILT_IN[name](split), name), name)


def _read_rows(path: Path) -> Dataset:
    """As `read_table`, but the lines of a .txt file are examples: without line breaks and blank lines."""
    table = read_table(path)
    if path.suffix.lower() != ".txt":
        return table
    return table_of({"text": [line.strip() for line in table["text"] if line.strip()]}, str(path))


def _python_docs(split: str) -> Rows:
    train, validation = _corpus(python_docs.standard_library())
    return [{"text": text} for text in (train if split == "train" else validation)]


@functools.cache  # parsing the standard library takes seconds
def _corpus(root: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return python_docs.read_split(root, PYTHON_DOCS_HELD_OUT)


BUILT_IN: dict[str, Callable[[str], Rows]] = {
    "python-docs": _python_docs,
    docstring_table.NAME: docstring_table.rows,
    docstring_qa.NAME: docstring_qa.rows,
}
