"""Randomness as a function: the same key gives the same draw in every process, on every machine and Python
version.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

_ROUNDS = 8


def bits(*key: Any) -> int:
    """256 random bits that depend on nothing but `key` (ints, texts and tuples of them)."""
    return int.from_bytes(blake2b(repr(key).encode(), digest_size=32).digest(), "big")


def fraction(*key: Any) -> float:
    """A uniform number in [0, 1) that depends on nothing but `key`."""
    return (bits(*key) >> (256 - 53)) / 2**53


def shuffled(place: int, size: int, *key: Any) -> int:
    """Where `place` goes when range(size) is shuffled with `key`; no list is built, so any size will do.

    A Feistel network permutes the next power of four, and numbers beyond `size` are sent round again (cycle
    walking: Black and Rogaway 2002, "Ciphers with arbitrary finite domains"). Needs 0 <= place < size.
    """
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    while True:
        left, right = place >> half, place & mask
        for turn in range(_ROUNDS):
            left, right = right, left ^ (bits(turn, right, *key) & mask)
        place = left << half | right
        if place < size:
            return place
