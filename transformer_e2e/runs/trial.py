"""What a training loop sees of the trial it works on: log, save, restore, should I stop. Nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol


class Trial(Protocol):
    """One setting of parameters in training; survives restarts. Main thread of one process only."""

    @property
    def directory(self) -> Path:
        """The trial's own directory: complete checkpoints, the journal of metrics, the ledger of attempts."""
        ...

    @property
    def stop_requested(self) -> bool:
        """A signal or W&B asked to stop: save, then return `Outcome.STOPPED`. Cheap enough for every step."""
        ...

    def log(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Record one row of metrics at `step`, the number of optimizer steps taken.

        The row goes to `metrics.jsonl` and, as the same row number, to W&B. Rows that an earlier attempt
        recorded are compared with it (all but `perf/*`), not logged again. A failing W&B is said once and
        otherwise ignored. Raises DiskFull when the row cannot be written.
        """
        ...

    def save(
        self,
        fill: Callable[[Path], None],
        *,
        step: int,
        best: bool,
        metric: float | None = None,
        required: bool = True,
    ) -> None:
        """Make a checkpoint out of the files that `fill(directory)` writes: complete, or absent.

        `best`: the metric improved, so this one is kept beside the newest and is the one uploaded.
        Raises DiskFull and leaves the older checkpoints as they were. `required` False, and not the best: if
        the disk budget is spent and there is an older checkpoint, that is said and training goes on.
        """
        ...

    def restore(self, load: Callable[[Path], None]) -> int | None:
        """Load the newest checkpoint that verifies, and return its step. None: there is none, start fresh.

        `load(directory)` raises a UserError (CheckpointError), OSError, ValueError or KeyError if the files
        cannot be used; an older checkpoint is tried then, and what was skipped is said. Raises
        CheckpointError when there are checkpoints and none can be used.
        """
        ...
