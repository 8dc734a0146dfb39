"""The rules that one parameter of a sweep spec must keep, each violation told with the nearest thing that
works.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from transformer_e2e.errors import nearest
from transformer_e2e.search.choices import identity
from transformer_e2e.search.distributions import (
    DISTRIBUTIONS,
    EXPONENTS,
    KEYS,
    VALUES_OF_LOG,
    Path,
)
from transformer_e2e.search.multiples import multiples_between
from transformer_e2e.search.numerals import is_number

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_LARGEST_EXPONENT = 700  # e^710 is beyond the largest float
_COUNTABLE = "constant, categorical, int_uniform or q_uniform"


def problems_of(path: Path, parameter: Any, method: Any) -> list[str]:
    """Why a normalised parameter cannot be searched by `method`; empty if it can."""
    label = "parameter " + ".".join(str(name) for name in path)
    bad_names = [name for name in path if not (isinstance(name, str) and _NAME.fullmatch(name))]
    if bad_names:
        return [f"{label}: the name {bad_names[0]!r} may hold letters, digits, _ - . and no digit at first"]
    if not isinstance(parameter, Mapping):
        key = "values" if isinstance(parameter, list) else "value"
        return [f"{label} is {parameter!r}; write it as {{{key}: {parameter!r}}}"]
    if "parameters" in parameter:
        return [f"{label}: `parameters` must be a mapping with at least one parameter"]
    kind = parameter.get("distribution")
    if kind is None:
        return [f"{label} says nothing to search: give value, values, or min and max{_misspelt(parameter)}"]
    if kind not in DISTRIBUTIONS:
        hint = nearest(str(kind), DISTRIBUTIONS) or f"; one of {', '.join(DISTRIBUTIONS)}"
        return [f"{label}: distribution {kind!r} does not exist{hint}"]
    absent = [key for key in DISTRIBUTIONS[kind].needs if key not in parameter]
    if absent:
        return [f"{label}: distribution {kind} needs {' and '.join(absent)}{_misspelt(parameter)}"]
    if "value" in parameter and "values" in parameter:
        return [f"{label} gives both value and values; keep one"]
    found = _values_problems(label, kind, parameter) or _number_problems(label, kind, parameter)
    return found or _grid_problems(label, kind, parameter, method)


def warnings_of(path: Path, parameter: Any) -> list[str]:
    """What is odd about a parameter that can be searched."""
    label = "parameter " + ".".join(str(name) for name in path)
    if not isinstance(parameter, Mapping):
        return []
    kind = parameter.get("distribution")
    used = DISTRIBUTIONS[kind].keys if kind in DISTRIBUTIONS else KEYS
    found = []
    for key in parameter:
        if key == "distribution" or key in used:
            continue
        if f"q_{kind}" in DISTRIBUTIONS and key == "q":
            hint = f"; did you mean distribution: q_{kind}?"
        else:
            hint = nearest(str(key), used)
        found.append(f"{label}: {key!r} is not used by distribution {kind}{hint}")
    return found + _exponent_warnings(label, kind, parameter) + _choice_warnings(label, parameter)


def _misspelt(parameter: Mapping[str, Any]) -> str:
    return next((hint for key in parameter if key not in KEYS and (hint := nearest(str(key), KEYS))), "")


def _values_problems(label: str, kind: str, parameter: Mapping[str, Any]) -> list[str]:
    if kind == "constant":
        return _plain_problems(label, parameter["value"])
    if not kind.startswith("categorical"):
        return []
    values, chances = parameter["values"], parameter.get("probabilities")
    if not isinstance(values, list):
        return [f"{label}: values must be a list, not {values!r}; write values: [{values}]"]
    if not values:
        return [f"{label}: values is empty; list at least one value"]
    found = [problem for value in values for problem in _plain_problems(label, value)]
    if chances is None:
        return found
    if not isinstance(chances, list) or len(chances) != len(values):
        return [*found, f"{label}: probabilities must be a list of {len(values)} numbers, one for each value"]
    if not all(is_number(chance) and chance >= 0 for chance in chances) or not sum(chances) > 0:
        found.append(
            f"{label}: probabilities must be numbers of at least 0, one of them above 0; got {chances}"
        )
    return found


def _plain_problems(label: str, value: Any) -> list[str]:
    """YAML can also say dates, sets, bytes and mappings with keys that are no text; JSON cannot carry
    those.
    """
    if value is None or isinstance(value, str | int | float):
        return []
    if isinstance(value, list):
        return [problem for item in value for problem in _plain_problems(label, item)]
    if isinstance(value, Mapping):
        odd = [key for key in value if not isinstance(key, str)]
        if odd:
            return [f"{label}: the key {odd[0]!r} of a value must be text; write '{odd[0]}' in quotes"]
        return [problem for item in value.values() for problem in _plain_problems(label, item)]
    return [f"{label}: a value of type {type(value).__name__} cannot be passed on; write '{value}' in quotes"]


def _number_problems(label: str, kind: str, parameter: Mapping[str, Any]) -> list[str]:
    keys = [key for key in DISTRIBUTIONS[kind].keys if key not in ("value", "values", "probabilities")]
    found = [
        f"{label}: {key} must be a finite number, not {parameter[key]!r}"
        for key in keys
        if not is_number(parameter[key])
    ]
    if found:
        return found
    found = [
        f"{label}: {key}={parameter[key]} must be greater than 0"
        for key in ("q", "sigma", "a", "b")
        if key in keys and parameter[key] <= 0
    ]
    if "min" in keys:
        found += _range_problems(label, kind, parameter)
    if (
        kind in ("log_normal", "q_log_normal")
        and parameter["mu"] + 6 * parameter["sigma"] > _LARGEST_EXPONENT
    ):
        found.append(
            f"{label}: mu={parameter['mu']} and sigma={parameter['sigma']} are the mean and deviation of the "
            f"logarithm; mu + 6 sigma must be at most {_LARGEST_EXPONENT}"
        )
    return found or _step_problems(label, kind, parameter)


def _range_problems(label: str, kind: str, parameter: Mapping[str, Any]) -> list[str]:
    low, high = parameter["min"], parameter["max"]
    if low == high:
        return [f"{label}: min and max are both {low}; write value: {low}"]
    if low > high:
        return [f"{label}: min={low} is greater than max={high}; did you swap them?"]
    if kind in VALUES_OF_LOG and low <= 0:
        start = high / 1000 if high > 0 else 1e-5
        return [f"{label}: min={low} must be greater than 0 on a logarithmic scale, for example {start:g}"]
    if kind in EXPONENTS and max(abs(low), abs(high)) > _LARGEST_EXPONENT:
        return [
            f"{label}: {kind} takes exponents (min={low} is e^{low}), at most {_LARGEST_EXPONENT}; "
            f"for the values themselves use distribution: {_values_form(kind)}"
        ]
    if kind == "int_uniform":
        return [
            f"{label}: {key}={parameter[key]} must be a whole number for int_uniform; "
            f"use {round(parameter[key])}, or distribution: uniform"
            for key in ("min", "max")
            if not isinstance(parameter[key], int)
        ]
    return []


def _step_problems(label: str, kind: str, parameter: Mapping[str, Any]) -> list[str]:
    if not kind.startswith("q_") or "min" not in parameter:
        return []
    low, high, q = parameter["min"], parameter["max"], parameter["q"]
    if kind == "q_log_uniform":
        low, high = math.exp(low), math.exp(high)
    if multiples_between(low, high, q):
        return []
    return [f"{label}: no multiple of q={q} lies between {low:g} and {high:g}; use q={high - low:g} or less"]


def _grid_problems(label: str, kind: str, parameter: Mapping[str, Any], method: Any) -> list[str]:
    if method != "grid" or kind in ("constant", "int_uniform", "q_beta") or kind.startswith("categorical"):
        return []
    if kind.startswith("q_") and "min" in parameter:
        return []
    fix = (
        "list some values:"
        if "min" not in parameter
        else f"list some values:, or use distribution: q_{kind} with q:"
    )
    if f"q_{kind}" not in DISTRIBUTIONS:
        fix = "list some values:"
    return [f"{label}: a grid cannot enumerate {kind} (it can {_COUNTABLE}); {fix}, or use method: random"]


def _exponent_warnings(label: str, kind: Any, parameter: Mapping[str, Any]) -> list[str]:
    low, high = parameter.get("min"), parameter.get("max")
    if kind not in EXPONENTS or not (is_number(low) and is_number(high)) or low <= 0:
        return []
    if high > 1 and high <= 20:
        return []
    sign = "-" if kind == "inv_log_uniform" else ""
    return [
        f"{label}: {kind} takes exponents, so this draws from e^{sign}{low:g} to e^{sign}{high:g}; "
        f"for values from {low:g} to {high:g} use distribution: {_values_form(kind)}"
    ]


def _choice_warnings(label: str, parameter: Mapping[str, Any]) -> list[str]:
    values, chances = parameter.get("values"), parameter.get("probabilities")
    found = []
    if isinstance(values, list):
        distinct = {repr(identity(value)) for value in values if not _plain_problems(label, value)}
        if len(distinct) < len(values) and not any(_plain_problems(label, value) for value in values):
            found.append(
                f"{label}: values lists {len(values) - len(distinct)} value(s) twice; each is tried once"
            )
    if isinstance(chances, list) and all(map(is_number, chances)) and not math.isclose(sum(chances), 1.0):
        found.append(f"{label}: probabilities sum to {sum(chances):g}; they are used as weights")
    return found


def _values_form(kind: str) -> str:
    return f"{kind}_values"
