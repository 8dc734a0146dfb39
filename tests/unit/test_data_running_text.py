"""Promises of running text: rows become the documents that they were, and these a stream and its blocks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset

from transformer_e2e.data.running_text import Blocks, documents, text_column, token_stream
from transformer_e2e.errors import DataError

TEXTS = ["one two three", "four", "a longer text with many words " * 40, "line\n" * 30_000]
END = 99


def encode(texts: list[str]) -> list[list[int]]:
    """A number for each word."""
    return [[len(word) for word in text.split()] for text in texts]


def stream(directory: Path, workers: int = 1) -> np.ndarray:
    return token_stream(TEXTS, encode, directory, end=END, vocab_size=100, workers=workers)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (["a b", "c", "", None, "  "], ["a b", "c"]),
        (["a\n", "\n", "b\n", "c"], ["a\n\nb\nc"]),
        (["a\n"], ["a\n"]),
        (["", " = Cat = \n", " meow \n", "", " = = Tail = = \n", " = Dog = \n", " wuff \n"], None),
        ([], []),
    ],
)
def test_rows_become_documents(rows, expected):
    wiki = [" = Cat = \n meow \n\n = = Tail = = \n", " = Dog = \n wuff \n"]
    assert documents(rows) == (wiki if expected is None else expected)


def test_a_stream_is_the_same_however_many_processes_make_it(tmp_path):
    expected = [number for text in TEXTS for number in (*encode([text])[0], END)]
    assert stream(tmp_path / "one").tolist() == expected
    assert stream(tmp_path / "two", workers=2).tolist() == expected
    assert (tmp_path / "one" / "tokens.bin").stat().st_size == 2 * len(expected)


def test_a_stream_is_made_once(tmp_path):
    stream(tmp_path / "s")
    made = (tmp_path / "s" / "tokens.bin").stat().st_mtime_ns
    token_stream(TEXTS, lambda _: pytest.fail(), tmp_path / "s", end=END, vocab_size=100, workers=1)
    assert (tmp_path / "s" / "tokens.bin").stat().st_mtime_ns == made


def test_a_stream_of_nothing_has_no_blocks(tmp_path):
    assert len(Blocks(token_stream([], encode, tmp_path / "s", end=1, vocab_size=9, workers=1), 8)) == 0


def test_blocks_cover_the_stream_in_order_without_the_rest():
    numbers = np.arange(100, dtype=np.uint16)
    blocks = Blocks(numbers, 8, before=(1000,), after=(2000,))
    assert len(blocks) == 16
    rows = [blocks[index]["input_ids"] for index in range(16)]
    assert {len(row) for row in rows} == {8} and {row.dtype for row in rows} == {np.dtype("int64")}
    assert np.concatenate([row[1:-1] for row in rows]).tolist() == list(range(96))
    assert {(row[0], row[-1]) for row in rows} == {(1000, 2000)}
    assert len(Blocks(numbers, 8, most=3)) == 3
    with pytest.raises(IndexError):
        blocks[16]


@pytest.mark.parametrize(
    ("columns", "wanted", "expected"),
    [
        ({"id": [1], "body": ["a"], "title": ["b"]}, None, "body"),
        ({"id": [1], "body": ["a"], "text": ["b"]}, None, "text"),
        ({"body": ["a"], "text": ["b"]}, "body", "body"),
        ({"body": ["a"], "text": ["b"]}, "bodi", "is not there: it has body, text; did you mean body?"),
        ({"n": [1], "text": ["b"]}, "n", "is no column of text: it has n, text"),
        ({"n": [1]}, None, "it has no column of text; it has n"),
    ],
)
def test_the_column_of_the_text(columns, wanted, expected):
    table = Dataset.from_dict(columns)
    if expected in columns:
        assert text_column(table, wanted, "it") == expected
    else:
        with pytest.raises(DataError) as caught:
            text_column(table, wanted, "it")
        assert expected in str(caught.value)
