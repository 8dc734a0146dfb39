"""Text to token ids and back: UTF-8 bytes, byte-level BPE trained on the training split, or Hugging Face's.

Every tokenizer has one id more than its text needs: `end_of_text`, which stands between documents, is never
produced by `encode`, and decodes to nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from transformer_e2e.config.settings import DataSettings
from transformer_e2e.data.corpus import Corpus
from transformer_e2e.data.snapshots import Facts, fingerprint, open_or_build
from transformer_e2e.errors import DataError

if TYPE_CHECKING:
    import tokenizers

VERSION = "tokenizer-1"  # of the training of BPE; another one trains every tokenizer anew
PIECE = 1 << 16  # characters given to a tokenizer at once: its own bookkeeping takes 100 bytes a token
BETWEEN_LINES = re.compile(r"(?<=\S\n)(?=\S)")
KIND_FILE = "tokenizer_kind.json"
BPE_FILE = "tokenizer.json"
SMALLEST_BPE = 257  # 256 bytes and end_of_text


class Tokenizer(Protocol):
    """What the rest of the program knows of a tokenizer. Ids are in [0, vocab_size)."""

    vocab_size: int
    end_of_text: int
    # Ids stand for bytes: the text of two sequences is that of both joined, unless a character is cut there.
    byte_level: ClassVar[bool]

    def encode(self, text: str) -> list[int]:
        """The ids of `text`, without end_of_text. Raises DataError for text with lone surrogates."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`; bytes that are no UTF-8, as a cut-off sequence has, become U+FFFD."""

    def save(self, directory: Path) -> None:
        """Write the files that `load_tokenizer` reads into `directory`."""


class ByteTokenizer:
    """The bytes of UTF-8 themselves: ids 0 to 255, end_of_text 256. Round trips are exact."""

    kind: ClassVar[str] = "bytes"
    byte_level: ClassVar[bool] = True
    vocab_size = 257
    end_of_text = 256

    def encode(self, text: str) -> list[int]:
        return list(utf8(text))

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(number for number in ids if number < 256).decode("utf-8", errors="replace")

    def save(self, directory: Path) -> None:
        write_kind(directory, self)


class BpeTokenizer:
    """Byte-level BPE over GPT-2's pre-tokens; the last id is end_of_text. Round trips are exact.

    end_of_text is not part of the vocabulary of `merges`, so no text can be taken for it.
    Sources: Sennrich et al. 2016 (BPE); Radford et al. 2019, section 2.2 (on bytes).
    """

    kind: ClassVar[str] = "bpe"
    byte_level: ClassVar[bool] = True

    def __init__(self, merges: tokenizers.Tokenizer) -> None:
        self._merges = merges
        self.end_of_text = merges.get_vocab_size()
        self.vocab_size = self.end_of_text + 1

    def encode(self, text: str) -> list[int]:
        utf8(text)
        return self._merges.encode(text, add_special_tokens=False).ids

    def decode(self, ids: Sequence[int]) -> str:
        return self._merges.decode([number for number in ids if number < self.end_of_text])

    def save(self, directory: Path) -> None:
        self._merges.save(str(directory / BPE_FILE))
        write_kind(directory, self)


def make_tokenizer(settings: DataSettings, corpus: Corpus, cache_dir: Path) -> Tokenizer:
    """The tokenizer that the settings name; BPE is trained on `corpus.train` once and cached by fingerprint.

    Raises DataError, with the nearest value that works.
    """
    if settings.tokenizer == "bytes":
        return ByteTokenizer()
    size = bpe_size(settings.tokenizer)
    if size is None:
        from transformer_e2e.data.hf_tokenizer import from_name

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
        from transformer_e2e.data.hf_tokenizer import HuggingFaceTokenizer

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


def pieces(document: str) -> Iterator[str]:
    """The document in parts of about PIECE characters, cut only where one line of text follows another.

    There GPT-2's pre-tokens end in any case, so BPE learns from, and makes, the tokens of the whole.
    """
    start = 0
    while len(document) - start > PIECE:
        cut = BETWEEN_LINES.search(document, start + PIECE)
        if cut is None:
            break
        yield document[start : cut.start()]
        start = cut.start()
    yield document[start:]


def utf8(text: str) -> bytes:
    """`text` in UTF-8. Raises DataError where it holds half of a surrogate pair, which no UTF-8 text can."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        found = f"{text[error.start]!r} at character {error.start}"
        raise DataError(f"text that is no valid Unicode ({found}); decode it as UTF-8 first") from error


def write_kind(directory: Path, tokenizer: ByteTokenizer | BpeTokenizer | Any) -> None:
    """Record what `load_tokenizer` needs to know before it reads anything else."""
    about = {name: getattr(tokenizer, name) for name in ("kind", "vocab_size", "end_of_text")}
    (directory / KIND_FILE).write_text(json.dumps(about) + "\n", encoding="utf-8")


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
