"""The house rules that a machine can check: imports point one way, and W&B is called from one place."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "transformer_e2e"
LAYERS = [  # bottom to top; two packages on one line may not import each other
    {"errors"},
    {"config"},
    {"compute", "data", "metrics", "model", "plots", "runs", "search"},
    {"hf", "trainer"},
    {"tasks"},
    {"launch"},
    {"scripts"},
]
ISLANDS = {"server": {"errors", "search"}, "search": {"errors"}}  # programs of their own
SOURCES = sorted(PACKAGE.rglob("*.py"))


def allowed(part: str) -> set[str]:
    """The packages that `part` may import."""
    if part in ISLANDS:
        return ISLANDS[part] | {part}
    (level,) = (i for i, layer in enumerate(LAYERS) if part in layer)
    return set().union(*LAYERS[:level]) | {part}


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every import in a file, those inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if part == "__init__":
        return
    for line, name in imported(path):
        if name.startswith("transformer_e2e."):
            target = name.split(".")[1]
            assert target in allowed(part), f"{part} (line {line}) may not import {target}"


def test_only_the_tracker_imports_wandb() -> None:
    users = {
        str(path.relative_to(PACKAGE))
        for path in SOURCES
        for _, name in imported(path)
        if name.split(".")[0] == "wandb"
    }
    assert {name for name in users if not name.startswith("runs/tracker")} == set()


def test_the_life_of_a_trial_never_imports_torch() -> None:
    for path in (PACKAGE / "runs").rglob("*.py"):
        assert not [name for _, name in imported(path) if name.split(".")[0] == "torch"], path


def test_nothing_is_pickled() -> None:
    for path in SOURCES:
        assert not [name for _, name in imported(path) if name.split(".")[0] in {"pickle", "dill"}], path
        text = path.read_text(encoding="utf-8")
        assert "torch.save(" not in text and "torch.load(" not in text, path


def test_the_specs_folder_is_no_package() -> None:
    """With an __init__.py, `sweeps/` would hide the PyPI package of that name from wandb."""
    assert not (ROOT / "sweeps" / "__init__.py").exists()
