"""One parameter of the search as an axis: its values by quantile, by index, and by their place in [0, 1].

Random search, grid and the samplers of Optuna share this one description.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from transformer_e2e.search.choices import Choices
from transformer_e2e.search.curves import curve_of
from transformer_e2e.search.multiples import Multiples


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


def axis_of(parameter: Mapping[str, Any]) -> Axis:
    """The axis of a parameter that is normalised and free of problems."""
    kind = parameter["distribution"]
    if kind == "constant":
        return Choices.of([parameter["value"]])
    if kind.startswith("categorical"):
        return Choices.of(parameter["values"], parameter.get("probabilities"))
    curve = curve_of(kind.removeprefix("q_"), parameter)
    if kind == "int_uniform":
        return Multiples.of(curve, 1)
    return Multiples.of(curve, parameter["q"]) if kind.startswith("q_") else curve
