"""A seeded order of `count` things in which any position can be asked for alone.

An alternating Feistel network over Z_a x Z_b, the smallest near-square with a * b >= count; values that land
beyond `count` are sent through again (cycle walking). Source: Black and Rogaway, "Ciphers with Arbitrary
Finite Domains", 2002. Needs no memory, and unlike numpy's `permutation` it depends on no library version, so
a trial resumed after an upgrade still sees the same batches. It is an order, not a secret.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]

ROUNDS = 6
MASK = (1 << 64) - 1
INCREMENT = 0x9E3779B97F4A7C15  # of SplitMix64's state


def permuted(positions: NDArray[np.int64], *, count: int, key: int) -> NDArray[np.int64]:
    """Where each position (in [0, count)) goes; over all positions, each value in [0, count) appears once."""
    height = math.isqrt(count - 1) + 1
    width = -(-count // height)
    values = _network(positions.astype(np.uint64), height, width, key)
    while (outside := values >= count).any():
        values[outside] = _network(values[outside], height, width, key)
    return values.astype(np.int64)


def mixed(*numbers: int) -> int:
    """64 well-mixed bits of a sequence of non-negative integers; equal sequences give equal bits."""
    state = 0
    for number in numbers:
        state = int(_mix(np.array([(state ^ number) & MASK], dtype=np.uint64))[0])
    return state


def uniform(count: int, *, key: int) -> NDArray[np.float64]:
    """`count` numbers in [0, 1), evenly spread and independent to all appearance: a function of `key` alone.

    They are the first outputs of SplitMix64 begun at `key`, which is in [0, 2**64).
    """
    states = np.arange(count, dtype=np.uint64) * np.uint64(INCREMENT) + np.uint64(key)
    return (_mix(states) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _network(values: Words, height: int, width: int, key: int) -> Words:
    rows, columns = values // np.uint64(width), values % np.uint64(width)
    for number in range(0, ROUNDS, 2):
        rows = (rows + _mix(columns ^ np.uint64(mixed(key, number))) % np.uint64(height)) % np.uint64(height)
        columns = (columns + _mix(rows ^ np.uint64(mixed(key, number + 1))) % np.uint64(width)) % np.uint64(
            width
        )
    return rows * np.uint64(width) + columns


def _mix(words: Words) -> Words:
    """The output function of SplitMix64 (Steele, Lea and Flood 2014), after its increment."""
    words = words + np.uint64(INCREMENT)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
