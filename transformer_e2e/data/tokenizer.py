"""Text to token ids and back: UTF-8 bytes, or byte-level BPE.

Every tokenizer has one id more than its text needs: `end_of_text`, which stands between documents, is never
produced by `encode`, and decodes to nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from transformer_e2e.errors import DataError

if TYPE_CHECKING:
    import tokenizers

PIECE = 1 << 16  # characters given to a tokenizer at once: its own bookkeeping takes 100 bytes a token
BETWEEN_LINES = re.compile(r"(?<=\S\n)(?=\S)")
KIND_FILE = "tokenizer_kind.json"
BPE_FILE = "tokenizer.json"


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
