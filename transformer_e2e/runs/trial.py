"""What a training loop sees of the trial it works on: log, save, restore, should I stop. Nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

# Writes the files of a checkpoint into an empty directory. Returns the SHA-256 [hex], by relative path, of
# those that it hashed while writing, if any: they are not read again for the manifest.
Fill = Callable[[Path], Mapping[str, str] | None]


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
        self, fill: Fill, *, step: int, best: bool, metric: float | None = None, required: bool = True
    ) -> None:
        """Make a checkpoint out of the files that `fill(directory)` writes: complete, or absent.

        `best`: the metric improved, so this one is kept beside the newest and is the one uploaded.
        Raises DiskFull and leaves the older checkpoints as they were. `required` False, and not the best: if
        the disk budget is spent and there is an older checkpoint, that is said and training goes on.
        Waits for `save_later` first.
        """
        ...

    def save_later(
        self, fill: Fill, *, step: int, best: bool, metric: float | None = None, required: bool = True
    ) -> None:
        """As `save`, but return at once: `fill` is called in another thread, of low priority.

        `fill` therefore writes a copy that nobody changes before `settle` returns. The rows logged before
        this call belong to the checkpoint, later ones do not. One save at a time: this call waits for the
        one before. What goes wrong is raised by the next call of `log`, `save`, `save_later` or `settle`.
        Whoever runs the trial waits for the last one, however the training ends.
        """
        ...

    def settle(self) -> None:
        """Wait until what `save_later` began is complete or absent; raise what went wrong there."""
        ...

    def restore(self, load: Callable[[Path], None]) -> int | None:
        """Load the newest checkpoint that verifies, and return its step. None: there is none, start fresh.

        `load(directory)` raises a UserError (CheckpointError), OSError, ValueError or KeyError if the files
        cannot be used; an older checkpoint is tried then, and what was skipped is said. Raises
        CheckpointError when there are checkpoints and none can be used.
        """
        ...
