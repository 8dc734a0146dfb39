"""Checkpoints of one trial: directories `step-00000120`, each complete with its manifest, or absent.

The newest few and the best are kept. `latest` and `best` are links for people; the program trusts only the
manifests.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
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
from transformer_e2e.runs.manifest import Manifest, read_manifest, verify, write_manifest

_STEP = re.compile(r"step-(\d{8,})")
_UNUSABLE_PREFIX = "unusable-"
_REPLACED_PREFIX = ".replaced-"


@dataclass(frozen=True)
class Checkpoint:
    directory: Path
    manifest: Manifest

    @property
    def step(self) -> int:
        return self.manifest.step


class CheckpointStore:
    """Only for the holder of the trial's lock."""

    def __init__(self, directory: Path, *, keep: int, say: Callable[[str], None]) -> None:
        """Repairs what a kill left: staging directories go, a checkpoint in mid-exchange comes back."""
        self.directory = directory
        self.keep = keep
        self.say = say
        remove_staging(directory)
        for replaced in directory.glob(f"{_REPLACED_PREFIX}*"):
            original = directory / replaced.name.removeprefix(_REPLACED_PREFIX)
            if original.exists():
                remove(replaced)
            else:
                os.rename(replaced, original)

    def save(
        self, fill: Callable[[Path], None], *, step: int, rows: int, best: bool, metric: float | None
    ) -> Path:
        """Publish what `fill(directory)` writes as the checkpoint of `step`, then drop what is too old.

        `rows` is the number of journal rows at this moment. Returns the checkpoint's directory. Raises
        DiskFull, or what `fill` raises; the older checkpoints are then untouched and the new one is absent.
        """

        def fill_and_seal(staging: Path) -> None:
            fill(staging)
            write_manifest(staging, step=step, rows=rows, best=best, metric=metric)

        target = self.directory / _name(step)
        with explain_full_disk(self.directory, needed=self._newest_size()):
            staging = stage_directory(target, fill_and_seal)
            try:
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
                self.say(f"skipping checkpoint {directory}: {error}")
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
        """Checkpoints whose manifest can be read, newest first; digests are not checked."""
        found = []
        for directory in self._directories():
            try:
                found.append(Checkpoint(directory, read_manifest(directory)))
            except CheckpointError:
                continue
        return found

    def best(self) -> Checkpoint | None:
        """The newest that was the best when it was made, else the newest; None if there is none."""
        checkpoints = self.all()
        return next((item for item in checkpoints if item.manifest.best), next(iter(checkpoints), None))

    def size(self) -> int:
        """Bytes of what `remove_all` would delete."""
        patterns = ("step-*", f"{_UNUSABLE_PREFIX}*", f"{_REPLACED_PREFIX}*", f"{STAGING_PREFIX}*")
        return sum(tree_size(path) for pattern in patterns for path in self.directory.glob(pattern))

    def remove_all(self) -> None:
        """Delete every checkpoint; repeatable. The journal and the ledger of attempts stay."""
        for pattern in ("latest", "best", f"{_UNUSABLE_PREFIX}*", f"{_REPLACED_PREFIX}*"):
            for path in self.directory.glob(pattern):
                remove(path)
        for directory in reversed(self._directories()):
            self._discard(directory)
        remove_staging(self.directory)

    def _directories(self) -> list[Path]:
        return list_checkpoints(self.directory)

    def _publish(self, staging: Path, target: Path) -> None:
        """Rename into place. An older checkpoint of the same step makes room, and survives a kill between."""
        replaced = target.with_name(_REPLACED_PREFIX + target.name)
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
                self._discard(item.directory)

    def _discard(self, directory: Path) -> None:
        """Delete so that no moment shows half a checkpoint under its name."""
        hidden = directory.with_name(f".staging-discarded-{directory.name}")
        remove(hidden)
        os.rename(directory, hidden)
        remove(hidden)

    def _set_aside(self, directory: Path) -> None:
        aside = directory.with_name(_UNUSABLE_PREFIX + directory.name)
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


def _name(step: int) -> str:
    return f"step-{step:08d}"
