"""What an operator wants to know of trials: a table of those done, all about one, and how to forget one.

Reads records and directories only: no torch, no W&B, so it answers at once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformer_e2e.errors import CheckpointError
from transformer_e2e.runs import completion
from transformer_e2e.runs.attempts import read_attempts
from transformer_e2e.runs.checkpoints import list_checkpoints
from transformer_e2e.runs.completion import Record, Status
from transformer_e2e.runs.durable import remove, tree_size
from transformer_e2e.runs.identity import find
from transformer_e2e.runs.journal import read_journal
from transformer_e2e.runs.lock import LOCK_NAME, TrialHeld, TrialLock, is_held

_COLUMNS = ("run ID", "outcome", "status", "metric", "best", "steps", "hours", "artifact")


@dataclass(frozen=True)
class TrialStatus:
    """One trial as it lies on this disk."""

    run_id: str
    directory: Path
    record: Record | None  # None: its training is not over
    latest_step: int | None  # of the newest checkpoint; None: there is none
    bytes: int  # on this disk
    attempts: list[dict[str, Any]]
    metrics: dict[str, float]  # the last value of each
    live: bool  # a process holds it now

    @property
    def next_start(self) -> str:
        """What the trial's command would do if it were given now."""
        if self.live:
            return "wait: another attempt is working on it"
        if self.record is not None and self.record.outcome is completion.Ending.PRUNED:
            return "train anew from step 0: it was pruned"
        if self.record is None:
            return (
                "train from step 0"
                if self.latest_step is None
                else f"continue after step {self.latest_step}, if that checkpoint verifies"
            )
        pending = {Status.TRAINED: "upload, verify and clean up", Status.UPLOADED: "clean up"}
        return pending.get(self.record.status, "nothing: it is done") + " (--force trains it again)"

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "directory": str(self.directory), "next_start": self.next_start}

    def lines(self) -> list[str]:
        """The status as a person reads it."""
        shown: list[tuple[str, object]] = [("trial", self.run_id), ("directory", self.directory)]
        if (record := self.record) is not None:
            best = "none" if record.best_metric is None else f"{record.best_metric:.6g}"
            shown += [
                (
                    "outcome",
                    f"{record.outcome} after {record.steps} steps, {record.seconds / 3600:.3f} hours",
                ),
                (f"best {record.metric_name}", best),
                ("status", record.status),
                ("artifact", record.artifact or "none"),
                ("W&B", record.url or record.wandb_run or "none"),
            ]
        else:
            shown.append(("status", "in training" if self.live else "not finished"))
        newest = "none" if self.latest_step is None else f"step {self.latest_step}"
        shown += [("checkpoint", newest), ("on disk", f"{self.bytes / 1e6:.1f} MB")]
        ends = [line for line in self.attempts if line.get("event") == "end"]
        starts = [line for line in self.attempts if line.get("event") == "start"]
        shown.append(("attempts", f"{len(starts)}, {len(starts) - len(ends)} of them killed or running"))
        shown += [
            (name, f"{value:.6g}") for name, value in sorted(self.metrics.items()) if name[:5] == "eval/"
        ]
        shown.append(("next start", self.next_start))
        width = max(len(name) for name, _ in shown)
        return [f"{name:<{width}}  {value}" for name, value in shown]


def table(records: Sequence[Record]) -> list[str]:
    """One line a record under a heading, columns aligned."""
    rows = [_COLUMNS, *(_row(record) for record in records)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_COLUMNS))]
    return ["  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def status(root: Path, prefix: str) -> TrialStatus:
    """Everything this disk knows of the one trial that `prefix` begins. Raises UserError (see `find`)."""
    run_id = find(prefix, root)
    directory = root / run_id
    steps = list_checkpoints(directory)
    last: dict[str, float] = {}
    for row in read_journal(directory):
        last |= row["metrics"]
    return TrialStatus(
        run_id=run_id,
        directory=directory,
        record=completion.read(root, run_id),
        latest_step=int(steps[0].name.removeprefix("step-")) if steps else None,
        bytes=tree_size(directory),
        attempts=read_attempts(directory),
        metrics=last,
        live=is_held(directory),
    )


def clear(root: Path, prefix: str) -> list[str]:
    """Forget one trial: its local files, then its record. Returns what went, in words.

    The artifact stays. The next start begins at step 0. Repeatable after a kill. Raises UserError:
    no or several matches, or an attempt that is working on it (nothing is touched then).
    """
    run_id = find(prefix, root)
    directory = root / run_id
    try:
        lock = TrialLock(directory, no_wait=True, say=lambda _: None)
    except TrialHeld as held:
        raise CheckpointError(f"{held}; stop that attempt first, nothing was removed") from None
    try:
        artifact = _artifact_of(root, run_id)
        size = tree_size(directory)
        for path in directory.iterdir():
            if path.name != LOCK_NAME:
                remove(path)
        had_record = completion.remove(root, run_id)
        lock.remove_directory()
    finally:
        lock.release()
    said = [f"removed {directory} ({size / 1e6:.1f} MB)"]
    said += [f"removed the completion record of {run_id}"] if had_record else []
    said += [f"kept the artifact {artifact}"] if artifact else []
    return [*said, "the next start of this trial begins at step 0"]


def _artifact_of(root: Path, run_id: str) -> str | None:
    with contextlib.suppress(CheckpointError):  # a damaged record is a reason to clear, not to refuse
        record = completion.read(root, run_id)
        return record.artifact if record else None
    return None


def _row(record: Record) -> tuple[str, ...]:
    return (
        record.run_id,
        str(record.outcome),
        str(record.status),
        record.metric_name,
        "-" if record.best_metric is None else f"{record.best_metric:.5g}",
        "-" if record.steps is None else str(record.steps),
        f"{record.seconds / 3600:.3f}",
        (record.artifact or "-").rpartition("/")[2],
    )
