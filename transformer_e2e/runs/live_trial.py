"""The `Trial` that a training loop is given: journal, checkpoints, W&B session and stop request in one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from transformer_e2e.runs.budget import BudgetSpent
from transformer_e2e.runs.checkpoints import CheckpointStore
from transformer_e2e.runs.journal import Journal
from transformer_e2e.runs.manifest import seal
from transformer_e2e.runs.save_thread import SaveThread
from transformer_e2e.runs.spec import TrialSpec
from transformer_e2e.runs.stop import StopRequest
from transformer_e2e.runs.tracker import Session
from transformer_e2e.runs.tracker_start import X_AXIS
from transformer_e2e.runs.trial import Fill


class LiveTrial:
    """Implements `Trial`; see there for what the methods promise."""

    def __init__(
        self,
        spec: TrialSpec,
        *,
        journal: Journal,
        store: CheckpointStore,
        session: Session,
        stop: StopRequest,
        say: Callable[[str], None],
    ) -> None:
        """Sends W&B the rows that it lacks, so that what is logged next has its own number there too."""
        self.directory: Path = spec.directory
        self.last_step = 0
        self._spec, self._journal, self._store = spec, journal, store
        self._session, self._stop, self._say = session, stop, say
        self._told_difference = self._told_skipped = False
        self._saving: SaveThread[tuple[int, str] | None] = SaveThread()
        session.rows = journal.rows_from
        for number, metrics in journal.rows_from(session.rows_held):
            session.send(number, metrics)
        self.best = journal.best(spec.metric_name, minimize=spec.goal == "minimize")
        if self.best is not None:
            session.note_best(spec.metric_name, self.best)
        journal.rewind(0)

    @property
    def stop_requested(self) -> bool:
        self._stop.poll_from_now()
        return self._stop.reason is not None

    def log(self, metrics: Mapping[str, float], *, step: int) -> None:
        if self._saving.done:
            self.settle()
        row = {X_AXIS: step, **metrics}
        self.last_step = max(self.last_step, step)
        number = self._journal.append(step, row)
        if number is None:
            self._tell_differences()
            return
        self._session.send(number, row)
        value = metrics.get(self._spec.metric_name)
        if value is not None and self._spec.improves(value, self.best):
            self.best = value
            self._session.note_best(self._spec.metric_name, value)

    def save(
        self, fill: Fill, *, step: int, best: bool, metric: float | None = None, required: bool = True
    ) -> None:
        self.settle()
        self.last_step = max(self.last_step, step)
        self._note(self._write(fill, step, self._journal.position, best, metric, required))

    def save_later(
        self, fill: Fill, *, step: int, best: bool, metric: float | None = None, required: bool = True
    ) -> None:
        self.settle()
        self.last_step = max(self.last_step, step)
        rows = self._journal.position
        self._saving.start(lambda: self._write(fill, step, rows, best, metric, required))

    def settle(self) -> None:
        self._note(self._saving.wait())

    def close(self) -> None:
        """Wait for a save under way; what goes wrong there is only said. For after an error elsewhere."""
        try:
            self.settle()
        except Exception as error:
            self._say(
                f"warning: the last checkpoint could not be saved: {error}; the same command continues from "
                f"the one before"
            )

    def sync(self) -> None:
        """Let the rows logged up to now survive a power cut: before a record that ends the training."""
        self._journal.sync()

    def restore(self, load: Callable[[Path], None]) -> int | None:
        self._stop.poll_from_now()
        checkpoint = self._store.restore(load)
        if checkpoint is None:
            return None
        self._journal.rewind(checkpoint.manifest.rows)
        self.last_step = checkpoint.step
        self._session.note_checkpoint(checkpoint.step, seal(checkpoint.directory))
        self._say(f"continuing {self._spec.run_id} from step {checkpoint.step}")
        return checkpoint.step

    def _write(
        self, fill: Fill, step: int, rows: int, best: bool, metric: float | None, required: bool
    ) -> tuple[int, str] | None:
        """The checkpoint's step and digest; None if the disk budget had no room for it. On any thread."""
        self._journal.sync()  # before the checkpoint that counts these rows
        try:
            return step, seal(self._store.save(fill, step=step, rows=rows, best=best, metric=metric))
        except BudgetSpent as error:
            if required or best or not self._store.all():
                raise
            self._tell_skipped(step, error)
            return None

    def _note(self, saved: tuple[int, str] | None) -> None:
        if saved:
            self._session.note_checkpoint(*saved)

    @property
    def differences(self) -> int:
        """Replayed values that were not what an earlier attempt logged."""
        return len(self._journal.differences)

    def _tell_skipped(self, step: int, error: BudgetSpent) -> None:
        if not self._told_skipped:
            self._told_skipped = True
            self._say(
                f"warning: no checkpoint at step {step}, but training goes on: {error}. Until the next one "
                f"succeeds, a kill repeats the steps since the one before"
            )

    def _tell_differences(self) -> None:
        if self._journal.differences and not self._told_difference:
            self._told_difference = True
            self._say(
                f"warning: the repeated steps are not exactly those logged before "
                f"({self._journal.differences[0]}): another device, thread count or logging interval? The "
                f"rows logged first are kept; --force begins anew, for one curve of one kind"
            )
