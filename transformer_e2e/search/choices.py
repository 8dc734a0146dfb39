"""A parameter with listed values of any type."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from transformer_e2e.search.numerals import is_number

_encode = json.JSONEncoder(sort_keys=True).encode


def identity(value: Any) -> Hashable:
    """A key equal for equal values of equal type: 1, 1.0 and True differ, 1e-3 and 0.001 do not."""
    if value is None or isinstance(value, str | int):  # bool included: its type tells it from an int
        return (type(value), value)
    return _encode(value)


@dataclass(frozen=True)
class Choices:
    """A list of values of any type. Numbers are searched in their order, everything else as categories."""

    values: tuple[Any, ...]
    weights: tuple[float, ...] | None
    numbers: Mapping[Hashable, int]  # the index of each value, by its identity
    ascending: tuple[int, ...]  # indices in ascending order of numbers; as listed for categories
    ordered: bool

    @classmethod
    def of(cls, values: Sequence[Any], probabilities: Sequence[float] | None = None) -> Choices:
        weight: dict[Hashable, float] = {}
        first: dict[Hashable, Any] = {}
        for value, chance in zip(values, probabilities or [1.0] * len(values), strict=True):
            first.setdefault(identity(value), value)
            weight[identity(value)] = weight.get(identity(value), 0.0) + chance
        kept = tuple(first.values())
        numeric = all(map(is_number, kept))
        ascending = sorted(range(len(kept)), key=kept.__getitem__) if numeric else range(len(kept))
        weights = tuple(weight.values()) if probabilities else None
        numbers = {key: i for i, key in enumerate(first)}
        return cls(kept, weights, numbers, tuple(ascending), numeric and len(kept) > 2)

    @property
    def count(self) -> int:
        return len(self.values)

    @property
    def even(self) -> bool:
        return self.weights is None

    def at(self, quantile: float) -> Any:
        if self.weights is None:
            return self.values[int(quantile * len(self.values))]
        sums = list(accumulate(self.weights))
        possible = [i for i, weight in enumerate(self.weights) if weight > 0]
        return self.values[min(bisect_right(sums, quantile * sums[-1]), possible[-1])]

    def point(self, index: int) -> Any:
        return self.values[index]

    def index(self, value: Any) -> int | None:
        return self.numbers.get(identity(value))

    def rank(self, value: Any) -> int | None:
        index = self.index(value)
        return None if index is None else self.ascending.index(index)

    def ranked(self, rank: int) -> Any:
        return self.values[self.ascending[rank]]

    def place(self, value: Any) -> float | None:
        rank = self.rank(value)
        return None if rank is None else rank / max(1, len(self.values) - 1)
