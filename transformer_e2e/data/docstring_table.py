"""python-docstrings: which package of the standard library does this docstring come from?

Whole modules are held out, so what is asked for is the manner and the matter of a package, not a repeated
text. Words that contain the name of one of the packages are hidden in all texts alike.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import cache
from typing import Any

from transformer_e2e.data.docstrings import (
    Definition,
    apart,
    check_split,
    definitions,
    hold_out,
)

NAME = "python-docstrings"
FEWEST_EXAMPLES = 100  # of a package that is a class
FEWEST_MODULES = 3  # one for each split
FEWEST_WORDS = 5  # "Return the name." could come from anywhere
HIDDEN = "_"

Row = dict[str, Any]


def rows(split: str) -> list[Row]:
    """{"text", "package"} for each docstring of "train", "validation" or "test", in the order of the sources.

    Modules are held out of each package by `docstrings.hold_out`; no text of a split shares a run of 8 words
    with one of another split, no text occurs twice. Raises DataError for another split.
    """
    check_split(split, NAME)
    return [{"text": text, "package": package} for text, package in _splits()[split]]


def hide(text: str, packages: Iterable[str]) -> str:
    """`text` with HIDDEN in place of each word that contains the name of a package, whatever its case."""
    return re.sub(rf"\w*(?:{'|'.join(map(re.escape, packages))})\w*", HIDDEN, text, flags=re.IGNORECASE)


@cache
def _splits() -> dict[str, list[tuple[str, str]]]:
    packages = _packages(found := [one for one in definitions() if _usable(one.docstring)])
    texts = [hide(one.docstring, packages) if one.package in packages else "" for one in found]
    of_text = defaultdict(set)
    for one, text in zip(found, texts, strict=True):
        of_text[text].add(one.package)
    modules = {
        package: Counter(one.module for one in found if one.package == package) for package in packages
    }
    place = {module: split for sizes in modules.values() for module, split in hold_out(sizes).items()}
    chosen: dict[str, tuple[str, str]] = {}  # by text, so that each is there once
    for one, text in zip(found, texts, strict=True):
        if one.package in packages and len(of_text[text]) == 1 and _usable(text):
            chosen.setdefault(text, (one.package, place[one.module]))
    return apart([(split, text, (text, package)) for text, (package, split) in chosen.items()])


def _packages(found: Iterable[Definition]) -> list[str]:
    """The packages with enough examples in enough modules, sorted."""
    modules = defaultdict(list)
    for one in found:
        modules[one.package].append(one.module)
    return sorted(
        package
        for package, names in modules.items()
        if len(names) >= FEWEST_EXAMPLES and len(set(names)) >= FEWEST_MODULES
    )


def _usable(text: str) -> bool:
    return len(re.findall(r"[^\W\d_]{2,}", text)) >= FEWEST_WORDS
