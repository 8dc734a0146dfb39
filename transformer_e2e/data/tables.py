"""One interface to every table of examples: files, folders, the hub, and what is made from this interpreter.

Which examples are held out, and which ones a limit keeps, depends on the data alone (a limit on training
examples: on the seed too), so that `evaluate` finds the examples that training was judged on.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from transformer_e2e.config.hf_settings import RUNNING_TEXT, DataArguments
from transformer_e2e.data import hub_text
from transformer_e2e.data.permutation import mixed, permuted
from transformer_e2e.data.snapshots import fingerprint
from transformer_e2e.data.splitting import cut_place
from transformer_e2e.data.table_schema import LABELS, NUMBERINGS, kind_of
from transformer_e2e.data.table_sources import Source, find_source
from transformer_e2e.errors import DataError, nearest

if TYPE_CHECKING:
    from datasets import Dataset

Say = Callable[[str], None]

VALIDATION_NAMES = (*hub_text.VALIDATION_NAMES, "validation_matched")  # MultiNLI's


@dataclass(frozen=True)
class Tables:
    """`name` as given: a hub name, a folder, a built-in name or a file's name.

    `validation_split`: the split that `validation` is, such as "validation", or "5% of train".
    """

    train: Dataset
    validation: Dataset
    name: str
    validation_split: str


def load_tables(data: DataArguments, *, seed: int, say: Say) -> Tables:
    """Training and validation examples, limited to `max_train_samples` and `max_eval_samples`.

    Where there is no validation split, a share of the training examples is held out: of running text the end,
    else examples in the order of their hashes, equal texts (in question answering: contexts) on one side.
    Limits keep a spread choice in the order of the data; those of mlm and clm count blocks, so their rows are
    not limited here. Raises ConfigError with all problems of the arguments, or DataError.
    """
    _no_bars_in_logs()
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

    Raises ConfigError with all problems of the arguments, or DataError.
    """
    _no_bars_in_logs()
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


def _no_bars_in_logs() -> None:
    """Progress bars of `datasets` are for a terminal; elsewhere they are lines of noise."""
    from datasets import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()


def _read(source: Source, split: str) -> Dataset:
    """Raises DataError for a split that is not there or holds nothing."""
    if split not in source.splits:
        hint = nearest(split, source.splits)
        raise DataError(f"{source.name} has no split named {split}; it has {', '.join(source.splits)}{hint}")
    table = source.splits[split]()
    if not len(table):
        else_ = "; without that split, a share of train is held out" if split in VALIDATION_NAMES else ""
        raise DataError(f"{source.name} has no examples in its split {split}{else_}")
    return table


def _validation_name(source: Source) -> str | None:
    return next((name for name in VALIDATION_NAMES if name in source.splits), None)


def _held_out(train: Dataset, data: DataArguments, name: str) -> tuple[Dataset, Dataset, str]:
    """(rest, held-out share, name of that share)."""
    share = data.validation_split_percentage
    if data.task in RUNNING_TEXT and len(train) == 1:
        return (*_cut(train, share), f"{share}% of train")
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


def _cut(table: Dataset, share: int) -> tuple[Dataset, Dataset]:
    """The only row as two, the second with the end of its texts: a book that is one line."""
    from datasets import Dataset

    head, tail = dict(table[0]), dict(table[0])
    for name, text in table[0].items():
        if isinstance(text, str):
            place = cut_place(text, len(text) - round(len(text) * share / 100))
            head[name], tail[name] = text[:place], text[place:]
    return (
        Dataset.from_list([head], features=table.features),
        Dataset.from_list([tail], features=table.features),
    )


def _keys(table: Dataset, task: str) -> list[str]:
    """For each example a hash of its texts; examples with equal ones must not stand on both sides."""
    if task in ("extractive_qa", "generative_qa") and "context" in table.column_names:
        names = ["context"]
    else:
        names = [name for name in table.column_names if kind_of(table, name) == "text"]
        names = [name for name in names if name.lower() not in (*LABELS, *NUMBERINGS)] or table.column_names
    columns = [list(table[name]) for name in names]
    return [fingerprint(map(repr, cells)) for cells in zip(*columns, strict=True)]


def _limited(table: Dataset, most: int | None, data: DataArguments, key: int) -> Dataset:
    if most is None or len(table) <= most or data.task in RUNNING_TEXT:
        return table
    chosen = permuted(np.arange(most, dtype=np.int64), count=len(table), key=key)
    return table.select(np.sort(chosen))
