"""Text, YAML or JSON value -> the type that one of Hugging Face's or of our argument fields declares."""

from __future__ import annotations

import ast
import json
import types
import typing
from collections.abc import Mapping
from enum import Enum
from typing import Any, Union

from transformer_e2e.config.convert import NONE_WORDS, KeepDefault, convert
from transformer_e2e.errors import nearest


def members(hint: Any) -> tuple[Any, ...]:
    """The types that a hint allows, None left out; `list` for list[str]."""
    union = typing.get_origin(hint) in (Union, types.UnionType)
    inside = typing.get_args(hint) if union else (hint,)
    return tuple(typing.get_origin(kind) or kind for kind in inside if kind is not type(None))


def is_flag(hint: Any) -> bool:
    """Whether the field is a boolean, and nothing else but perhaps None."""
    return members(hint) == (bool,)


def takes_list(hint: Any) -> bool:
    return list in members(hint)


def read_value(value: Any, hint: Any) -> Any:
    """`value` as the type `hint`. Raises ValueError with the rule in words, or KeepDefault."""
    kinds = members(hint)
    if isinstance(value, Enum):
        value = value.value
    if list in kinds:
        found = _list(value)
        if found is None and type(None) not in typing.get_args(hint):
            raise KeepDefault
        return found
    if dict in kinds:
        return _mapping(value, text_works=str in kinds)
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, Enum):
            return _member(value, kind)
    if str in kinds:
        if type(None) not in typing.get_args(hint) and str(value).strip().lower() in NONE_WORDS:
            raise KeepDefault  # a folder named None is nobody's wish
        return convert(value, str | None if type(None) in typing.get_args(hint) else str)
    if kinds[0] in (int, float, bool):
        return convert(value, hint)
    if str(value).strip().lower() in NONE_WORDS:
        raise KeepDefault
    raise ValueError("cannot be given to this program")


def structure(text: str) -> Any:
    """A list or mapping out of JSON, or out of Python's way of writing it, which is what W&B's agent does."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        raise ValueError(f'is not JSON; write it {{"name": value}} or ["text"]: {text}') from None


def _list(value: Any) -> list[str] | None:
    if isinstance(value, list | tuple) and len(value) == 1 and isinstance(value[0], str):
        value = value[0]
    if isinstance(value, str):
        if value.strip().lower() in NONE_WORDS:
            return None
        value = structure(value) if value.lstrip().startswith(("[", "(")) else value.split()
    if value is None:
        return None
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise ValueError("takes a list of texts")
    return list(value)


def _mapping(value: Any, *, text_works: bool) -> Any:
    if value is None or isinstance(value, Mapping):
        return None if value is None else dict(value)
    text = str(value).strip()
    if text.lower() in NONE_WORDS:
        return None
    if text.startswith("{"):
        return structure(text)
    if text_works and text.endswith(".json"):
        return text
    raise ValueError('takes JSON such as {"name": 1}')


def choices(hint: Any) -> list[str]:
    """The words that a field takes whose type names them; else none."""
    enums = [kind for kind in members(hint) if isinstance(kind, type) and issubclass(kind, Enum)]
    return [str(item.value) for kind in enums for item in kind]


def _member(value: Any, kind: type[Enum]) -> str:
    text = str(value).strip()
    if value is None or text.lower() in NONE_WORDS:
        raise KeepDefault
    known = choices(kind)
    # YAML reads a bare `no` as false.
    text = "no" if value is False and "no" in known else text
    if text not in known:
        raise ValueError(f"is not one of {', '.join(known)}{nearest(text, known)}")
    return text
