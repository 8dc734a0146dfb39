"""Numbers that arrive as text: YAML 1.1 reads `1e-5` (an exponent without a point, or without a sign) as a
string.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, TypeGuard

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_INTEGER = re.compile(r"[-+]?\d+")


def number(value: Any) -> Any:
    """`value` with text that spells a finite number turned into it, for a place where only a number makes
    sense.

    `"1e-5"` -> 0.00001, `"8"` -> 8; everything else is returned as it came.
    """
    if not isinstance(value, str) or not _NUMBER.fullmatch(value.strip()):
        return value
    text = value.strip()
    if _INTEGER.fullmatch(text):
        return int(text)
    spelled = float(text)
    return spelled if math.isfinite(spelled) else value


def choice(value: Any) -> Any:
    """`value` with every number that YAML 1.1 misread turned back, for a place where text is welcome too.

    Only text with an exponent is touched (`"1e-5"`, `"5E3"`), also inside lists and mappings: `"16"` or
    `"0.1"` can only be text because somebody put quotes around it, and stays text, like `"bert"`. The
    price: a text that looks like `1e5` cannot be a choice.
    """
    if isinstance(value, list):
        return [choice(item) for item in value]
    if isinstance(value, Mapping):
        return {key: choice(item) for key, item in value.items()}
    if isinstance(value, str) and "e" in value.lower():
        return number(value)
    return value


def is_number(value: Any) -> TypeGuard[int | float]:
    """Whether `value` is a finite int or float; True and False are not numbers here."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
