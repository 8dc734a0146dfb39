"""The manifest of a checkpoint: what files it has, with their SHA-256, and where in training it was made."""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType

from transformer_e2e.errors import CheckpointError

MANIFEST_NAME = "manifest.json"
_VERSION = 1


@dataclass(frozen=True)
class Manifest:
    step: int  # optimizer steps taken
    rows: int  # journal rows written
    best: bool  # the metric had just improved
    metric: float | None  # its value then; None: not evaluated at this step
    files: dict[str, str]  # relative path -> SHA-256 in hex
    version: int = _VERSION


def write_manifest(
    directory: Path,
    *,
    step: int,
    rows: int,
    best: bool,
    metric: float | None,
    known: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Seal a directory whose files are all written. Last of all: its presence means completeness.

    `known`: SHA-256 of files by relative path, from whoever wrote them; these are not read again.
    """
    if metric is not None and not math.isfinite(metric):
        metric = None  # JSON has no NaN
    manifest = Manifest(step=step, rows=rows, best=best, metric=metric, files=digests(directory, known))
    text = json.dumps(asdict(manifest), indent=2, allow_nan=False) + "\n"
    (directory / MANIFEST_NAME).write_text(text, encoding="utf-8")


def read_manifest(directory: Path) -> Manifest:
    """Raises CheckpointError: missing, damaged, or of another version."""
    path = directory / MANIFEST_NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        manifest = Manifest(**content)
        files_are_texts = all(isinstance(item, str) for pair in manifest.files.items() for item in pair)
        usable = files_are_texts and isinstance(manifest.step, int) and isinstance(manifest.rows, int)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"its {MANIFEST_NAME} cannot be read ({error})") from None
    if not usable or manifest.version != _VERSION:
        raise CheckpointError(f"its {MANIFEST_NAME} is damaged, or not of version {_VERSION}")
    return manifest


def verify(directory: Path) -> Manifest:
    """The manifest, once every file is ours, inside the directory, and has the digest written there.

    Raises CheckpointError with every file that is wrong.
    """
    refuse_foreign(directory)
    manifest = read_manifest(directory)
    found = digests(directory)
    problems = [f"{name} is missing" for name in manifest.files if name not in found]
    problems += [f"{name} is not in its manifest" for name in found if name not in manifest.files]
    problems += [
        f"{name} does not have the digest that was written"
        for name, digest in manifest.files.items()
        if found.get(name, digest) != digest
    ]
    if problems:
        raise CheckpointError("; ".join(sorted(problems)))
    return manifest


def refuse_foreign(directory: Path) -> None:
    """Raise CheckpointError if a file belongs to another user or a link leads out of the directory.

    Whoever may write a file that we load can decide what we train; a shared disk is no reason to trust.
    """
    inside = directory.resolve()
    if directory.is_symlink():
        raise CheckpointError(f"it is a link to {inside}; a checkpoint is a real directory")
    for path in (directory, *directory.rglob("*")):
        if path.is_symlink() and not path.resolve().is_relative_to(inside):
            raise CheckpointError(f"{path.name} is a link out of the checkpoint, to {path.resolve()}")
        status = path.stat()
        if status.st_uid != os.geteuid():
            raise CheckpointError(
                f"{path.name} belongs to user {status.st_uid}, not to you ({os.geteuid()}); chown it if you "
                f"trust it"
            )
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            raise CheckpointError(f"{path.name} is neither a file nor a directory")


def seal(directory: Path) -> str:
    """SHA-256 in hex of a checkpoint's manifest: it stands for every byte of the checkpoint."""
    return file_digest(directory / MANIFEST_NAME)


def digests(directory: Path, known: Mapping[str, str] = MappingProxyType({})) -> dict[str, str]:
    """Relative path -> SHA-256 in hex of every file below `directory` but the manifest, sorted.

    Those in `known` are taken from there.
    """
    paths = {
        path.relative_to(directory).as_posix(): path
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path != directory / MANIFEST_NAME
    }
    return {name: known.get(name) or file_digest(path) for name, path in paths.items()}


def file_digest(path: Path) -> str:
    """SHA-256 in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
