"""Numeric distributions rounded to multiples of q, whole numbers among them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

from transformer_e2e.search.curves import Continuous
from transformer_e2e.search.numerals import is_number


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
