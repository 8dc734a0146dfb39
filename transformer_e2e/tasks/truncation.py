"""Examples of which a model reads the beginning alone: whoever gave them is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transformer_e2e.data.schema import Schema
from transformer_e2e.tasks.registry import Say

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import BatchEncoding

TRUNCATED = "truncated"  # column of a table, key of a prediction: whether only its beginning is read


def truncated_rows(encoded: BatchEncoding, max_length: int) -> list[bool]:
    """Whether each row lost its end. A tokenizer written in Python does not tell: there, one that is full."""
    if encoded.encodings is None:
        return [len(ids) >= max_length for ids in encoded["input_ids"]]
    return [bool(encoding.overflowing) for encoding in encoded.encodings]


def tell_truncated(truncated: int, count: int, what: str, limit: str, say: Say) -> None:
    """`what`: "training examples"; `limit`: "--max_seq_length=128"."""
    if truncated:
        part = f"{truncated:,} of {count:,} {what}"
        say(f"note: {part} do not fit into {limit} tokens: only their start is read")


def with_truncated_told(table: Dataset, what: str, limit: str, say: Say) -> Dataset:
    """The examples as a model takes them, once their column `truncated` is told."""
    tell_truncated(sum(table[TRUNCATED]), len(table), what, limit, say)
    return table.remove_columns(TRUNCATED)


def models_limit(schema: Schema) -> str:
    """In words, where there are no flags."""
    return f"the model's {schema.max_length:,}"
