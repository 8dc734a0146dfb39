"""One interface to every table of examples: files, folders, the hub, and what is made from this interpreter.

Which examples are held out, and which ones a limit keeps, depends on the data alone (a limit on training
examples: on the seed too), so that `evaluate` finds the examples that training was judged on.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from transformer_e2e.config.hf_settings import DataArguments
from transformer_e2e.data import docstring_qa, docstring_table, hub_text, python_docs
from transformer_e2e.data.permutation import mixed, permuted
from transformer_e2e.data.snapshots import fingerprint
from transformer_e2e.data.table_files import SUFFIXES, as_columns, file_problem, read_table, table_of
from transformer_e2e.errors import ConfigError, DataError, nearest

if TYPE_CHECKING:
    from datasets import Dataset

Say = Callable[[str], None]
Rows = list[dict[str, Any]]

DEFAULTS = {  # task -> its own data set
    "mlm": "python-docs",
    "clm": "python-docs",
    "classification": "python-docstrings",
    "extractive_qa": "python-docs-qa",
    "generative_qa": "python-docs-qa",
}
VALIDATION_NAMES = (*hub_text.VALIDATION_NAMES, "validation_matched")  # MultiNLI's
PYTHON_DOCS_HELD_OUT = 0.05  # share of the characters; the same documents as the from-scratch path's default
RUNNING_TEXT = ("mlm", "clm")  # tasks whose rows follow one another and whose examples are blocks, not rows


@dataclass(frozen=True)
class Tables:
    """`name` as given: a hub name, a folder, a built-in name or a file's name.

    `validation_split`: the split that `validation` is, such as "validation", or "5% of train".
    """

    train: Dataset
    validation: Dataset
    name: str
    validation_split: str


@dataclass(frozen=True)
class Source:
    """A data set's splits by name, each read when it is asked for."""

    name: str
    splits: Mapping[str, Callable[[], Dataset]]


def load_tables(data: DataArguments, *, seed: int, say: Say) -> Tables:
    """Training and validation examples, limited to `max_train_samples` and `max_eval_samples`.

    Where there is no validation split, a share of the training examples is held out: of running text the end,
    else examples in the order of their hashes, equal texts (in question answering: contexts) on one side.
    Limits keep a spread choice in the order of the data; those of mlm and clm count blocks, so their rows are
    not limited here. Raises DataError.
    """
    source = find_source(data)
    train = _read(source, "train")
    held = _validation_name(source)
    if held:
        validation, split = _read(source, held), held
    else:
        train, validation, split = _held_out(train, data, source.name)
    train = _limited(train, data.max_train_samples, data, mixed(seed, 1))
    validation = _limited(validation, data.max_eval_samples, data, 0)
    say(f"{source.name}: {len(train):,} training examples, {len(validation):,} of validation ({split})")
    return Tables(train, validation, source.name, split)


def load_table(data: DataArguments, split: str, say: Say) -> Dataset:
    """One split, limited to `max_eval_samples`; "validation" is what `load_tables` gives, "train" the rest.

    Raises DataError.
    """
    source = find_source(data)
    if split in ("train", "validation") and not _validation_name(source) and "train" in source.splits:
        train, validation, held = _held_out(_read(source, "train"), data, source.name)
        table, split = (train, split) if split == "train" else (validation, held)
    else:
        if split == "validation":
            split = _validation_name(source) or split
        table = _read(source, split)
    table = _limited(table, data.max_eval_samples, data, 0)
    say(f"{source.name}: {len(table):,} examples ({split})")
    return table


def find_source(data: DataArguments) -> Source:
    """The data set that the arguments name, or the task's own. Raises DataError with all problems."""
    files = {
        split: (f"{split}_file", given)
        for split in ("train", "validation", "test")
        if (given := getattr(data, f"{split}_file"))
    }
    if not files:
        return _named(data, data.dataset_name or DEFAULTS[data.task])
    problems = [problem for flag, name in files.values() if (problem := file_problem(flag, name))]
    if data.dataset_name:
        given = ", ".join(f"--{flag}" for flag, _ in files.values())
        problems.append(
            f"--dataset_name={data.dataset_name} and {given} exclude each other; give one of them"
        )
    ConfigError.raise_if(problems, "these examples cannot be read")
    read = read_table if data.task in RUNNING_TEXT else _read_rows
    paths = {split: Path(name).expanduser() for split, (_, name) in files.items()}
    return Source(
        next(iter(paths.values())).name, {split: partial(read, path) for split, path in paths.items()}
    )


def _named(data: DataArguments, name: str) -> Source:
    if name in BUILT_IN:
        splits = ("train", "validation") if name == "python-docs" else ("train", "validation", "test")
        return Source(name, {split: partial(_built_in, name, split) for split in splits})
    import datasets

    path = Path(name).expanduser()
    given = f"--dataset_name={name}"
    _check_name(name, path)
    try:
        if path.is_dir() and hub_text.is_saved(path):
            loaded: Any = datasets.load_from_disk(str(path))
        else:
            config, revision = data.dataset_config_name, data.dataset_revision
            given += f" --dataset_config_name={config}" if config else ""
            loaded = datasets.load_dataset(name, config, revision=revision)
    except Exception as error:  # the network's, the hub's, pyarrow's and the library's own: dozens of classes
        works = f"{', '.join(BUILT_IN)}, a folder written by save_to_disk, or a --train_file"
        raise DataError(hub_text.refusal(given, error, works)) from error
    tables = dict(loaded) if isinstance(loaded, Mapping) else {"train": loaded}
    return Source(name, {split: partial(_itself, table) for split, table in tables.items()})


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


def _read(source: Source, split: str) -> Dataset:
    """Raises DataError for a split that is not there or holds nothing."""
    if split not in source.splits:
        hint = nearest(split, source.splits)
        raise DataError(f"{source.name} has no split named {split}; it has {', '.join(source.splits)}{hint}")
    table = source.splits[split]()
    if not len(table):
        raise DataError(f"{source.name} has no examples in its split {split}")
    return table


def _validation_name(source: Source) -> str | None:
    return next((name for name in VALIDATION_NAMES if name in source.splits), None)


def _held_out(train: Dataset, data: DataArguments, name: str) -> tuple[Dataset, Dataset, str]:
    """(rest, held-out share, name of that share)."""
    share = data.validation_split_percentage
    keys = range(len(train)) if data.task in RUNNING_TEXT else _keys(train, data.task)
    order = list(dict.fromkeys(keys))
    if len(order) < 2:
        raise DataError(
            f"{name} has no validation split, and only {len(order)} distinct example to hold out; "
            "give one with --validation_file, or more examples"
        )
    if data.task not in RUNNING_TEXT:
        order.sort()
    held = set(order[-max(1, round(len(order) * share / 100)) :])
    sides = [key in held for key in keys]
    rest = train.select([index for index, side in enumerate(sides) if not side])
    return rest, train.select([index for index, side in enumerate(sides) if side]), f"{share}% of train"


def _keys(table: Dataset, task: str) -> list[str]:
    """For each example a hash; examples with equal ones must not stand on both sides."""
    asked = task in ("extractive_qa", "generative_qa") and "context" in table.column_names
    names = ["context"] if asked else _text_columns(table) or table.column_names
    columns = [list(table[name]) for name in names]
    return [fingerprint(map(repr, cells)) for cells in zip(*columns, strict=True)]


def _text_columns(table: Dataset) -> list[str]:
    strings = ("string", "large_string")
    return [name for name, kind in table.features.items() if getattr(kind, "dtype", None) in strings]


def _limited(table: Dataset, most: int | None, data: DataArguments, key: int) -> Dataset:
    if most is None or len(table) <= most or data.task in RUNNING_TEXT:
        return table
    chosen = permuted(np.arange(most, dtype=np.int64), count=len(table), key=key)
    return table.select(np.sort(chosen))


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
