"""The tokenizer that the settings name, made or trained once, and the one that a folder holds."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path

from transformer_e2e.config.settings import DataSettings
from transformer_e2e.data.corpus import Corpus
from transformer_e2e.data.hf_tokenizer import HuggingFaceTokenizer, from_name
from transformer_e2e.data.snapshots import Facts, fingerprint, open_or_build
from transformer_e2e.data.tokenizer import BPE_FILE, KIND_FILE, BpeTokenizer, ByteTokenizer, Tokenizer, pieces
from transformer_e2e.errors import DataError

VERSION = "tokenizer-1"  # of the training of BPE; another one trains every tokenizer anew
SMALLEST_BPE = 257  # 256 bytes and end_of_text


def make_tokenizer(settings: DataSettings, corpus: Corpus, cache_dir: Path) -> Tokenizer:
    """The tokenizer that the settings name; BPE is trained on `corpus.train` once and cached by fingerprint.

    Raises DataError, with the nearest value that works.
    """
    if settings.tokenizer == "bytes":
        return ByteTokenizer()
    size = bpe_size(settings.tokenizer)
    if size is None:
        return from_name(settings.tokenizer)
    key = fingerprint([VERSION, str(size), *corpus.train])[:16]
    directory = cache_dir / "tokenizers" / f"bpe-{size}-{key}"
    open_or_build(directory, partial(_train, corpus, size), what=f"the tokenizer {settings.tokenizer}")
    return load_tokenizer(directory)


def load_tokenizer(directory: Path) -> Tokenizer:
    """What `Tokenizer.save` wrote to `directory`. Raises DataError when files are missing or damaged."""
    try:
        about = json.loads((directory / KIND_FILE).read_text(encoding="utf-8"))
        if about["kind"] == ByteTokenizer.kind:
            return ByteTokenizer()
        if about["kind"] == BpeTokenizer.kind:
            import tokenizers

            return BpeTokenizer(
                tokenizers.Tokenizer.from_str((directory / BPE_FILE).read_text(encoding="utf-8"))
            )
        return HuggingFaceTokenizer(directory, about["vocab_size"], about["end_of_text"])
    except Exception as error:  # tokenizers raises bare Exception for a file that it cannot parse
        raise DataError(f"{directory} holds no tokenizer that can be read: {error}") from error


def bpe_size(name: str) -> int | None:
    """N of `bpe:N`; None for the name of another kind. Raises DataError for an N that cannot be, or none."""
    if not re.match(r"bpe\b", name, re.IGNORECASE):
        return None
    exact = re.fullmatch(r"bpe:(\d{1,9})", name)
    if exact is None:
        number = re.search(r"(?<![-\d])\d[\d_]{0,8}", name)
        works = f"bpe:{max(SMALLEST_BPE, int(number[0].replace('_', '')))}" if number else "bpe:2048"
        raise DataError(f"--tokenizer={name} is not bpe:N with a whole number N; did you mean {works}?")
    if int(exact[1]) < SMALLEST_BPE:
        raise DataError(
            f"--tokenizer={name}: byte-level BPE needs 256 ids for bytes and one for the end of a text; "
            f"the smallest that works is bpe:{SMALLEST_BPE}"
        )
    return int(exact[1])


def _train(corpus: Corpus, size: int, staging: Path) -> Facts:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    merges = Tokenizer(models.BPE())
    merges.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    merges.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size - 1,
        min_frequency=2,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    merges.train_from_iterator((piece for text in corpus.train for piece in pieces(text)), trainer)
    trained = BpeTokenizer(merges)
    if trained.vocab_size < size:
        raise DataError(
            f"--tokenizer=bpe:{size}: the training text of {corpus.name} has no pairs left to merge after "
            f"{trained.vocab_size} ids; the largest that works is bpe:{trained.vocab_size}"
        )
    trained.save(staging)
    return {"vocab_size": trained.vocab_size}
