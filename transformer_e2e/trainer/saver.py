"""When the training state is saved, and from where: a copy in memory while training goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from transformer_e2e.runs.trial import Trial
from transformer_e2e.trainer.checkpoint import NextBatch, view_of
from transformer_e2e.trainer.snapshot import Snapshot
from transformer_e2e.trainer.state import TrainState


class Saver:
    """Saves the state through the trial, but not twice without a change in between.

    `extra_files(directory)` adds to a checkpoint what is no training state.
    """

    def __init__(
        self, state: TrainState, trial: Trial, following: NextBatch, extra_files: Callable[[Path], None]
    ) -> None:
        self.state, self.trial, self.following, self.extra_files = state, trial, following, extra_files
        self.saved = self.position()  # just loaded; or fresh, which the seed alone brings back
        self.snapshot = Snapshot()

    def position(self) -> tuple[int, int]:
        return self.state.step, self.state.evaluated_step

    def save(self, *, best: bool, required: bool, last: bool) -> None:
        """Between two steps; only rank 0 saves. The last checkpoint is complete on return; one before it is
        written while training goes on, out of a copy. `required` is `Trial.save`'s. Raises DiskFull, also
        that of the checkpoint before.
        """
        if self.position() == self.saved or not self.state.world.is_main:
            return
        self.trial.settle()  # the copy is being written until then
        self.snapshot.take(view_of(self.state, self.following))
        save = self.trial.save if last else self.trial.save_later
        save(
            self.fill,
            step=self.state.step,
            best=best,
            metric=self.state.best_loss if best else None,
            required=required,
        )
        self.saved = self.position()

    def fill(self, directory: Path) -> dict[str, str]:
        digests = self.snapshot.write(directory)
        self.extra_files(directory)
        return digests
