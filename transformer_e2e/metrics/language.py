"""Numbers that say how well a language model predicts a text, from its summed loss.

Loss in nats per token depends on the tokenizer; the other three do not, or much less, so they compare models.
"""

from __future__ import annotations

import math


def perplexity(nats_per_token: float) -> float:
    """exp of the mean loss; infinite where that overflows. Comparable only between equal tokenizers."""
    return _exp(nats_per_token)


def bits_per_byte(total_nats: float, total_bytes: int) -> float:
    """Bits that the model needs for one byte of UTF-8 text: 8 is no compression.

    `total_nats` is the summed loss of every token of a text of `total_bytes` bytes. Averaging over tokens
    instead would reward a tokenizer with short tokens.
    """
    return total_nats / math.log(2) / total_bytes


def word_perplexity(total_nats: float, total_words: int) -> float:
    """Perplexity as if the model predicted whitespace-separated words; infinite where it overflows.

    The convention of EleutherAI's evaluation harness for WikiText. Papers on the tokenised WikiText count
    each line end as one more word, which makes their exponents about 2 % smaller.
    """
    return _exp(total_nats / total_words)


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf
