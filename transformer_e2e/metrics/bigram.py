"""What counting neighbours achieves: an interpolated Kneser-Ney bigram over token ids.

Source: Chen and Goodman 1999, "An empirical study of smoothing techniques for language modeling", the
interpolated form; discounts by the estimate n1 / (n1 + 2 n2) of Ney, Essen and Kneser 1994. Nothing is tuned
on validation text. On python-docs it needs 0.7 % fewer bits than Witten-Bell smoothing, so it is the fairer
rival.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.integer]
Counts = NDArray[np.int64]


def bigram_nats(train: Tokens, validation: Tokens, vocab_size: int) -> float:
    """Nats that a bigram counted on `train` needs for every token of `validation` but the first.

    1-D arrays of ids in [0, vocab_size), `train` of two or more. Every id has a probability above 0, seen or
    not; over the vocabulary they sum to 1 after each context. Memory: about 40 bytes a training token.
    """
    pairs, counts = np.unique(_pairs(train, vocab_size), return_counts=True)
    lower = _continuation(pairs % vocab_size, vocab_size)
    discount = _discount(counts)
    # Of each context: how often it was followed by anything, and by how many different tokens.
    seen_after = np.bincount(train[:-1], minlength=vocab_size)
    kinds_after = np.bincount(pairs // vocab_size, minlength=vocab_size)

    contexts, targets = validation[:-1], validation[1:]
    found = _counts_of(_pairs(validation, vocab_size), pairs, counts)
    total = np.maximum(seen_after[contexts], 1)
    explained = np.maximum(found - discount, 0) / total
    left_over = np.where(seen_after[contexts] > 0, discount * kinds_after[contexts] / total, 1.0)
    return float(-np.log(explained + left_over * lower[targets]).sum())


def _pairs(tokens: Tokens, vocab_size: int) -> Counts:
    return tokens[:-1].astype(np.int64) * vocab_size + tokens[1:]


def _continuation(second: Counts, vocab_size: int) -> NDArray[np.float64]:
    """Probability of each id by the number of different tokens that it follows, smoothed."""
    kinds_before = np.bincount(second, minlength=vocab_size)
    discount = _discount(kinds_before[kinds_before > 0])
    left_over = discount * np.count_nonzero(kinds_before)
    smoothed: NDArray[np.float64] = np.maximum(kinds_before - discount, 0) + left_over / vocab_size
    return smoothed / len(second)


def _discount(counts: Counts) -> float:
    once, twice = np.count_nonzero(counts == 1), np.count_nonzero(counts == 2)
    return once / (once + 2 * twice) if once else 0.5  # in a text that repeats all, the estimate would be 0


def _counts_of(wanted: Counts, pairs: Counts, counts: Counts) -> Counts:
    places = np.minimum(np.searchsorted(pairs, wanted), len(pairs) - 1)
    return np.where(pairs[places] == wanted, counts[places], 0)
