"""Forgetting trials: what would go, which have failed, and the deletion. Artifacts and W&B's runs stay."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from transformer_e2e.errors import CheckpointError
from transformer_e2e.runs import completion
from transformer_e2e.runs.attempts import read_attempts
from transformer_e2e.runs.checkpoints import list_checkpoints, newest_step
from transformer_e2e.runs.completion import Ending
from transformer_e2e.runs.durable import in_words, remove, tree_size
from transformer_e2e.runs.identity import known_run_ids
from transformer_e2e.runs.lock import LOCK_NAME, TrialHeld, TrialLock, is_held


@dataclass(frozen=True)
class Belongings:
    """What one trial has on this disk."""

    run_id: str
    bytes: int
    newest_step: int | None  # of its checkpoints; None: there is none
    checkpoints: int
    record: str | None  # how it ended, or "damaged"; None: there is no record
    artifact: str | None

    @property
    def words(self) -> str:
        parts = ["no record" if self.record is None else f"a record ({self.record})"]
        if self.checkpoints:
            parts.append(f"{self.checkpoints} checkpoints up to step {self.newest_step}")
        return f"{in_words(self.bytes)}: {', '.join(parts)}"


def belongings(root: Path, run_id: str) -> Belongings:
    directory = root / run_id
    ended, artifact = None, None
    try:
        if (record := completion.read(root, run_id)) is not None:
            ended, artifact = str(record.outcome), record.artifact
    except CheckpointError:  # a damaged record is a reason to clear, not to refuse
        ended = "damaged"
    return Belongings(
        run_id=run_id,
        bytes=tree_size(directory) + tree_size(completion.record_path(root, run_id)),
        newest_step=newest_step(directory),
        checkpoints=len(list_checkpoints(directory)),
        record=ended,
        artifact=artifact,
    )


def failed(root: Path) -> list[str]:
    """Run IDs of trials that diverged, whose record is damaged, or whose attempts all ended in an error."""
    return [run_id for run_id in known_run_ids(root) if _has_failed(root, run_id)]


def living(root: Path, run_ids: list[str]) -> list[str]:
    """Those that a process works on now."""
    return [run_id for run_id in run_ids if is_held(root / run_id)]


def clear(root: Path, run_id: str) -> list[str]:
    """Forget one trial: its record, then its directory. Returns what went, in words.

    The next start begins at step 0. Repeatable after a kill: without its record a trial is continued, never
    taken for one that is done. Raises CheckpointError: a process works on it (nothing is touched then).
    """
    directory = root / run_id
    try:
        lock = TrialLock(directory, no_wait=True, say=lambda _: None)
    except TrialHeld as held:
        raise CheckpointError(f"{held}; stop that attempt first, nothing was removed") from None
    try:
        had = belongings(root, run_id)
        completion.remove(root, run_id)
        for path in directory.iterdir():
            if path.name != LOCK_NAME:
                remove(path)
        lock.remove_directory()
    finally:
        lock.release()
    said = [f"removed {run_id}, {had.words}"]
    return said + ([f"kept its artifact {had.artifact}"] if had.artifact else [])


def _has_failed(root: Path, run_id: str) -> bool:
    try:
        record = completion.read(root, run_id)
    except CheckpointError:
        return True
    if record is not None:
        return record.outcome is Ending.DIVERGED
    lines = read_attempts(root / run_id)
    ends = [line for line in lines if line.get("event") == "end"]
    starts = sum(line.get("event") == "start" for line in lines)
    # A start without an end was killed: that trial is to be continued.
    return bool(ends) and starts == len(ends) and all(line.get("exit_code") in (1, 2) for line in ends)
