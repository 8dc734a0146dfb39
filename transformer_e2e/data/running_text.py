"""Rows of a table as documents, and documents as one stream of tokens that is cut into blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from transformer_e2e.data.hub_text import HEADING, articles
from transformer_e2e.data.snapshots import Facts, open_or_build
from transformer_e2e.data.tokenizer import pieces
from transformer_e2e.errors import DataError, nearest

if TYPE_CHECKING:
    from datasets import Dataset

TOKENS = "tokens.bin"

Encode = Callable[[list[str]], list[list[int]]]  # texts -> the ids of each, without special tokens
Ids = NDArray[np.int64]


def text_column(table: Dataset, wanted: str | None, given: str) -> str:
    """The column of the text: the wanted one, else `text`, else the first of strings. Raises DataError."""
    columns = list(table.column_names)
    strings = [name for name in columns if _holds_text(table, name)]
    if wanted is not None:
        if wanted in strings:
            return wanted
        what = "is no column of text" if wanted in columns else "is not there"
        raise DataError(
            f"--text_column_names={wanted} {what}: {given} has {', '.join(columns)}{nearest(wanted, strings)}"
        )
    if not strings:
        raise DataError(f"{given} has no column of text; it has {', '.join(columns)}")
    return "text" if "text" in strings else strings[0]


def documents(rows: Iterable[str | None]) -> list[str]:
    """The texts that rows hold, without empty ones.

    Rows that are lines, each with the line break that ends it, belong together: from title to title in the
    WikiText family, else all of them. Other rows are documents by themselves.
    """
    texts = [row for row in rows if row is not None]
    if any(HEADING.fullmatch(text) for text in texts):
        found = list(articles(texts))
    elif len(texts) > 1 and all(text.endswith("\n") for text in texts[:-1] if text):
        found = ["".join(texts)]
    else:
        found = texts
    return [text for text in found if text.strip()]


def token_stream(
    texts: Sequence[str],
    encode: Encode,
    directory: Path,
    *,
    end: int | None,
    vocab_size: int,
    workers: int,
) -> NDArray[np.unsignedinteger]:
    """All tokens of the texts one after another, `end` after each text; mapped from `directory`.

    Made by `workers` processes if it is not there; once, whoever asks. `directory` must name the texts and
    the tokenizer. Very long texts are encoded in parts, cut where one line follows another.
    """
    build = partial(_build, texts, encode, end, "<u2" if vocab_size <= 1 << 16 else "<u4", workers)
    facts = open_or_build(
        directory, build, what=f"the tokens of {len(texts):,} document" + "s" * (len(texts) != 1)
    )
    if not facts["tokens"]:
        return np.zeros(0, dtype=np.uint16)
    return np.memmap(directory / TOKENS, dtype=facts["dtype"], mode="r")


@dataclass(frozen=True, eq=False)
class Blocks:
    """Example i is `before`, the i-th run of tokens, and `after`: `size` tokens together, int64.

    What is left at the end of the stream is too short for a block, and is not used.
    """

    stream: NDArray[np.unsignedinteger]
    size: int
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    most: int | None = None  # blocks, the first ones; None: all

    @property
    def inside(self) -> int:
        return self.size - len(self.before) - len(self.after)

    def __len__(self) -> int:
        count = len(self.stream) // self.inside
        return count if self.most is None else min(count, self.most)

    def __getitem__(self, index: int) -> Mapping[str, Ids]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        tokens = self.stream[index * self.inside : (index + 1) * self.inside]
        return {"input_ids": np.concatenate([self.before, tokens, self.after]).astype(np.int64)}


def _holds_text(table: Dataset, name: str) -> bool:
    return getattr(table.features[name], "dtype", None) in ("string", "large_string")


def _build(
    texts: Sequence[str], encode: Encode, end: int | None, dtype: str, workers: int, staging: Path
) -> Facts:
    with (staging / TOKENS).open("wb") as stream:
        for ids in _encoded(texts, encode, end, workers):
            stream.write(np.asarray(ids, dtype=dtype).tobytes())
        return {"dtype": dtype, "tokens": stream.tell() // np.dtype(dtype).itemsize}


def _encoded(texts: Sequence[str], encode: Encode, end: int | None, workers: int) -> Iterator[list[int]]:
    from datasets import Dataset

    parts = [list(pieces(text)) for text in texts]
    table = Dataset.from_dict({"text": [piece for text in parts for piece in text]}).map(
        partial(_encode_batch, encode=encode),
        batched=True,
        batch_size=100,
        remove_columns=["text"],
        desc="tokenising",
        num_proc=workers if workers > 1 else None,
    )
    ids: Iterator[list[int]] = (row["ids"] for row in table)
    for text in parts:
        for _ in text:
            yield next(ids)
        if end is not None:
            yield [end]


def _encode_batch(batch: Mapping[str, Any], encode: Encode) -> dict[str, list[list[int]]]:
    return {"ids": encode(batch["text"])}
