"""Checkpoints of one trial: directories `step-00000120`, each complete with its manifest, or absent.

The newest few and the best are kept. `latest` and `best` are links for people; the program trusts only the
manifests.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from transformer_e2e.errors import CheckpointError, UserError
from transformer_e2e.runs.durable import (
    STAGING_PREFIX,
    explain_full_disk,
    fsync,
    remove,
    remove_staging,
    stage_directory,
    tree_size,
)
from transformer_e2e.runs.manifest import MANIFEST_NAME, Manifest, read_manifest, verify, write_manifest
from transformer_e2e.runs.trial import Fill

_STEP = re.compile(r"step-(\d{8,})")
UNUSABLE_PREFIX = "unusable-"
REPLACED_PREFIX = ".replaced-"
DISCARDED_PREFIX = f"{STAGING_PREFIX}discarded-"


@dataclass(frozen=True)
class Checkpoint:
    directory: Path
    manifest: Manifest

    @property
    def step(self) -> int:
        return self.manifest.step


# Sets so many bytes aside (0: unknown) for the length of a block, for a checkpoint that may be the best one;
# the block says how many they are in the end. See `DiskBudget.room`.
Room = Callable[[int, bool], AbstractContextManager[Callable[[int], None]]]


@contextmanager
def boundless(needed: int, best: bool) -> Iterator[Callable[[int], None]]:
    """Room without a budget: the disk itself is the limit."""
    yield lambda _: None


class CheckpointStore:
    """Only for the holder of the trial's lock."""

    def __init__(
        self, directory: Path, *, keep: int, say: Callable[[str], None], room: Room = boundless
    ) -> None:
        """Repairs what a kill left: staging directories go, a checkpoint in mid-exchange comes back."""
        self.directory = directory
        self.keep = keep
        self.say = say
        self.room = room
        remove_staging(directory)
        for replaced in directory.glob(f"{REPLACED_PREFIX}*"):
            original = directory / replaced.name.removeprefix(REPLACED_PREFIX)
            if original.exists():
                remove(replaced)
            else:
                os.rename(replaced, original)

    def save(self, fill: Fill, *, step: int, rows: int, best: bool, metric: float | None) -> Path:
        """Publish what `fill(directory)` writes as the checkpoint of `step`, then drop what is too old.

        `rows` is the number of journal rows that the state in it stands for. Returns the checkpoint's
        directory. Raises DiskFull, or what `fill` raises; the older checkpoints are then untouched and the
        new one is absent. On any thread, but no other method may run meanwhile.
        """
        known: dict[str, str] = {}
        target = self.directory / _name(step)

        def fill_staging(staging: Path) -> None:
            known.update(fill(staging) or {})

        def write_seal(staging: Path) -> Path:
            write_manifest(staging, step=step, rows=rows, best=best, metric=metric, known=known)
            return staging / MANIFEST_NAME

        size = self._newest_size()
        with self.room(size, best) as settle, explain_full_disk(self.directory, needed=size):
            staging = stage_directory(target, fill_staging, write_seal)
            try:
                settle(tree_size(staging))
                self._publish(staging, target)
            except BaseException:
                remove(staging)
                raise
            self._link("latest", target.name)
            if best:
                self._link("best", target.name)
        self._drop_old()
        return target

    def restore(self, load: Callable[[Path], None]) -> Checkpoint | None:
        """Load the newest checkpoint that verifies and loads; None if there is none at all.

        Those that do not are said and set aside as `unusable-*`. Raises CheckpointError if all of them are
        unusable: starting over silently would lose the work they stand for.
        """
        problems: list[str] = []
        directories = self._directories()
        for directory in directories:
            try:
                checkpoint = Checkpoint(directory, verify(directory))
                load(directory)
            except (UserError, OSError, ValueError, KeyError) as error:
                problems.append(f"{directory.name}: {error}")
                self.say(f"warning: skipping checkpoint {directory} for an older one: {error}")
                continue
            for skipped in directories[: len(problems)]:
                self._set_aside(skipped)
            return checkpoint
        if problems:
            raise CheckpointError(
                f"none of the checkpoints in {self.directory} can be used:\n"
                + "\n".join(f"  - {problem}" for problem in problems)
                + "\nrepair them, or start again at step 0 with --force"
            )
        return None

    def all(self) -> list[Checkpoint]:
        """Those whose manifest can be read, newest first; digests are not checked."""
        return sealed_checkpoints(self.directory)

    def best(self) -> Checkpoint | None:
        """The newest that was the best when it was made, else the newest; None if there is none."""
        return best_of(self.all())

    def size(self) -> int:
        """Bytes of what `remove_all` would delete."""
        patterns = ("step-*", f"{UNUSABLE_PREFIX}*", f"{REPLACED_PREFIX}*", f"{STAGING_PREFIX}*")
        return sum(tree_size(path) for pattern in patterns for path in self.directory.glob(pattern))

    def remove_all(self) -> None:
        """Delete every checkpoint; repeatable. The journal and the ledger of attempts stay."""
        for pattern in ("latest", "best", f"{UNUSABLE_PREFIX}*", f"{REPLACED_PREFIX}*"):
            for path in self.directory.glob(pattern):
                remove(path)
        for directory in reversed(self._directories()):
            discard(directory)
        remove_staging(self.directory)

    def _directories(self) -> list[Path]:
        return list_checkpoints(self.directory)

    def _publish(self, staging: Path, target: Path) -> None:
        """Rename into place. An older checkpoint of the same step makes room, and survives a kill between."""
        replaced = target.with_name(REPLACED_PREFIX + target.name)
        if target.exists():
            remove(replaced)
            os.rename(target, replaced)
        os.rename(staging, target)
        fsync(self.directory)
        remove(replaced)

    def _link(self, name: str, target: str) -> None:
        temporary = self.directory / f".staging-{name}"
        remove(temporary)
        os.symlink(target, temporary)
        os.replace(temporary, self.directory / name)

    def _drop_old(self) -> None:
        checkpoints = self.all()
        best = self.best()
        for item in checkpoints[self.keep :]:
            if item != best:
                discard(item.directory)

    def _set_aside(self, directory: Path) -> None:
        aside = directory.with_name(UNUSABLE_PREFIX + directory.name)
        remove(aside)
        os.rename(directory, aside)

    def _newest_size(self) -> int:
        return next((tree_size(directory) for directory in self._directories()), 0)


def list_checkpoints(directory: Path) -> list[Path]:
    """Checkpoint directories of a trial, newest first; not verified. Loads nothing heavy."""
    found = [
        (int(match[1]), path) for path in directory.glob("step-*") if (match := _STEP.fullmatch(path.name))
    ]
    return [path for _, path in sorted(found, reverse=True)]


def newest_step(directory: Path) -> int | None:
    """Step of the newest checkpoint, not verified; None: there is none."""
    return next((int(path.name.removeprefix("step-")) for path in list_checkpoints(directory)), None)


def sealed_checkpoints(directory: Path) -> list[Checkpoint]:
    """Those of a trial whose manifest can be read, newest first; digests are not checked."""
    found = []
    for path in list_checkpoints(directory):
        try:
            found.append(Checkpoint(path, read_manifest(path)))
        except CheckpointError:
            continue
    return found


def best_of(checkpoints: Sequence[Checkpoint]) -> Checkpoint | None:
    """The newest that was the best when it was made, else the newest; None if there is none. Newest first."""
    return next((item for item in checkpoints if item.manifest.best), next(iter(checkpoints), None))


def discard(directory: Path) -> None:
    """Delete so that no moment shows half a checkpoint under its name."""
    hidden = directory.with_name(f"{DISCARDED_PREFIX}{directory.name}")
    remove(hidden)
    os.rename(directory, hidden)
    fsync(directory.parent)  # a power cut may keep the deletions below and lose the rename
    remove(hidden)


def _name(step: int) -> str:
    return f"step-{step:08d}"
