"""Any tokenizer of Hugging Face `transformers`, by name or from a folder.

`transformers` takes a second or more to import, so a tokenizer opened from the cache loads it only when text
is encoded or decoded; training needs neither.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from transformer_e2e.data.tokenizer import utf8, write_kind
from transformer_e2e.errors import DataError, nearest


class HuggingFaceTokenizer:
    """A folder written by `save_pretrained`. No special tokens are added to text; decoding leaves them out.

    Round trips are as exact as the tokenizer's own (BERT's lower-case and drop spaces, GPT-2's are exact).
    end_of_text is its end-of-sequence token, else its separator, else an id of our own after its last.
    """

    kind: ClassVar[str] = "hugging_face"
    byte_level: ClassVar[bool] = False  # many are, but some join words by what stands before

    def __init__(self, directory: Path, vocab_size: int, end_of_text: int, loaded: Any = None) -> None:
        """`loaded`: the tokenizer itself, where `directory` is not what `save` wrote."""
        self._directory = directory
        self._loaded = loaded
        self.vocab_size = vocab_size
        self.end_of_text = end_of_text

    @cached_property
    def _inner(self) -> Any:
        return _auto_tokenizer(str(self._directory)) if self._loaded is None else self._loaded

    def encode(self, text: str) -> list[int]:
        utf8(text)
        return list(self._inner(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])

    def decode(self, ids: Sequence[int]) -> str:
        text = [number for number in ids if number != self.end_of_text]
        return str(self._inner.decode(text, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def save(self, directory: Path) -> None:
        if self._loaded is None:
            shutil.copytree(self._directory, directory, dirs_exist_ok=True)
        else:
            self._loaded.save_pretrained(str(directory))
            write_kind(directory, self)


def from_name(name: str) -> HuggingFaceTokenizer:
    """The tokenizer of that name on the Hub (or in its cache), or in that folder. Raises DataError."""
    inner = _auto_tokenizer(name)
    unused = max(inner.get_vocab().values()) + 1  # not their number: some vocabularies have gaps
    ends = (inner.eos_token_id, inner.sep_token_id, unused)
    end_of_text = next(number for number in ends if number is not None)
    return HuggingFaceTokenizer(Path(name), max(unused, end_of_text + 1), end_of_text, loaded=inner)


def _auto_tokenizer(name: str) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name)
    except Exception as error:  # the Hub's, the network's, and whatever a damaged file raises
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"--tokenizer={name} cannot be loaded: {first_line} Without the Hub these work: bytes, bpe:N "
            f"such as bpe:2048, or a folder that holds a tokenizer{nearest(name, ['bytes', 'bpe:2048'])}"
        ) from error
