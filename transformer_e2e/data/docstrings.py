"""The documented definitions of the standard library, and which of its modules are held out.

What python-docstrings and python-docs-qa are made of. Sources are parsed, never imported; everything is a
function of the sources alone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

from transformer_e2e.data.python_docs import children, docstring, parsed, sources, standard_library
from transformer_e2e.data.snapshots import fingerprint
from transformer_e2e.data.splitting import sharing
from transformer_e2e.errors import DataError

SPLITS = ("train", "validation", "test")
HELD_SHARE = 0.15  # of the examples, for validation and for test each

Item = TypeVar("Item")


@dataclass(frozen=True)
class Default:
    """A parameter's default value as it stands in the signature, from character `start` on."""

    parameter: str
    value: str
    start: int


@dataclass(frozen=True)
class Definition:
    """A module, class or function with a docstring. `signature` is empty for a module."""

    module: str  # "json.decoder"
    name: str  # "JSONDecoder.decode"; empty for a module
    signature: str  # "decode(s, _w=WHITESPACE.match)"; without self, cls and annotations
    defaults: tuple[Default, ...]
    docstring: str

    @property
    def package(self) -> str:
        return self.module.partition(".")[0]


def definitions() -> tuple[Definition, ...]:
    """Every documented definition of this interpreter's library, by file and place. Raises DataError."""
    return _definitions(standard_library())


def check_split(split: str, dataset: str) -> None:
    """Raises DataError unless `split` is one of SPLITS."""
    if split not in SPLITS:
        raise DataError(f"{dataset} has no split {split!r}; it has {', '.join(SPLITS)}")


def hold_out(sizes: Mapping[str, int]) -> dict[str, str]:
    """The split of each module, given its number of examples: whole modules, in the order of their hashes.

    Validation and test get about HELD_SHARE of the examples each, and one module at least where there are
    three or more. The largest module stays in training.
    """
    order = sorted(sizes, key=lambda module: fingerprint([module]))
    largest = max(order, key=lambda module: sizes[module], default="")
    free = [module for module in order if module != largest]
    places = dict.fromkeys(sizes, "train")
    for split, later in (("validation", 1), ("test", 0)):
        wanted, held = HELD_SHARE * sum(sizes.values()), 0
        for module in list(free):
            if held + sizes[module] <= wanted and len(free) > later:
                places[module] = split
                held += sizes[module]
                free.remove(module)
        if not held and len(free) > later:
            smallest = min(free, key=lambda module: sizes[module])
            places[smallest] = split
            free.remove(smallest)
    return places


def apart(rows: Iterable[tuple[str, str, Item]]) -> dict[str, list[Item]]:
    """The items by split, from (split, text, item); no text is `splitting.sharing` with one of another split.

    Where two texts share words, test keeps its own before validation, and validation before training.
    """
    rows = list(rows)
    held: list[str] = []
    found: dict[str, list[Item]] = {}
    for split in reversed(SPLITS):
        texts = [text for place, text, _ in rows if place == split]
        items = [item for place, _, item in rows if place == split]
        shared = sharing(texts, held)
        found[split] = [item for item, both in zip(items, shared, strict=True) if not both]
        held += texts
    return found


@cache  # 2 s, and each split of both data sets asks
def _definitions(root: Path) -> tuple[Definition, ...]:
    found: list[Definition] = []
    for path in sources(root):
        parts = path.with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found += _inside(parsed(root / path), module, ())
    return tuple(found)


def _inside(node: ast.AST, module: str, outer: tuple[str, ...]) -> Iterator[Definition]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        outer = (*outer, node.name)
    if text := docstring(node):
        signature, defaults = _signature(node)
        yield Definition(module, ".".join(outer), signature, defaults, text)
    for child in children(node):
        yield from _inside(child, module, outer)


def _signature(node: ast.AST) -> tuple[str, tuple[Default, ...]]:
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        return f"class {node.name}({bases})" if bases else f"class {node.name}", ()
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return "", ()
    text = f"{node.name}("
    defaults = []
    for number, (parameter, value) in enumerate(_parameters(node.args)):
        text += f"{', ' if number else ''}{parameter}"
        if value:
            defaults.append(Default(parameter, value, len(text) + 1))
            text += f"={value}"
    return f"{text})", tuple(defaults)


def _parameters(arguments: ast.arguments) -> list[tuple[str, str]]:
    """(name or marker, default value or nothing) in the order of the signature."""
    plain = [*arguments.posonlyargs, *arguments.args]
    values: Sequence[ast.expr | None] = [
        *[None] * (len(plain) - len(arguments.defaults)),
        *arguments.defaults,
    ]
    found = [(one.arg, _source(value)) for one, value in zip(plain, values, strict=True)]
    if arguments.posonlyargs:
        found.insert(len(arguments.posonlyargs), ("/", ""))
    if arguments.vararg:
        found.append((f"*{arguments.vararg.arg}", ""))
    elif arguments.kwonlyargs:
        found.append(("*", ""))
    found += [
        (one.arg, _source(value))
        for one, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    ]
    if arguments.kwarg:
        found.append((f"**{arguments.kwarg.arg}", ""))
    return found[1:] if found and found[0][0] in ("self", "cls") else found


def _source(value: ast.expr | None) -> str:
    return ast.unparse(value) if value else ""
