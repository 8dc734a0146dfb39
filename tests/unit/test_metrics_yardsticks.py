"""Promises of the yardsticks: a bigram that equals a slow one and sums to 1; compressors as they are."""

from __future__ import annotations

import gzip
import lzma
import math
import random
from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import pytest

from transformer_e2e.metrics.bigram import bigram_nats
from transformer_e2e.metrics.yardsticks import yardsticks


def discount(counts: list[int]) -> float:
    once, twice = counts.count(1), counts.count(2)
    return once / (once + 2 * twice) if once else 0.5


def slow_probability(train: list[int], vocab_size: int, context: int, target: int) -> float:
    """Interpolated Kneser-Ney, from the formula, with dictionaries."""
    pairs = Counter(pairwise(train))
    after, before = defaultdict(set), defaultdict(set)
    for first, second in pairs:
        after[first].add(second)
        before[second].add(first)
    lower_discount = discount([len(firsts) for firsts in before.values()])
    lower = max(len(before[target]) - lower_discount, 0) / len(pairs) if target in before else 0.0
    lower += lower_discount * len(before) / len(pairs) / vocab_size if len(before) else 0.0
    total = sum(count for (first, _), count in pairs.items() if first == context)
    if not total:
        return lower
    d = discount(list(pairs.values()))
    return max(pairs[context, target] - d, 0) / total + d * len(after[context]) / total * lower


def text(seed: int, length: int, symbols: str = "abcdef") -> list[int]:
    draw = random.Random(seed)
    return [min(int(draw.expovariate(0.5)), len(symbols) - 1) for _ in range(length)]


@pytest.mark.parametrize("seed", range(5))
def test_the_bigram_equals_a_slow_one_written_from_the_formula(seed):
    train, validation = text(seed, 80), text(seed + 100, 40)
    slow = -sum(math.log(slow_probability(train, 8, *pair)) for pair in pairwise(validation))
    assert bigram_nats(np.array(train, np.uint16), np.array(validation, np.uint16), 8) == pytest.approx(
        slow, rel=1e-12
    )


@pytest.mark.parametrize(
    "train", [[0, 1], [0, 1, 0, 1, 0, 1], [3] * 20, text(1, 200), [0, 1, 2, 3, 4, 5, 6, 7]]
)
def test_after_every_context_seen_or_not_the_probabilities_sum_to_1(train):
    ids = np.array(train, np.uint16)
    for context in range(8):
        total = sum(math.exp(-bigram_nats(ids, np.array([context, target]), 8)) for target in range(8))
        assert total == pytest.approx(1)


def test_large_vocabularies_do_not_overflow_the_pairs():
    train = np.array([65_535, 65_534] * 50, dtype=np.uint16)
    assert bigram_nats(train, train, 65_536) < 100 * math.log(2)
    wide = np.array([200_000, 199_999] * 50, dtype=np.uint32)
    assert bigram_nats(wide, wide, 200_001) < 100 * math.log(2)


def test_each_yardstick_is_what_its_name_says_divided_by_the_bytes_of_text():
    training, validation = (
        b"the cat sat on the mat\0" * 50 + bytes(range(256)),
        b"the dog sat on the mat\0" * 9,
    )
    ids = [np.frombuffer(part, np.uint8) for part in (training, validation)]
    found = yardsticks(
        training_text=training,
        validation_text=validation,
        validation_bytes=len(validation) - 9,
        train=ids[0],
        validation=ids[1],
        vocab_size=256,
    )
    bits = 8 / (len(validation) - 9)
    assert found["gzip"] == pytest.approx(bits * len(gzip.compress(validation, 9)))
    assert found["xz"] == pytest.approx(bits * len(lzma.compress(validation, preset=9)))
    alone = len(lzma.compress(training, preset=9))
    assert found["xz_primed"] == pytest.approx(
        bits * (len(lzma.compress(training + validation, preset=9)) - alone)
    )
    assert found["xz_primed"] < found["xz"]
    assert found["bigram"] == pytest.approx(bits / 8 * bigram_nats(*ids, 256) / math.log(2))
