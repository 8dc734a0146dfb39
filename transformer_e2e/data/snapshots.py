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
    facts, _ = inspect(directory)
    if facts is not None:
        return facts
    try:
        with _locked(directory):
            facts, damage = inspect(directory)  # another process may have built it while this one waited
            if facts is None:
                logger.log(logging.WARNING if damage else logging.INFO, "building %s%s", what, damage)
                facts = _build(directory, build)
            return facts
    except OSError as error:
        raise DataError(
            f"cannot write {what} to {directory}: {error}; free some space, or give another --cache_dir"
        ) from error


def inspect(directory: Path) -> tuple[Facts | None, str]:
    """(facts, "") of a complete snapshot whose files match their digests; else None and what is damaged."""
    if not directory.exists():
        return None, ""
    try:
        manifest = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
        digests: dict[str, str] = manifest["sha256"]
        damaged = [name for name, digest in digests.items() if file_digest(directory / name) != digest]
        facts: Facts = manifest["facts"]
        if manifest["seal"] != _seal(digests, facts):
            damaged.append(MANIFEST)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return None, f" again: {directory} cannot be read ({type(error).__name__}: {error})"
    if damaged:
        return None, f" again: {directory} is damaged ({', '.join(damaged)})"
    return facts, ""


def remember(path: Path, compute: Callable[[], Facts]) -> Facts:
    """The JSON object in `path`, computed and stored if it is not there yet; once for all processes.

    Where it cannot be stored it is computed all the same, and a warning says so.
    """
    known = _remembered(path)
    if known is not None:
        return known
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(_locked(path))
        except OSError as error:
            logger.warning(
                "%s cannot be kept, and is made at every start: %s. Make room, or name another --cache_dir",
                path,
                error,
            )
            return compute()
        value = _remembered(path)
        if value is None:
            value = compute()
            _replace(path, json.dumps(value, indent=1))
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
    # We hold the snapshot's lock, so both names are ours; a builder that was killed may have left them.
    staging = directory.with_name(f".staging-{directory.name}")
    damaged = directory.with_name(f".damaged-{directory.name}")
    for left_behind in (staging, damaged):
        shutil.rmtree(left_behind, ignore_errors=True)
    try:
        staging.mkdir()
        facts = build(staging)
        files = sorted(path for path in staging.rglob("*") if path.is_file())
        digests = {path.relative_to(staging).as_posix(): file_digest(path) for path in files}
        manifest = {"sha256": digests, "facts": facts, "seal": _seal(digests, facts)}
        _write_synced(staging / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True))
        for path in (*staging.rglob("*"), staging):
            _sync(path)
        if directory.exists():  # damaged: readers that have its files mapped keep their pages
            os.rename(directory, damaged)
        os.rename(staging, directory)
        _sync(directory.parent)
        return facts
    finally:
        for leftover in (staging, damaged):
            shutil.rmtree(leftover, ignore_errors=True)


def _seal(digests: dict[str, str], facts: Facts) -> str:
    """What shows that the manifest itself is whole."""
    return fingerprint([json.dumps([digests, facts], sort_keys=True)])


def _remembered(path: Path) -> Facts | None:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def _replace(path: Path, text: str) -> None:
    staging = path.with_name(f".staging-{path.name}")
    try:
        _write_synced(staging, text)
        os.replace(staging, path)
        _sync(path.parent)
    except OSError as error:
        logger.warning(
            "%s cannot be kept, and is made at every start: %s. Make room, or name another --cache_dir",
            path,
            error,
        )
        staging.unlink(missing_ok=True)


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
