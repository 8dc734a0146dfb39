"""Promises of the tokenised data: the whole text, built once by many processes, complete or absent."""

from __future__ import annotations

import errno
import json
import logging
import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from transformer_e2e.config.settings import DataSettings
from transformer_e2e.data import tokenizer, tokens
from transformer_e2e.data.corpus import load_corpus
from transformer_e2e.data.tokens import prepare
from transformer_e2e.errors import DataError

WORDS = [f"word{i}" for i in range(50)]


@pytest.fixture
def settings(tmp_path) -> DataSettings:
    """Twenty small files; a tokenizer that needs no training."""
    draw = np.random.default_rng(1)
    for i in range(20):
        (tmp_path / "texts").mkdir(exist_ok=True)
        (tmp_path / "texts" / f"{i}.txt").write_text(f"é{i} " + " ".join(draw.choice(WORDS, 200)) + "\n")
    return DataSettings(dataset=str(tmp_path / "texts"), tokenizer="bytes", context_window=16)


@pytest.fixture
def cache(tmp_path) -> Path:
    return tmp_path / "cache"


def documents_in(stream: np.ndarray, data: tokens.TokenizedData) -> list[str]:
    ends = np.flatnonzero(stream == data.tokenizer.end_of_text)
    assert ends[0] == 0 and ends[-1] == len(stream) - 1
    return [data.tokenizer.decode(stream[a + 1 : b].tolist()) for a, b in pairwise(ends)]


@pytest.mark.parametrize("name", ["bytes", "bpe:300"])
def test_the_streams_hold_every_document_between_ends_of_text(settings, cache, name):
    settings = replace(settings, tokenizer=name)
    data, corpus = prepare(settings, cache), load_corpus(settings, cache)
    assert documents_in(data.train, data) == list(corpus.train)
    assert documents_in(data.validation, data) == list(corpus.validation)
    assert data.corpus_fingerprint == corpus.fingerprint
    assert data.validation_text() == b"".join(text.encode() + b"\0" for text in corpus.validation)
    assert data.validation_bytes == len(data.validation_text()) - len(corpus.validation)
    assert data.validation_words == 201 * len(corpus.validation)


def test_python_docs_come_back_from_their_tokens(data_cache):
    data = prepare(DataSettings(), data_cache)
    assert documents_in(data.validation, data) == list(data.corpus().validation)
    assert (data.train.dtype, data.tokenizer.vocab_size) == (np.uint16, 2048)
    assert 2.5 < data.validation_bytes / len(data.validation) < 4


def test_tokens_are_read_only_maps_of_files(settings, cache):
    data = prepare(settings, cache)
    assert isinstance(data.train, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        data.train[0] = 1


def test_a_vocabulary_of_more_than_65536_ids_takes_four_bytes(settings, cache, monkeypatch):
    class Wide(tokenizer.ByteTokenizer):
        vocab_size = 70_000
        end_of_text = 69_999

    monkeypatch.setattr(tokens, "make_tokenizer", lambda *_: Wide())
    data = prepare(settings, cache)
    assert data.train.dtype == np.uint32
    assert data.train[0] == 69_999


def test_a_long_document_encoded_in_pieces_gives_the_ids_of_the_whole(settings, cache, monkeypatch):
    text = "\n".join(f"  line {i}  \n\nnext {i}\n \n\tx\ny\r\nz" for i in range(300))
    Path(settings.dataset, "long.txt").write_text(text)
    settings = replace(settings, tokenizer="bpe:300")
    whole = prepare(settings, cache)
    monkeypatch.setattr(tokenizer, "PIECE", 50)
    assert len(list(tokenizer.pieces(text))) > 50
    assert prepare(settings, cache.with_name("other")).fingerprint == whole.fingerprint


def test_the_fingerprint_tells_texts_and_tokenizers_apart_and_nothing_else(settings, cache):
    first = prepare(settings, cache)
    assert prepare(replace(settings, context_window=4), cache).fingerprint == first.fingerprint
    assert prepare(settings, cache.with_name("other")).fingerprint == first.fingerprint
    assert prepare(replace(settings, tokenizer="bpe:300"), cache).fingerprint != first.fingerprint
    Path(settings.dataset, "new.txt").write_text("A new file.")
    assert prepare(settings, cache).fingerprint != first.fingerprint


def test_four_processes_at_once_build_once_and_get_the_same(settings, cache):
    program = (
        "import logging, sys; from pathlib import Path\n"
        "from transformer_e2e.config.settings import DataSettings\n"
        "from transformer_e2e.data.tokens import prepare\n"
        "logging.basicConfig(level='INFO', format='%(message)s', stream=sys.stdout)\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "settings = DataSettings(dataset=sys.argv[1], tokenizer='bpe:300', context_window=16)\n"
        "print('fingerprint', prepare(settings, Path(sys.argv[2])).fingerprint)\n"
    )
    command = [sys.executable, "-c", program, settings.dataset, str(cache)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    lines = [line for process in processes for line in process.communicate(timeout=240)[0].splitlines()]
    assert all(process.returncode == 0 for process in processes)
    assert len({line for line in lines if line.startswith("fingerprint")}) == 1
    assert sorted(line.split(" (")[0].split("/")[0] for line in lines if line.startswith("building")) == [
        "building the corpus ",
        "building the tokenizer bpe:300",
        "building the tokens of ",
    ]


@pytest.mark.parametrize(
    "name", ["train.bin", "validation.bin", "tokenizer/tokenizer_kind.json", "manifest.json"]
)
@pytest.mark.parametrize("damage", ["changed", "cut", "gone"])
def test_damaged_files_are_built_again_and_that_is_said(settings, cache, caplog, name, damage):
    first = prepare(settings, cache)
    path = first.directory / name
    if damage == "changed":
        content = bytearray(path.read_bytes())
        content[content.index(b"2") if name.endswith("json") else 99] ^= 1  # a digit of a number
        path.write_bytes(content)
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-2])
    else:
        path.unlink()
    with caplog.at_level(logging.WARNING):
        again = prepare(settings, cache)
    assert again.fingerprint == first.fingerprint
    assert again.validation_text() == first.validation_text()
    assert f"again: {first.directory} " in caplog.text


def test_a_full_disk_is_an_error_that_leaves_nothing(settings, cache, monkeypatch):
    real = os.fsync
    calls = []

    def failing(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 6:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(DataError, match="No space left on device; free some space"):
        prepare(settings, cache)
    assert not [path for path in cache.rglob("*.bin")]
    monkeypatch.setattr(os, "fsync", real)
    assert len(prepare(settings, cache).train) > 1000


def test_a_window_too_long_for_the_text_names_the_longest_and_that_works(settings, cache):
    shortest = min(len(prepare(settings, cache).train), len(prepare(settings, cache).validation))
    with pytest.raises(
        DataError, match=rf"validation split .* largest context_window that works is {shortest - 1}"
    ):
        prepare(replace(settings, context_window=100_000), cache)
    assert prepare(replace(settings, context_window=shortest - 1), cache)
    with pytest.raises(DataError):
        prepare(replace(settings, context_window=shortest), cache)


def test_a_training_text_too_short_is_named(tmp_path, cache):
    (tmp_path / "a.txt").write_text("ab\n" * 20)
    settings = DataSettings(
        dataset=str(tmp_path / "a.txt"), tokenizer="bytes", context_window=30, validation_fraction=0.8
    )
    with pytest.raises(DataError, match=r"the training split .* largest context_window that works is \d+$"):
        prepare(settings, cache)


def test_a_wrong_tokenizer_is_refused_before_anything_is_built(settings, cache):
    with pytest.raises(DataError, match="bpe:257"):
        prepare(replace(settings, tokenizer="bpe:2"), cache)
    assert not cache.exists()


def test_a_hugging_face_tokenizer_is_kept_with_the_tokens_and_found_again_by_its_content(
    settings, cache, tmp_path
):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    folder = tmp_path / "mine"
    for extra in ({}, {"word7": 60}):
        inner = Tokenizer(models.WordLevel({"<unk>": 0, "word1": 1, **extra}, unk_token="<unk>"))
        inner.pre_tokenizer = pre_tokenizers.Whitespace()
        PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>").save_pretrained(folder)
        data = prepare(replace(settings, tokenizer=str(folder)), cache)
        assert data.tokenizer.vocab_size == (62 if extra else 3)
        assert set(np.unique(data.train)) == {0, 1, *extra.values(), data.tokenizer.end_of_text}
        (tmp_path / f"copy{len(extra)}").mkdir()
        data.tokenizer.save(tmp_path / f"copy{len(extra)}")
    assert "transformers" not in loaded_by_opening(replace(settings, tokenizer=str(folder)), cache)


def loaded_by_opening(settings: DataSettings, cache: Path) -> set[str]:
    program = (
        "import json, sys; from pathlib import Path\n"
        "from transformer_e2e.config.settings import DataSettings\n"
        "from transformer_e2e.data.tokens import prepare\n"
        "prepare(DataSettings(**json.loads(sys.argv[1])), Path(sys.argv[2]))\n"
        "print(json.dumps(sorted(sys.modules)))\n"
    )
    arguments = [json.dumps(vars(settings)), str(cache)]
    output = subprocess.run(
        [sys.executable, "-c", program, *arguments], check=True, capture_output=True, timeout=240
    )
    return set(json.loads(output.stdout))


def test_opening_cached_tokens_imports_nothing_heavy(settings, cache):
    prepare(settings, cache)
    assert not loaded_by_opening(settings, cache) & {
        "torch",
        "transformers",
        "datasets",
        "wandb",
        "tokenizers",
    }


def test_what_is_remembered_is_computed_once_and_kept_with_the_data(settings, cache):
    calls = []

    def compute() -> dict[str, float]:
        calls.append(1)
        return {"b": 0.1 + 0.2, "a": 1.0}

    for _ in range(2):
        found = prepare(settings, cache).remember("yardsticks-0", compute)
        assert list(found.items()) == [("b", 0.1 + 0.2), ("a", 1.0)]
    assert len(calls) == 1
    assert prepare(settings, cache).remember("yardsticks-1", compute) and len(calls) == 2
