"""The distributions a sweep parameter can name, and what each of them needs.

Source: the keys of W&B's sweep configuration. `log_uniform`, `q_log_uniform` and `inv_log_uniform` take
exponents (`min: -9` is e^-9); their `_values` forms take the values themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from transformer_e2e.search.numerals import choice, is_number, number

Path = tuple[str, ...]


@dataclass(frozen=True)
class Shape:
    """The keys of one distribution."""

    needs: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    optional: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        return (*self.needs, *self.defaults, *self.optional)


_RANGE = ("min", "max")
_NORMAL = {"mu": 0.0, "sigma": 1.0}
_BETA = {"a": 1.0, "b": 1.0}
_STEP = {"q": 1}

DISTRIBUTIONS: dict[str, Shape] = {
    "constant": Shape(("value",)),
    "categorical": Shape(("values",), optional=("probabilities",)),
    "categorical_w_probabilities": Shape(("values", "probabilities")),
    "int_uniform": Shape(_RANGE),
    "uniform": Shape(_RANGE),
    "q_uniform": Shape(_RANGE, _STEP),
    "log_uniform": Shape(_RANGE),
    "log_uniform_values": Shape(_RANGE),
    "q_log_uniform": Shape(_RANGE, _STEP),
    "q_log_uniform_values": Shape(_RANGE, _STEP),
    "inv_log_uniform": Shape(_RANGE),
    "inv_log_uniform_values": Shape(_RANGE),
    "normal": Shape((), _NORMAL),
    "q_normal": Shape((), {**_NORMAL, **_STEP}),
    "log_normal": Shape((), _NORMAL),
    "q_log_normal": Shape((), {**_NORMAL, **_STEP}),
    "beta": Shape((), _BETA),
    "q_beta": Shape((), {**_BETA, **_STEP}),
}
EXPONENTS = ("log_uniform", "q_log_uniform", "inv_log_uniform")
VALUES_OF_LOG = ("log_uniform_values", "q_log_uniform_values", "inv_log_uniform_values")
KEYS = ("distribution", *dict.fromkeys(key for shape in DISTRIBUTIONS.values() for key in shape.keys))


def leaves(parameters: Any, prefix: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every parameter below `parameters:` with its path, nested groups opened, in the order written.

    Malformed entries are yielded as they are; an empty group yields itself.
    """
    if not isinstance(parameters, Mapping):
        return
    for name, parameter in parameters.items():
        path = (*prefix, name)
        inner = parameter.get("parameters") if isinstance(parameter, Mapping) else None
        if isinstance(inner, Mapping) and inner:
            yield from leaves(inner, path)
        else:
            yield path, parameter


def inferred(parameter: Mapping[str, Any]) -> str | None:
    """The distribution of a parameter that names none, chosen as W&B does; None if nothing tells."""
    if "value" in parameter:
        return "constant"
    if "values" in parameter:
        return "categorical"
    if "min" in parameter and "max" in parameter:
        if "q" in parameter:
            return "q_uniform"
        whole = all(isinstance(parameter[key], int) for key in _RANGE)
        return "int_uniform" if whole else "uniform"
    if "mu" in parameter and "sigma" in parameter:
        return "normal"
    return None


def filled(parameter: Any) -> Any:
    """A parameter with misread numbers repaired, its distribution named and defaults filled in; odd input
    unchanged.
    """
    if not isinstance(parameter, Mapping):
        return parameter
    if "parameters" in parameter:
        inner = parameter["parameters"]
        if isinstance(inner, Mapping):
            inner = {name: filled(item) for name, item in inner.items()}
        return {**parameter, "parameters": inner}
    result = {key: _repaired(key, value) for key, value in parameter.items()}
    if result.get("distribution") is None:
        result.pop("distribution", None)
        name = inferred(result)
        if name:
            result["distribution"] = name
    shape = DISTRIBUTIONS.get(str(result.get("distribution")))
    if shape:
        for key, default in shape.defaults.items():
            result.setdefault(key, default)
    return _whole_bounds(result)


def _repaired(key: str, value: Any) -> Any:
    if key in ("value", "values"):
        return choice(value)
    if key == "probabilities" and isinstance(value, list):
        return [number(item) for item in value]
    return value if key == "distribution" else number(value)


def _whole_bounds(parameter: dict[str, Any]) -> dict[str, Any]:
    """Bounds such as 1e3 of an int_uniform become the ints they are, so that its values are ints."""
    if parameter.get("distribution") == "int_uniform":
        for key in _RANGE:
            bound = parameter.get(key)
            if is_number(bound) and bound == int(bound):
                parameter[key] = int(bound)
    return parameter
