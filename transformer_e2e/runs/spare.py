"""What may go when the folder of trials gets full, in which order, and how it goes without a loss.

Never: the newest or the best checkpoint of a trial that is not over, or the model of a trained one whose
copy is not proven. A trial that another process holds is left alone altogether.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from transformer_e2e.errors import CheckpointError
from transformer_e2e.runs import completion
from transformer_e2e.runs.checkpoints import (
    REPLACED_PREFIX,
    UNUSABLE_PREFIX,
    CheckpointStore,
    best_of,
    discard,
    sealed_checkpoints,
)
from transformer_e2e.runs.cleaning import clean
from transformer_e2e.runs.completion import Ending, Record, Status
from transformer_e2e.runs.durable import STAGING_PREFIX, tree_size
from transformer_e2e.runs.identity import known_run_ids
from transformer_e2e.runs.lock import TrialHeld, TrialLock, is_held
from transformer_e2e.runs.manifest import verify


class Kind(IntEnum):
    """The order in which things go."""

    LEFTOVERS = 1  # of killed writers, and checkpoints set aside as unusable
    COPIED = 2  # weights whose uploaded copy is proven
    OLDER_OWN = 3  # this trial's checkpoints but the newest and the best
    OLDER = 4  # those of trials that nobody works on
    WORTHLESS = 5  # weights of trials that diverged or were pruned
    KEPT = 6  # weights whose copy is proven and that --keep_local kept

    @property
    def words(self) -> str:
        return _WORDS[self]


_WORDS = {
    Kind.LEFTOVERS: "leftovers",
    Kind.COPIED: "weights whose uploaded copy is proven",
    Kind.OLDER_OWN: "older checkpoints",
    Kind.OLDER: "older checkpoints",
    Kind.WORTHLESS: "weights of a trial that diverged or was pruned",
    Kind.KEPT: "weights kept by --keep_local, whose uploaded copy is proven",
}


@dataclass(frozen=True)
class Spare:
    kind: Kind
    run_id: str
    bytes: int


def find_spares(root: Path, own: str, *, new_best: bool) -> list[Spare]:
    """All that may go now, in the order in which it should, the biggest of a kind first.

    `own` is the trial that this process holds; `new_best`: its best checkpoint is about to be replaced.
    """
    found: list[Spare] = []
    for run_id in known_run_ids(root):
        directory = root / run_id
        if run_id == own:
            found += _sized(run_id, _paths_of_own(root, own, new_best))
        elif directory.is_dir() and not is_held(directory):
            found += _sized(run_id, _paths_of_other(root, run_id))
    return sorted(found, key=lambda spare: (spare.kind, -spare.bytes, spare.run_id))


def drop(root: Path, own: str, spare: Spare, *, new_best: bool) -> None:
    """Delete it, as it is by now; nothing of a trial that somebody has begun to work on. Repeatable."""
    if spare.run_id == own:
        for path in _paths_of_own(root, own, new_best).get(spare.kind, []):
            discard(path)
        return
    try:
        lock = TrialLock(root / spare.run_id, no_wait=True, say=lambda _: None)
    except TrialHeld:
        return
    try:
        if lock.made_directory:  # it was cleared in between
            lock.remove_directory()
        else:
            _drop_of_other(root, spare)
    finally:
        lock.release()


def _drop_of_other(root: Path, spare: Spare) -> None:
    store = CheckpointStore(root / spare.run_id, keep=1, say=lambda _: None)  # deletes and repairs leftovers
    paths = _paths_of_other(root, spare.run_id).get(spare.kind, [])
    if spare.kind is Kind.OLDER and not _is_whole(store):
        return
    record = _record(root, spare.run_id)
    if record is not None and spare.kind is _kind_of_weights(record):
        clean(record, root=root, store=store)
        return
    for path in paths:
        discard(path)


def _paths_of_own(root: Path, run_id: str, new_best: bool) -> dict[Kind, list[Path]]:
    directory = root / run_id
    over = _record(root, run_id) is not None
    return {
        Kind.LEFTOVERS: list(directory.glob(f"{UNUSABLE_PREFIX}*")),
        Kind.OLDER_OWN: _older(directory, over=over, best_goes=new_best),
    }


def _paths_of_other(root: Path, run_id: str) -> dict[Kind, list[Path]]:
    directory = root / run_id
    leftovers = [*directory.glob(f"{UNUSABLE_PREFIX}*"), *directory.glob(f"{STAGING_PREFIX}*")]
    for replaced in directory.glob(f"{REPLACED_PREFIX}*"):
        if (directory / replaced.name.removeprefix(REPLACED_PREFIX)).exists():
            leftovers.append(replaced)
    found = {Kind.LEFTOVERS: leftovers}
    try:
        record = completion.read(root, run_id)
    except CheckpointError:  # damaged: nobody knows what its weights are worth
        return found
    weights = None if record is None else _kind_of_weights(record)
    if weights is not None:
        found[weights] = list(directory.glob("step-*"))
    elif record is None or not record.kept_local:
        found[Kind.OLDER] = _older(directory, over=record is not None, best_goes=False)
    return found


def _kind_of_weights(record: Record) -> Kind | None:
    """Which kind all checkpoints of a trial are that is over; None: they are worth keeping."""
    if record.status is Status.UPLOADED:
        return Kind.KEPT if record.kept_local else Kind.COPIED
    if record.outcome in (Ending.DIVERGED, Ending.PRUNED) and not record.kept_local:
        return Kind.WORTHLESS
    return None


def _older(directory: Path, *, over: bool, best_goes: bool) -> list[Path]:
    """All but the best and, if training is not over, the newest. Empty if no manifest can be read."""
    checkpoints = sealed_checkpoints(directory)
    best = best_of(checkpoints)
    if best is None:
        return []
    kept = set() if over else {checkpoints[0].directory}
    if not best_goes:
        kept.add(best.directory)
    return [item.directory for item in checkpoints if item.directory not in kept]


def _is_whole(store: CheckpointStore) -> bool:
    """Whether what stays when the older ones go can be used: its digests are checked."""
    kept = {item.directory for item in (*store.all()[:1], store.best()) if item is not None}
    try:
        for directory in kept:
            verify(directory)
    except (CheckpointError, OSError):
        return False
    return bool(kept)


def _sized(run_id: str, paths: dict[Kind, list[Path]]) -> Iterator[Spare]:
    for kind, items in paths.items():
        if size := sum(tree_size(path) for path in items):
            yield Spare(kind, run_id, size)


def _record(root: Path, run_id: str) -> Record | None:
    try:
        return completion.read(root, run_id)
    except CheckpointError:
        return None
