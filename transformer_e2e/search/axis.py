"""One parameter of the search as an axis: its values by quantile, by index, and by its place in [0, 1].

Every numeric distribution is one of three bases (uniform, normal, beta), optionally on a log scale,
optionally rounded to multiples of q; so random search, grid and the samplers of Optuna share one
description.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from itertools import accumulate
from statistics import NormalDist
from typing import Any, Protocol

from transformer_e2e.search.distributions import EXPONENTS, VALUES_OF_LOG
from transformer_e2e.search.numerals import is_number

_TAIL = 1e-9  # quantile at which an unbounded distribution is cut for random draws: six standard deviations
_encode = json.JSONEncoder(sort_keys=True).encode


class Axis(Protocol):
    """A parameter's values. `count` is None where they cannot be counted; `even` says they are equally
    likely.
    """

    @property
    def count(self) -> int | None: ...

    @property
    def even(self) -> bool: ...

    @property
    def ordered(self) -> bool:
        """Whether neighbours in index or place are alike."""
        ...

    def at(self, quantile: float) -> Any:
        """The value below which a share `quantile` in [0, 1) of the draws lies; always inside the range."""
        ...

    def point(self, index: int) -> Any:
        """Value number `index` of `count`."""
        ...

    def index(self, value: Any) -> int | None:
        """The number of `value`; None if it is no value of this axis, or if they cannot be counted."""
        ...

    def rank(self, value: Any) -> int | None:
        """The number of `value` in ascending order; its index where there is no order."""
        ...

    def ranked(self, rank: int) -> Any:
        """The value of that rank."""
        ...

    def place(self, value: Any) -> float | None:
        """The quantile of `value` in [0, 1], or None if it is no value of this axis."""
        ...


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


@dataclass(frozen=True)
class Base:
    """A distribution over the real line by its quantiles: uniform over [a, b], normal(a, b) or beta(a, b)."""

    kind: str
    a: float
    b: float

    def at(self, quantile: float) -> float:
        if self.kind == "uniform":
            return self.a + quantile * (self.b - self.a)
        if self.kind == "normal":
            return NormalDist(self.a, self.b).inv_cdf(min(max(quantile, _TAIL), 1 - _TAIL))
        from scipy.special import betaincinv

        return float(betaincinv(self.a, self.b, quantile))

    def quantile(self, z: float) -> float:
        if self.kind == "uniform":
            return (z - self.a) / (self.b - self.a)
        if self.kind == "normal":
            return NormalDist(self.a, self.b).cdf(z)
        from scipy.special import betainc

        return float(betainc(self.a, self.b, min(max(z, 0.0), 1.0)))


@dataclass(frozen=True)
class Continuous:
    """Real numbers in [low, high]: exp of the base where `log`, otherwise the base itself."""

    base: Base
    log: bool
    low: float
    high: float
    count: int | None = None
    even: bool = False
    ordered: bool = True

    def at(self, quantile: float) -> float:
        z = self.base.at(quantile)
        return float(min(max(math.exp(z) if self.log else z, self.low), self.high))

    def point(self, index: int) -> Any:
        raise TypeError("the values of a continuous parameter cannot be numbered")

    def index(self, value: Any) -> int | None:
        return None

    def rank(self, value: Any) -> int | None:
        return None

    def ranked(self, rank: int) -> Any:
        raise TypeError("the values of a continuous parameter cannot be numbered")

    @property
    def bounded(self) -> bool:
        return math.isfinite(self.low) and math.isfinite(self.high)

    def place(self, value: Any) -> float | None:
        if not is_number(value) or not self.low <= value <= self.high:
            return None
        if not self.log:
            return min(max(self.base.quantile(value), 0.0), 1.0)
        return min(max(self.base.quantile(math.log(value)), 0.0), 1.0) if value > 0 else 0.0


@dataclass(frozen=True)
class Multiples:
    """The multiples of q among a curve's values, as ints if q is one; never outside the curve's range.

    Those of a uniform range are equally likely (rounding alone would halve the outermost); those of every
    other curve take the share of the draws that rounds to them.
    """

    curve: Continuous
    q: float
    first: int  # times q: the lowest value; meaningless where `count` is None
    count: int | None
    even: bool
    ordered: bool = True

    @classmethod
    def of(cls, curve: Continuous, q: float) -> Multiples:
        even = curve.base.kind == "uniform" and not curve.log
        if not curve.bounded:
            return cls(curve, q, 0, None, False)
        first, last = _multiple(curve.low, q, ROUND_CEILING), _multiple(curve.high, q, ROUND_FLOOR)
        return cls(curve, q, first, last - first + 1, even)

    def at(self, quantile: float) -> Any:
        if self.even and self.count:
            return self.point(min(int(quantile * self.count), self.count - 1))
        nearest = round(self.curve.at(quantile) / self.q)
        if self.count is None:
            return self._times_q(nearest)
        return self.point(min(max(nearest - self.first, 0), self.count - 1))

    def point(self, index: int) -> Any:
        return self._times_q(self.first + index)

    def index(self, value: Any) -> int | None:
        if self.count is None or not is_number(value):
            return None
        index = round(value / self.q) - self.first
        return index if 0 <= index < self.count and self.point(index) == value else None

    def rank(self, value: Any) -> int | None:
        return self.index(value)

    def ranked(self, rank: int) -> Any:
        return self.point(rank)

    def place(self, value: Any) -> float | None:
        if self.count is not None:
            index = self.index(value)
            if index is None:
                return None
            if self.even:
                return index / max(1, self.count - 1)
        return self.curve.place(value)

    def _times_q(self, factor: int) -> Any:
        """Exact for decimal steps: 3 times 0.1 is 0.3."""
        return factor * self.q if isinstance(self.q, int) else float(Decimal(repr(self.q)) * factor)


def _multiple(bound: float, q: float, rounding: str) -> int:
    return int((Decimal(repr(bound)) / Decimal(repr(q))).to_integral_value(rounding))


def multiples_between(low: float, high: float, q: float) -> int:
    """How many multiples of q lie in [low, high]; q > 0."""
    return max(0, _multiple(high, q, ROUND_FLOOR) - _multiple(low, q, ROUND_CEILING) + 1)


def axis_of(parameter: Mapping[str, Any]) -> Axis:
    """The axis of a parameter that is normalised and free of problems."""
    kind = parameter["distribution"]
    if kind == "constant":
        return Choices.of([parameter["value"]])
    if kind.startswith("categorical"):
        return Choices.of(parameter["values"], parameter.get("probabilities"))
    curve = _curve(kind.removeprefix("q_"), parameter)
    if kind == "int_uniform":
        return Multiples.of(curve, 1)
    return Multiples.of(curve, parameter["q"]) if kind.startswith("q_") else curve


def _curve(kind: str, p: Mapping[str, Any]) -> Continuous:
    if kind in ("uniform", "int_uniform"):
        return Continuous(Base("uniform", p["min"], p["max"]), False, p["min"], p["max"])
    if f"q_{kind}" in VALUES_OF_LOG or kind in VALUES_OF_LOG:
        return Continuous(Base("uniform", math.log(p["min"]), math.log(p["max"])), True, p["min"], p["max"])
    if kind in EXPONENTS:
        low, high = (-p["max"], -p["min"]) if kind == "inv_log_uniform" else (p["min"], p["max"])
        return Continuous(Base("uniform", low, high), True, math.exp(low), math.exp(high))
    if kind == "beta":
        return Continuous(Base("beta", p["a"], p["b"]), False, 0.0, 1.0)
    log = kind == "log_normal"
    return Continuous(Base("normal", p["mu"], p["sigma"]), log, 0.0 if log else -math.inf, math.inf)
