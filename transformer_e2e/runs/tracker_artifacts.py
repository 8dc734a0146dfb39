"""Models as W&B artifacts: up, proven, used, down again."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from transformer_e2e.errors import TrackerError
from transformer_e2e.runs.background import Overdue, in_background
from transformer_e2e.runs.durable import STAGING_PREFIX, DiskFull
from transformer_e2e.runs.manifest import file_digest
from transformer_e2e.runs.tracker_connection import Connection, Unreachable

if TYPE_CHECKING:
    from wandb import Artifact

    from transformer_e2e.runs.tracker import Session

ARTIFACT_TYPE = "model"
ALIASES = ("latest", "best")
_BASE_SECONDS = 120.0
_SLOWEST_BYTES_PER_SECOND = 500_000
_SILENCE_SECONDS = 30.0  # a server gone for longer ends the waiting; a restart takes less
_PING_SECONDS = 5.0

T = TypeVar("T")
Poll = Callable[[], None]


def upload(
    session: Session, files: Mapping[str, Path], *, name: str, metadata: Mapping[str, Any], poll: Poll
) -> str:
    """Upload `files` (name in the artifact -> local file) and wait until the server has committed them.

    Returns `entity/project/name:version`. The same content again gives the same version. The files must not
    change meanwhile: they are read where they lie, without the client's usual copy, which would need the
    space twice. Raises TrackerError; `poll` may raise to give up.
    """
    import wandb

    size = sum(path.stat().st_size for path in files.values())
    artifact = wandb.Artifact(name, type=ARTIFACT_TYPE, metadata=dict(metadata))
    for target, path in files.items():
        artifact.add_file(str(path), name=target, policy="immutable", skip_cache=True)

    def log_and_wait() -> str:
        logged = session.run.log_artifact(artifact, aliases=list(ALIASES)).wait()
        return str(logged.qualified_name).partition(":")[0] + f":{logged.version}"

    return _bounded(log_and_wait, size, session, poll, doing="take the files")


def differing_files(
    session: Session, reference: str, expected: Mapping[str, str], *, beside: Path, poll: Poll
) -> list[str]:
    """The names whose downloaded bytes do not have the expected SHA-256 (hex); empty: the copy is proven.

    Every file is downloaded, one at a time, into a hidden directory in `beside`, and deleted again.
    Raises TrackerError if the artifact cannot be read at all.
    """
    reading = f"give {reference} back for comparison"
    artifact, names = _bounded(lambda: _with_names(reference), 0, session, poll, doing=reading)
    wrong = sorted(names ^ set(expected))
    scratch = Path(tempfile.mkdtemp(prefix=f"{STAGING_PREFIX}verify-", dir=beside))
    try:
        for name in sorted(names & set(expected)):
            place = scratch / "file"
            if _digest_of_copy(session, artifact, name, place, poll, reading) != expected[name]:
                wrong.append(name)
            shutil.rmtree(place, ignore_errors=True)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return sorted(wrong)


def use(session: Session, reference: str) -> None:
    """Link the artifact as an input of this run. Raises TrackerError."""
    _bounded(
        lambda: session.run.use_artifact(reference, type=ARTIFACT_TYPE),
        0,
        session,
        lambda: None,
        doing=f"link {reference}",
    )


@dataclass(frozen=True)
class Downloaded:
    reference: str  # entity/project/name:version, whatever alias was asked for
    directory: Path
    metadata: dict[str, Any]  # what `upload` was given


def download(reference: str, directory: Path) -> Downloaded:
    """All files of `[entity/project/]name[:version or alias]` in `directory`. Raises TrackerError."""

    def fetch() -> Downloaded:
        artifact = _find(reference)
        artifact.download(root=str(directory), skip_cache=True)
        name = f"{artifact.qualified_name.partition(':')[0]}:{artifact.version}"
        return Downloaded(name, directory, dict(artifact.metadata))

    try:
        return _translate(fetch)
    except TrackerError as error:
        raise TrackerError(
            f"W&B could not hand out {reference}: {error}. `python scripts/manage_completed_runs.py list` "
            f"shows the artifacts of the trials on this disk"
        ) from error


def _digest_of_copy(
    session: Session, artifact: Artifact, name: str, place: Path, poll: Poll, doing: str
) -> str | None:
    """SHA-256 of one downloaded file; None if the server does not hand it out, or cuts it short."""
    size = int(artifact.manifest.entries[name].size or 0)
    try:
        _bounded(
            lambda: artifact.download(root=str(place), path_prefix=name, skip_cache=True),
            size,
            session,
            poll,
            doing=doing,
        )
        return file_digest(place / name)
    except FileNotFoundError:
        return None


def _with_names(reference: str) -> tuple[Artifact, set[str]]:
    """The artifact and its file names; asking for them downloads its manifest."""
    artifact = _find(reference)
    return artifact, set(artifact.manifest.entries)


def _find(reference: str) -> Artifact:
    import wandb

    return wandb.Api().artifact(reference, type=ARTIFACT_TYPE)


def _bounded(call: Callable[[], T], size: int, session: Session, poll: Poll, *, doing: str) -> T:
    """`call()` with an end: overdue for `size` bytes, or the server silent.

    Raises TrackerError: W&B could not do what `doing` says, and why.
    """
    pulse = _Pulse(session.connection)

    def poll_both() -> None:
        poll()
        pulse.check()

    seconds = _BASE_SECONDS + size / _SLOWEST_BYTES_PER_SECOND
    try:
        return _translate(lambda: in_background(call, seconds=seconds, poll=poll_both))
    except TrackerError as error:
        raise TrackerError(f"W&B could not {doing}: {pulse.why_silent() or error}") from error


class _Pulse:
    """Notices that the server is gone, long before the client gives up its retries."""

    def __init__(self, connection: Connection | None) -> None:
        self._connection = connection
        self._last_seen = self._last_asked = time.monotonic()

    def check(self) -> None:
        """Raise Unreachable after `_SILENCE_SECONDS` without an answer; asks every `_PING_SECONDS`."""
        now = time.monotonic()
        if self._connection is None or now - self._last_asked < _PING_SECONDS:
            return
        try:
            self._connection.viewer(seconds=2.0)
            self._last_seen = time.monotonic()
        except Unreachable:
            if time.monotonic() - self._last_seen > _SILENCE_SECONDS:
                raise
        self._last_asked = time.monotonic()

    def why_silent(self) -> str:
        """Why the server does not answer now; empty if it does. The client blames the key for it."""
        try:
            if self._connection is not None:
                self._connection.viewer(seconds=2.0)
        except TrackerError as error:
            return str(error)
        return ""


def _translate(call: Callable[[], T]) -> T:
    """Whatever the client raises, and it raises many kinds, as a TrackerError."""
    try:
        return call()
    except (TrackerError, DiskFull):
        raise
    except Overdue as error:
        raise TrackerError(str(error)) from None
    except Exception as error:
        raise TrackerError(f"{type(error).__name__}: {error}") from error
