"""One interface to every text: `load_corpus` turns settings into training and validation documents.

A corpus is read once and kept in the cache as JSON lines under a key that changes whenever the documents
would: the hash of the files that it is made of, or, for a data set on the Hub, its name, configuration and
revision (with no revision, what was newest at the first load; delete the cache to load anew).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from transformer_e2e.config.settings import DataSettings
from transformer_e2e.data import hub_text, local_text, python_docs
from transformer_e2e.data.snapshots import Facts, fingerprint, open_or_build
from transformer_e2e.errors import DataError, nearest

VERSION = "corpus-1"  # of the rules that make documents; another one makes every corpus anew
PYTHON_DOCS = "python-docs"
TEXT_SUFFIXES = {".txt", ".text", ".md", ".json", ".jsonl"}

Splits = tuple[tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True)
class Corpus:
    """Documents, each wholly on one side. `fingerprint` is the SHA-256 of all of them, in order."""

    name: str
    train: tuple[str, ...]
    validation: tuple[str, ...]
    fingerprint: str


@dataclass(frozen=True)
class Source:
    """Where a corpus comes from: `key` names its content or specification, `read` makes its documents."""

    name: str
    key: str
    read: Callable[[], Splits]


def load_corpus(settings: DataSettings, cache_dir: Path) -> Corpus:
    """The corpus that the settings name, from the cache or built into it (once, by one process).

    Raises DataError: what was given, why it cannot be used, what works.
    """
    source = find_source(settings)
    directory = cache_dir / "corpora" / source.key
    facts = open_or_build(directory, partial(build_corpus, source), what=f"the corpus {source.name}")
    train, validation = _read(directory / "train.jsonl"), _read(directory / "validation.jsonl")
    return Corpus(source.name, train, validation, facts["fingerprint"])


def find_source(settings: DataSettings) -> Source:
    """The source that the settings name; files are hashed, but no data set is loaded. Raises DataError."""
    name, share, column = settings.dataset, settings.validation_fraction, settings.text_column
    if name == PYTHON_DOCS:
        root = python_docs.standard_library()
        read: Callable[[], Splits] = partial(python_docs.read_split, root, share)
        return _source(name, read, python_docs.sources_digest(root), share)
    path = Path(name).expanduser()
    if name.strip() and path.exists():
        try:
            return _local_source(settings, path)
        except OSError as error:
            raise DataError(f"--dataset={name} cannot be read: {error}") from error
    _check_hub_name(name, path)
    config, revision = settings.dataset_config, settings.dataset_revision
    read = partial(hub_text.read_hub, name, config, revision, column, share)
    return _source(name, read, name, str(config), str(revision), share, column)


def joined(documents: Iterable[str]) -> bytes:
    """The documents as one UTF-8 text, each ended by a NUL byte: what a general compressor is given."""
    return b"".join(document.encode("utf-8") + b"\0" for document in documents)


def _source(name: str, read: Callable[[], Splits], *identity: object) -> Source:
    words = re.sub(r"[^\w.-]+", "-", "/".join(Path(name).parts[-2:])).strip(".-")[:40] or "corpus"
    return Source(name, f"{words}-{fingerprint([VERSION, *map(str, identity)])[:16]}", read)


def _local_source(settings: DataSettings, path: Path) -> Source:
    name, share, column = settings.dataset, settings.validation_fraction, settings.text_column
    if path.is_dir() and hub_text.is_saved(path):
        content = local_text.files_digest(path, local_text.files_below(path, "*"))
        return _source(name, partial(hub_text.read_saved, path, column, share), content, share, column)
    content = local_text.files_digest(path, local_text.text_files(path))
    return _source(name, partial(local_text.read_split, path, share), content, share)


def _check_hub_name(name: str, path: Path) -> None:
    if not name.strip():
        raise DataError(f"--dataset is empty; give {PYTHON_DOCS}, a text file, or the name of a data set")
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or path.suffix in TEXT_SUFFIXES:
        around = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"--dataset={name}: there is no such file or folder{nearest(path.name, around)}")
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name):
        raise DataError(
            f"--dataset={name} is no file, and no name of a data set: those look like Salesforce/wikitext"
        )
    if meant := nearest(name, [PYTHON_DOCS]):
        raise DataError(f"--dataset={name} is no file and no data set{meant}")


def build_corpus(source: Source, staging: Path) -> Facts:
    """Read the source and write its corpus into `staging`. Raises DataError when a side has no text."""
    train, validation = source.read()
    for side, documents in (("training", train), ("validation", validation)):
        if not any(document.strip() for document in documents):
            raise DataError(
                f"--dataset={source.name} has no {side} text; give more text, or another data set"
            )
    _write(staging / "train.jsonl", train)
    _write(staging / "validation.jsonl", validation)
    return {
        "name": source.name,
        "documents": {"train": len(train), "validation": len(validation)},
        "fingerprint": fingerprint([VERSION, "train", *train, "validation", *validation]),
    }


def _write(path: Path, documents: Iterable[str]) -> None:
    with path.open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(document, ensure_ascii=False) + "\n" for document in documents)


def _read(path: Path) -> tuple[str, ...]:
    with path.open(encoding="utf-8", newline="\n") as stream:
        return tuple(json.loads(line) for line in stream)
