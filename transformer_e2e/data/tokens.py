"""Tokenised text, made once and mapped into memory by every trial that uses the same data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from transformer_e2e.config.settings import DataSettings
from transformer_e2e.data import local_text
from transformer_e2e.data.corpus import Corpus, find_source, joined, load_corpus
from transformer_e2e.data.open_tokenizer import bpe_size, load_tokenizer, make_tokenizer
from transformer_e2e.data.snapshots import Facts, fingerprint, open_or_build, remember
from transformer_e2e.data.tokenizer import Tokenizer, pieces
from transformer_e2e.errors import DataError

VERSION = "tokens-1"  # of the layout of the files; another one tokenises everything anew

Tokens = NDArray[np.unsignedinteger]


@dataclass(frozen=True, eq=False)
class TokenizedData:
    """A corpus as two read-only token streams, mapped from disk (uint16, or uint32 for large vocabularies).

    A stream is end_of_text, then each document followed by end_of_text. So every token of text, and every end
    of a document, has a token before it to be predicted from. `validation_bytes` counts the UTF-8 bytes of
    the validation documents, `validation_words` their whitespace-separated words; neither counts end_of_text.
    `fingerprint` covers tokenizer and tokens, `corpus_fingerprint` the text.
    """

    tokenizer: Tokenizer
    train: Tokens
    validation: Tokens
    validation_bytes: int
    validation_words: int
    fingerprint: str
    corpus_fingerprint: str
    directory: Path
    corpus: Callable[[], Corpus] = field(repr=False)  # the text itself, read when called

    def training_text(self) -> bytes:
        """The training documents, each ended by a NUL byte: for yardsticks."""
        return joined(self.corpus().train)

    def validation_text(self) -> bytes:
        """The validation documents, each ended by a NUL byte: for yardsticks."""
        return joined(self.corpus().validation)

    def remember(self, name: str, compute: Callable[[], dict[str, float]]) -> dict[str, float]:
        """`compute()`, done once for this data by the process that asks first, and kept as JSON beside it."""
        return remember(self.directory.with_name(f"{self.directory.name}.{name}.json"), compute)


def prepare(settings: DataSettings, cache_dir: Path) -> TokenizedData:
    """The tokens that the settings name, built if they are not in the cache, by one process for all.

    Raises DataError, also when a split is too short for one window of `context_window` + 1 tokens.
    """
    bpe_size(settings.tokenizer)  # a wrong one is refused before anything is built
    source = find_source(settings)
    key = fingerprint([VERSION, source.key, settings.tokenizer, _local_tokenizer_digest(settings.tokenizer)])
    directory = cache_dir / "tokens" / f"{source.key}-{key[:16]}"
    what = f"the tokens of {source.name} ({settings.tokenizer})"
    facts = open_or_build(directory, partial(_build, settings, cache_dir), what=what)
    data = TokenizedData(
        tokenizer=load_tokenizer(directory / "tokenizer"),
        train=np.memmap(directory / "train.bin", dtype=facts["dtype"], mode="r"),
        validation=np.memmap(directory / "validation.bin", dtype=facts["dtype"], mode="r"),
        validation_bytes=facts["validation_bytes"],
        validation_words=facts["validation_words"],
        fingerprint=facts["fingerprint"],
        corpus_fingerprint=facts["corpus_fingerprint"],
        directory=directory,
        corpus=partial(load_corpus, settings, cache_dir),
    )
    _check_length(settings, data)
    return data


def _build(settings: DataSettings, cache_dir: Path, staging: Path) -> Facts:
    corpus = load_corpus(settings, cache_dir)
    tokenizer = make_tokenizer(settings, corpus, cache_dir)
    dtype = np.dtype("<u2" if tokenizer.vocab_size <= 1 << 16 else "<u4")
    tokenizer_directory = staging / "tokenizer"
    tokenizer_directory.mkdir()
    tokenizer.save(tokenizer_directory)
    counts = {}
    for side, documents in (("train", corpus.train), ("validation", corpus.validation)):
        with (staging / f"{side}.bin").open("wb") as stream:
            for ids in _stream(tokenizer, documents):
                stream.write(np.asarray(ids, dtype=dtype).tobytes())
            counts[side] = stream.tell() // dtype.itemsize
    return {
        "dtype": dtype.str,
        "tokens": counts,
        "tokenizer": settings.tokenizer,
        "vocab_size": tokenizer.vocab_size,
        "validation_bytes": sum(len(document.encode("utf-8")) for document in corpus.validation),
        "validation_words": sum(len(document.split()) for document in corpus.validation),
        "corpus_fingerprint": corpus.fingerprint,
        "fingerprint": _content(staging),
    }


def _content(staging: Path) -> str:
    return fingerprint([VERSION, local_text.files_digest(staging, local_text.files_below(staging, "*"))])


def _stream(tokenizer: Tokenizer, documents: Iterable[str]) -> Iterator[list[int]]:
    yield [tokenizer.end_of_text]
    for document in documents:
        for piece in pieces(document):
            yield tokenizer.encode(piece)
        yield [tokenizer.end_of_text]


def _local_tokenizer_digest(name: str) -> str:
    """The content of a tokenizer's folder; empty for one that the name alone identifies."""
    path = Path(name)
    if name == "bytes" or bpe_size(name) is not None or not path.is_dir():
        return ""
    return local_text.files_digest(path, local_text.files_below(path, "*"))


def _check_length(settings: DataSettings, data: TokenizedData) -> None:
    longest = min(len(data.train), len(data.validation)) - 1
    if settings.context_window <= longest:
        return
    side = "training" if len(data.train) <= longest + 1 else "validation"
    works = f"the largest context_window that works is {longest}" if longest >= 2 else "give more text"
    raise DataError(
        f"--context_window={settings.context_window} needs {settings.context_window + 1} tokens in each "
        f"split, and the {side} split of {settings.dataset} has {longest + 1}; {works}"
    )
