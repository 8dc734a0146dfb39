"""Text or YAML value -> the type that a settings field declares.

`wandb agent` writes every value as text, and YAML 1.1 reads `1e-5` (no point) as a string, so both
arrive here and a number is a number whichever way it came.
"""

from __future__ import annotations

import types
import typing
from typing import Any, Union

TRUE_WORDS = frozenset({"true", "yes", "on", "1"})
FALSE_WORDS = frozenset({"false", "no", "off", "0"})
NONE_WORDS = frozenset({"none", "null", ""})


class KeepDefault(Exception):
    """`None` was given for a setting that has no None: its default stays (a sweep can hold null)."""


def convert(value: Any, hint: Any) -> Any:
    """`value` as the type `hint`, which is int, float, bool, str, or one of them `| None`, or a tuple of str.

    Raises ValueError with the rule in words, or KeepDefault.
    """
    if is_list(hint):
        return _texts(value)
    kinds, optional = _kinds(hint)
    if isinstance(value, list | dict | tuple):
        raise ValueError(f"takes one {_word(kinds)}, not a {type(value).__name__}")
    text = str(value).strip()
    if text.lower() in NONE_WORDS and (optional or str not in kinds):
        if optional:
            return None
        raise KeepDefault
    if bool in kinds:
        return _boolean(text)
    if int in kinds:
        return _integer(value, text)
    if float in kinds:
        return _number(value, text)
    return text


def metavar(hint: Any) -> str:
    """The field's type as `--help` shows it."""
    if is_list(hint):
        return "TEXT"
    kinds, _ = _kinds(hint)
    return {bool: "BOOL", int: "INT", float: "NUMBER", str: "TEXT"}[kinds[0]]


def is_boolean(hint: Any) -> bool:
    return bool in _kinds(hint)[0]


def is_list(hint: Any) -> bool:
    """Whether the setting takes several texts: a list in YAML, a flag that may be repeated."""
    return typing.get_origin(hint) is tuple


def _texts(value: Any) -> tuple[str, ...]:
    """One text or a list of them, each to the letter: blanks at the ends count."""
    if value is None:
        raise KeepDefault
    items = value if isinstance(value, list | tuple) else [value]
    for item in items:
        if not isinstance(item, str):
            raise ValueError(f"takes text or a list of texts; write {str(item)!r} in quotes")
    return tuple(items)


def _kinds(hint: Any) -> tuple[tuple[type, ...], bool]:
    if typing.get_origin(hint) in (Union, types.UnionType):
        members = typing.get_args(hint)
        return tuple(m for m in members if m is not type(None)), type(None) in members
    return (hint,), False


def _word(kinds: tuple[type, ...]) -> str:
    names = {bool: "true or false", int: "whole number", float: "number", str: "text"}
    return " or ".join(names[kind] for kind in kinds)


def _boolean(text: str) -> bool:
    if text.lower() in TRUE_WORDS:
        return True
    if text.lower() in FALSE_WORDS:
        return False
    raise ValueError("takes true or false")


def _integer(value: Any, text: str) -> int:
    if isinstance(value, bool):
        raise ValueError("takes a whole number")
    try:
        return int(text.replace("_", ""))
    except ValueError:
        number = _number(value, text, "takes a whole number")
    if number != int(number):
        raise ValueError(f"takes a whole number; the nearest is {round(number)}")
    return int(number)


def _number(value: Any, text: str, rule: str = "takes a number such as 0.001 or 1e-3") -> float:
    if isinstance(value, bool):
        raise ValueError(rule)
    try:
        number = float(text)
    except ValueError:
        raise ValueError(rule) from None
    if number != number or number in (float("inf"), float("-inf")):
        raise ValueError(rule)
    return number
