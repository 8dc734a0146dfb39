"""What a model has to beat on the same validation text: general compressors and a count bigram."""

from __future__ import annotations

import gzip
import lzma
import math

import numpy as np
from numpy.typing import NDArray

from transformer_e2e.metrics.bigram import bigram_nats
from transformer_e2e.metrics.language import bits_per_byte

VERSION = "yardsticks-1"  # names cached results; another one computes them anew
PRIMER_BYTES = 32 << 20  # of training text given to xz: half of its dictionary, and half a minute of its time


def yardsticks(
    *,
    training_text: bytes,
    validation_text: bytes,
    validation_bytes: int,
    train: NDArray[np.integer],
    validation: NDArray[np.integer],
    vocab_size: int,
) -> dict[str, float]:
    """Bits per byte by name: `gzip` (-9), `xz` (-9), `xz_primed`, `bigram`.

    `xz_primed` is what the validation text adds to the compressed training text (its last 32 MiB where it is
    longer): like a model, it has read the training text. `bigram` is counted on the token ids `train` and
    predicts every id of `validation` but the first. All are divided by `validation_bytes`, the bytes of text
    proper, so they compare with a model's `eval/bits_per_byte`. About three seconds for 2 MB of training
    text.
    """
    primer = training_text[-PRIMER_BYTES:]
    sizes = {
        "gzip": len(gzip.compress(validation_text, compresslevel=9, mtime=0)),
        "xz": _xz(validation_text),
        "xz_primed": _xz(primer + validation_text) - _xz(primer),
    }
    nats = {name: 8 * size * math.log(2) for name, size in sizes.items()}
    nats["bigram"] = bigram_nats(train, validation, vocab_size)
    return {name: bits_per_byte(value, validation_bytes) for name, value in nats.items()}


def _xz(text: bytes) -> int:
    return len(lzma.compress(text, preset=9))
