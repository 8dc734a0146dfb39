"""Directories of the data cache: built once, complete or absent, verified by digest when opened.

A snapshot is a directory of files beside a `manifest.json` that names the SHA-256 digest of each of them and
holds whatever the builder wants remembered. Many processes may open the same snapshot at the same time; a
lock file beside it lets exactly one of them build.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from transformer_e2e.errors import DataError

MANIFEST = "manifest.json"
logger = logging.getLogger(__name__)

Facts = dict[str, Any]


def open_or_build(directory: Path, build: Callable[[Path], Facts], *, what: str) -> Facts:
    """The facts of the snapshot at `directory`, built first if it is absent or damaged.

    `build(staging)` writes the files and returns the facts to remember (plain JSON). It is called under the
    snapshot's lock, so once however many processes ask; if it raises, nothing is left. Raises DataError when
    the cache cannot be written.
    """
    facts = read(directory)
    if facts is not None:
        return facts
    try:
        with _locked(directory):
            facts = read(directory)  # another process may have built it while this one waited
            if facts is None:
                logger.info("building %s in %s", what, directory)
                facts = _build(directory, build)
            return facts
    except OSError as error:
        raise DataError(
            f"cannot write {what} to {directory}: {error}; free some space, or name another place with --cache_dir"
        ) from error


def read(directory: Path) -> Facts | None:
    """The facts of a complete snapshot whose files match their digests; None (and why, logged) otherwise."""
    if not directory.exists():
        return None
    try:
        manifest = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
        damaged = [
            name for name, digest in manifest["sha256"].items() if file_digest(directory / name) != digest
        ]
        facts: Facts = manifest["facts"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        logger.warning("%s cannot be read (%s); it is built again", directory, error)
        return None
    if damaged:
        logger.warning("%s is damaged (%s); it is built again", directory, ", ".join(damaged))
        return None
    return facts


def remember(path: Path, compute: Callable[[], Facts]) -> Facts:
    """The JSON object in `path`, computed and stored first if it is absent or unreadable; once for all processes."""
    with contextlib.suppress(OSError, ValueError):
        return dict(json.loads(path.read_text(encoding="utf-8")))
    with _locked(path):
        with contextlib.suppress(OSError, ValueError):
            return dict(json.loads(path.read_text(encoding="utf-8")))
        value = compute()
        staging = path.with_name(f".staging-{path.name}")
        _write_synced(staging, json.dumps(value, indent=1, sort_keys=True))
        os.replace(staging, path)
        _sync(path.parent)
        return value


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, as hexadecimal text."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fingerprint(parts: Iterable[str]) -> str:
    """SHA-256 of a sequence of texts (their boundaries count), as hexadecimal text."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8")
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


def _build(directory: Path, build: Callable[[Path], Facts]) -> Facts:
    prefix = f".staging-{directory.name}-"
    for left_behind in directory.parent.glob(f"{prefix}*"):  # by a builder that was killed; we hold its lock
        shutil.rmtree(left_behind, ignore_errors=True)
    staging = Path(tempfile.mkdtemp(prefix=prefix, dir=directory.parent))
    try:
        facts = build(staging)
        files = sorted(path for path in staging.rglob("*") if path.is_file())
        digests = {path.relative_to(staging).as_posix(): file_digest(path) for path in files}
        _write_synced(
            staging / MANIFEST, json.dumps({"sha256": digests, "facts": facts}, indent=1, sort_keys=True)
        )
        for path in (*staging.rglob("*"), staging):
            _sync(path)
        staging.chmod(0o755)  # mkdtemp makes it private; a cache is shared
        if directory.exists():  # damaged: readers that have it mapped keep their pages
            os.rename(directory, staging.with_name(f"{prefix}damaged"))
        os.rename(staging, directory)
        _sync(directory.parent)
    finally:
        for path in directory.parent.glob(f"{prefix}*"):
            shutil.rmtree(path, ignore_errors=True)
    return dict(json.loads((directory / MANIFEST).read_text(encoding="utf-8"))["facts"])


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / f".{path.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released by the kernel, also when this process is killed
        yield


def _write_synced(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
