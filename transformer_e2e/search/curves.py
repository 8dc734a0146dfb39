"""Numeric distributions: one of three bases (uniform, normal, beta), optionally on a log scale."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from transformer_e2e.search.distributions import EXPONENTS, VALUES_OF_LOG
from transformer_e2e.search.numerals import is_number

_TAIL = 1e-9  # quantile at which an unbounded distribution is cut for random draws: six standard deviations


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


def curve_of(kind: str, p: Mapping[str, Any]) -> Continuous:
    """The curve of a numeric distribution (without its q_) from the keys of a normalised parameter."""
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
