"""The default corpus: the English that every Python interpreter carries.

Documents are the help topics of `pydoc_data` and, for each module of the standard library, its docstrings in
source order. Sources are parsed with `ast`, never imported. Installed packages and test suites are left out.
"""

from __future__ import annotations

import ast
import hashlib
import logging
import os
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path

from transformer_e2e.data.splitting import split, unique, without_shared_text
from transformer_e2e.errors import DataError

LEFT_OUT = {"site-packages", "dist-packages", "lib-dynload", "__pycache__", "test", "tests", "idle_test"}
STATEMENT_LISTS = ("body", "handlers", "orelse", "finalbody", "cases")
TOPICS = Path("pydoc_data/topics.py")
logger = logging.getLogger(__name__)


def standard_library() -> Path:
    return Path(sysconfig.get_path("stdlib"))


def sources(root: Path) -> list[Path]:
    """The Python files under `root` that belong to the corpus, as sorted relative paths.

    Raises DataError where an interpreter carries no sources (some embedded ones keep them in a zip file).
    """
    found = []
    for folder, inside, names in os.walk(root):
        inside[:] = [name for name in inside if name not in LEFT_OUT]
        found += [(Path(folder) / name).relative_to(root) for name in names if name.endswith(".py")]
    if not found:
        raise DataError(
            f"--dataset=python-docs: this interpreter has no Python sources in {root}; "
            "use another interpreter, or give a text file: --dataset=book.txt"
        )
    return sorted(found, key=Path.as_posix)


def sources_digest(root: Path) -> str:
    """SHA-256 over the names and contents of `sources(root)`."""
    digest = hashlib.sha256()
    for path in sources(root):
        content = (root / path).read_bytes()
        digest.update(f"{path.as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def read_split(root: Path, validation_fraction: float) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(train, validation) documents; no run of `splitting.SHARED_RUN` words is on both sides.

    A docstring that several functions carry stays with the first of them.
    """
    train, validation = split(unique(documents(root)), validation_fraction)
    return without_shared_text(train, validation), validation


def documents(root: Path) -> Iterator[str]:
    """The help topics by name, then one text for each module that has docstrings."""
    topics = _topics(root / TOPICS)
    if not topics:
        logger.warning(
            "%s holds no help topics; python-docs is made of docstrings alone. Another Python, or "
            "--dataset with a text of your own, gives more",
            root / TOPICS,
        )
    yield from (topics[name] for name in sorted(topics))
    seen: set[str] = set()
    for path in sources(root):
        texts = [text for text in dict.fromkeys(_docstrings(parsed(root / path))) if text not in seen]
        seen.update(texts)
        if texts:
            yield "\n\n".join(texts)


def _topics(path: Path) -> dict[str, str]:
    """The dictionary assigned to `topics`; empty when the file is absent or of another form."""
    for statement in parsed(path).body if path.exists() else ():
        targets = statement.targets if isinstance(statement, ast.Assign) else ()
        if any(isinstance(target, ast.Name) and target.id == "topics" for target in targets):
            try:
                value = ast.literal_eval(statement.value)  # type: ignore[attr-defined]
            except ValueError:
                return {}
            if isinstance(value, dict):
                return {str(name): text for name, text in value.items() if isinstance(text, str)}
    return {}


def parsed(path: Path) -> ast.Module:
    """The syntax tree of a source file; empty where this version of Python cannot read it."""
    with warnings.catch_warnings():  # old modules hold escapes that newer parsers frown on
        warnings.simplefilter("ignore")
        try:
            return ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):  # the library carries templates that are no Python of this version
            return ast.Module(body=[], type_ignores=[])


def docstring(node: ast.AST) -> str | None:
    """The cleaned docstring of a module, class or function; None where there is none, or only white space."""
    if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return None
    text = ast.get_docstring(node)
    if not text or not text.strip():
        return None
    return text.encode("utf-8", errors="replace").decode("utf-8")  # an escape may be half a surrogate pair


def children(node: ast.AST) -> Iterator[ast.AST]:
    """The statements directly inside; expressions hold no docstrings, and most of the nodes."""
    for block in STATEMENT_LISTS:
        yield from getattr(node, block, ())


def _docstrings(node: ast.AST) -> Iterator[str]:
    if text := docstring(node):
        yield text
    for child in children(node):
        yield from _docstrings(child)
