"""`--disk_budget`: the most that the folder of trials may hold, shared by all processes that write there.

Before a checkpoint is written its bytes are set aside; if there is no room, what is spare goes, in the order
that spare.py states. One process at a time makes room, under a lock on `.budget`; each reserves what it is
about to write in a file of its trial, which counts only while that process lives.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from transformer_e2e.errors import CheckpointError
from transformer_e2e.runs import completion
from transformer_e2e.runs.checkpoints import DISCARDED_PREFIX
from transformer_e2e.runs.durable import STAGING_PREFIX, DiskFull, in_words, tree_size
from transformer_e2e.runs.identity import COMPLETION_DIR
from transformer_e2e.runs.lock import is_held
from transformer_e2e.runs.spare import Kind, Spare, drop, find_spares

_NOTE_NAME = ".budget"  # the limit last given and the largest checkpoint [bytes]; its lock is the folder's
_RESERVED_NAME = f"{STAGING_PREFIX}reserved"  # in a trial's directory: bytes that it is about to write
_SHOWN = 5


class BudgetSpent(DiskFull):
    """`--disk_budget` leaves no room, and nothing more may go. What was saved before is untouched."""


class DiskBudget:
    """The share of one trial. Only for the holder of its lock; one block of `room` at a time."""

    def __init__(self, root: Path, run_id: str, *, limit: int, say: Callable[[str], None]) -> None:
        """`limit` in bytes, more than 0."""
        self._root, self._run_id, self._limit, self._say = root, run_id, limit, say
        self._told_own = False

    @contextmanager
    def room(self, needed: int, best: bool) -> Iterator[Callable[[int], None]]:
        """`needed` bytes are set aside for the length of the block; the block tells how many it wrote.

        0: unknown; as many as the largest checkpoint of this folder are set aside then, if there is room.
        `best`: the checkpoint to be written replaces the trial's best. Raises BudgetSpent, here or when the
        block tells of more than was set aside; nothing has been deleted then that would have helped in vain.
        """
        reserved = needed
        if needed:
            self._reserve(needed, best)
        else:
            with contextlib.suppress(BudgetSpent):
                self._reserve(_largest(self._root), best)

        def settle(written: int) -> None:
            if written > reserved:
                self._reserve(written, best)

        try:
            yield settle
        finally:
            self._reservation.unlink(missing_ok=True)

    def _reserve(self, needed: int, best: bool) -> None:
        with _locked(self._root) as note:
            note.write_text(json.dumps({"bytes": self._limit, "largest": max(needed, _largest(self._root))}))
            self._make_room(needed, best)
            self._reservation.write_text(str(needed))

    def _make_room(self, needed: int, best: bool) -> None:
        missing = self._missing(needed)
        if missing <= 0:
            return
        spares = find_spares(self._root, self._run_id, new_best=best)
        if sum(spare.bytes for spare in spares) >= missing:
            for spare in spares:
                drop(self._root, self._run_id, spare, new_best=best)
                missing = self._missing(needed)
                self._tell(spare)
                if missing <= 0:
                    return
        raise BudgetSpent(self._refusal(needed, missing))

    def _missing(self, needed: int) -> int:
        return used(self._root, writer=self._run_id) + needed - self._limit

    def _tell(self, spare: Spare) -> None:
        if spare.kind is Kind.OLDER_OWN:  # at every checkpoint of a tight budget
            if self._told_own:
                return
            self._told_own = True
        whose = "this trial" if spare.run_id == self._run_id else spare.run_id
        self._say(f"disk budget: removed {in_words(spare.bytes)} of {spare.kind.words} ({whose})")

    def _refusal(self, needed: int, missing: int) -> str:
        where = "" if self._root == Path("model_checkpoints") else f" --checkpoint_dir {self._root}"
        held = used(self._root, writer=self._run_id)
        works = 1.01 * (self._limit + missing + needed) / 1e9
        return "\n".join(
            [
                f"the disk budget is spent: the next checkpoint takes {in_words(needed)}, and {self._root} "
                f"holds {in_words(held)} of --disk_budget {self._limit / 1e9:g} ({in_words(self._limit)}). "
                f"None of it may go without a loss; the most is held by",
                *_biggest(self._root, own=self._run_id),
                f"What was saved before is untouched. Give the same command again with --disk_budget "
                f"{works:.3g}, or after `python scripts/manage_completed_runs.py{where} clear RUN_ID` of a "
                f"trial that is not needed",
            ]
        )

    @property
    def _reservation(self) -> Path:
        return self._root / self._run_id / _RESERVED_NAME


def used(root: Path, *, writer: str | None = None) -> int:
    """Bytes that the folder holds, and those that living processes have reserved there.

    `writer`: a trial whose checkpoint in the making is left out, because it says itself how large that is.
    """
    total = 0
    for name in _names(root):
        directory = root / name
        # Before the look at the files, so that what is published meanwhile is counted once at least.
        reserved = _reserved(directory) if name != writer else 0
        reserved = reserved if reserved and is_held(directory) else 0
        sizes = {path: tree_size(path) for path in (_entries(directory) or [directory])}
        staged = sum(size for path, size in sizes.items() if _is_staged(path))
        total += sum(sizes.values()) + (-staged if name == writer else max(0, reserved - staged))
    return total


def _names(root: Path) -> list[str]:
    try:
        return os.listdir(root)
    except FileNotFoundError:
        return []


def _entries(directory: Path) -> list[Path]:
    """What lies directly in the directory; nothing if it is a file, or gone."""
    try:
        return [directory / name for name in os.listdir(directory)]
    except OSError:
        return []


def holdings(root: Path) -> dict[str, int]:
    """Bytes of everything directly below `root`, by name; empty if there is no such folder."""
    return {name: tree_size(root / name) for name in _names(root)}


def last_limit(root: Path) -> int | None:
    """The `--disk_budget` in bytes that was last given for this folder; None: there is none."""
    return _noted(root).get("bytes")


def _largest(root: Path) -> int:
    """Bytes of the largest checkpoint that was written here under a budget; 0: none was."""
    return _noted(root).get("largest", 0)


def _noted(root: Path) -> dict[str, int]:
    try:
        content = json.loads((root / _NOTE_NAME).read_text())
        return {name: int(value) for name, value in content.items()}
    except (OSError, ValueError, TypeError, AttributeError):  # none, or a kill tore it
        return {}


def _biggest(root: Path, *, own: str) -> list[str]:
    """The five names that hold the most, and why they do, one line each."""
    sizes = holdings(root)
    sizes[own] = sizes.get(own, 0) - _staged(root / own)
    shown = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN]
    width = max(len(name) for name, _ in shown)
    return [
        f"  {in_words(size):>8}  {name:<{width}}  {_reason(root, name, own)}".rstrip() for name, size in shown
    ]


def _reason(root: Path, name: str, own: str) -> str:
    directory = root / name
    if name == COMPLETION_DIR or not directory.is_dir():
        return ""
    if name == own:
        return "this trial"
    if is_held(directory):
        return "in training now"
    try:
        record = completion.read(root, name)
    except CheckpointError:
        return "its completion record is damaged: clear it"
    if record is None:
        return "not finished: what its next start continues from"
    if record.status is completion.Status.TRAINED:
        return "trained, its copy is not proven: the same command uploads it"
    return f"{record.outcome}, {record.status}"


def _staged(directory: Path) -> int:
    """Bytes of the checkpoint that is being written there."""
    return sum(tree_size(path) for path in _entries(directory) if _is_staged(path))


def _is_staged(path: Path) -> bool:
    name = path.name
    return (
        name.startswith(STAGING_PREFIX) and name != _RESERVED_NAME and not name.startswith(DISCARDED_PREFIX)
    )


def _reserved(directory: Path) -> int:
    try:
        return int((directory / _RESERVED_NAME).read_text())
    except (OSError, ValueError):  # none, or its writer was killed while it wrote
        return 0


@contextmanager
def _locked(root: Path) -> Iterator[Path]:
    """The note about the folder, for one process at a time; the kernel frees it when its holder dies."""
    path = root / _NOTE_NAME
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield path
    finally:
        os.close(descriptor)
