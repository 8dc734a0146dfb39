"""What becomes of a trial when its training returns: its record, its model, its exit code."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from transformer_e2e.errors import TrackerError, UserError
from transformer_e2e.runs import artifacts, completion, tracker_artifacts
from transformer_e2e.runs.attempts import total_seconds
from transformer_e2e.runs.checkpoints import CheckpointStore, newest_step
from transformer_e2e.runs.cleaning import clean
from transformer_e2e.runs.completion import Ending, Record, Status
from transformer_e2e.runs.durable import DiskFull
from transformer_e2e.runs.journal import read_journal
from transformer_e2e.runs.live_trial import LiveTrial
from transformer_e2e.runs.outcome import ExitCode, Outcome
from transformer_e2e.runs.spec import DIVERGED_METRIC, Result, TrialSpec
from transformer_e2e.runs.stop import Reason, StopNow, StopRequest
from transformer_e2e.runs.tracker import Session
from transformer_e2e.runs.tracker_queries import BEST_PREFIX, DATA_PREFIX, Intent

CTRL_C_EXIT_CODE = 255  # what W&B's own handler reports for Ctrl-C, and shows as "killed"
_FINISH_SECONDS = 60.0
_HURRIED_SECONDS = 10.0  # the agent's SIGKILL follows 30 s after its SIGTERM

_ENDINGS = {
    Outcome.FINISHED: Ending.FINISHED,
    Outcome.EARLY_STOPPED: Ending.EARLY_STOPPED,
    Outcome.DIVERGED: Ending.DIVERGED,
}


@dataclass(frozen=True)
class Leaving:
    """How this attempt ends, for the ledger, for whoever started the process, and for W&B."""

    outcome: str
    exit_code: int
    stopped_by: Reason | None = None

    @property
    def wandb_exit_code(self) -> int:
        return CTRL_C_EXIT_CODE if self.stopped_by is Reason.INTERRUPTED else self.exit_code

    @property
    def finish_seconds(self) -> float:
        return _HURRIED_SECONDS if self.stopped_by else _FINISH_SECONDS


class Conclusion:
    def __init__(
        self,
        spec: TrialSpec,
        session: Session,
        store: CheckpointStore,
        stop: StopRequest,
        say: Callable[[str], None],
        *,
        in_sweep: bool,
    ) -> None:
        self._spec, self._session, self._store = spec, session, store
        self._stop, self._say, self._in_sweep = stop, say, in_sweep

    def of_training(self, result: Result, trial: LiveTrial, *, seconds: float) -> Leaving:
        """Record and publish a training that is over; keep one that was stopped; drop a pruned one's weights.

        `seconds` is the wall time of this attempt so far.
        """
        if result.outcome is Outcome.STOPPED:
            return self._of_stop(result, trial, seconds)
        ending = _ENDINGS[result.outcome]
        metrics = dict(result.metrics)
        if ending is Ending.DIVERGED:
            # A finite number: charts leave a NaN out, and a search would take the trial for one without news.
            metrics[self._spec.metric_name] = self._spec.worst_metric
            step = result.steps or trial.last_step
            trial.log({self._spec.metric_name: self._spec.worst_metric}, step=step)
            self._say(
                f"warning: diverged after step {step}: a loss or a gradient is not a finite number, and W&B "
                f"has {self._spec.metric_name} {self._spec.worst_metric:g}. What helps: a lower "
                f"--learning_rate, more --warmup_steps, a --max_grad_norm of 1"
            )
        record = self._record(ending, replace(result, metrics=metrics), trial, seconds)
        self._summarise(record)
        return self._published(record)

    def of_skip(self, record: Record, *, elsewhere: bool, publishing: bool) -> Leaving:
        """Tell the W&B run of this attempt what is known, and take up an upload that was left undone."""
        self._repeat_history(record)
        self._summarise(record)
        if elsewhere and record.artifact:
            try:
                tracker_artifacts.use(self._session, record.artifact)
            except TrackerError as error:
                self._say(
                    f"warning: {record.artifact} could not be linked to this run ({error}); the model is "
                    f"safe, use it by that name"
                )
        if publishing:
            return self._published(record)
        return Leaving(record.outcome, ExitCode.DONE)

    def _published(self, record: Record) -> Leaving:
        """A failing upload is no failed training: the local files stay, and the next start tries again."""
        done = Leaving(record.outcome, ExitCode.DONE)
        if not artifacts.needs_publishing(record, self._spec, online=self._session.online):
            self._say_where_it_stays(record)
            return done
        try:
            artifacts.publish(
                record,
                spec=self._spec,
                store=self._store,
                session=self._session,
                poll=self._stop.check,
                say=self._say,
            )
        except StopNow:
            self._say("stopped before the upload was proven; the same command takes it up again")
            return self.of_signal()
        except (UserError, DiskFull, OSError) as error:
            self._say(
                f"warning: the model was not uploaded: {error}\nIts files stay in {self._spec.directory}; "
                f"the same command, given again, uploads them"
            )
        return done

    def _say_where_it_stays(self, record: Record) -> None:
        best = self._store.best()
        mode = os.environ.get("WANDB_MODE", "")
        if best is not None and record.status is Status.TRAINED and self._spec.upload and mode == "offline":
            self._say(
                f"WANDB_MODE=offline: the model stays in {self._spec.directory}/best; the same command "
                f"without it uploads the model"
            )

    def _of_stop(self, result: Result, trial: LiveTrial, seconds: float) -> Leaving:
        reason = self._stop.reason or Reason.TERMINATED  # None: another process of the training was asked
        intent = self._session.stop_intent() if reason is Reason.TERMINATED else Intent.NONE
        if intent is Intent.PRUNE:
            return self._prune(result, trial, seconds)
        self._hand_back(reason, intent)
        self._say(f"stopped ({reason.name.lower()}) after step {trial.last_step}, {self._way_on(trial)}")
        return Leaving(reason.name.lower(), reason.exit_code, reason)

    def _way_on(self, trial: LiveTrial) -> str:
        kept = newest_step(self._spec.directory)
        if kept is None:
            return "before there was a checkpoint; the same command begins at step 0"
        if kept < trial.last_step:
            return f"the newest checkpoint is of step {kept}; the same command repeats what came after it"
        return "which has a checkpoint; the same command continues from it"

    def _prune(self, result: Result, trial: LiveTrial, seconds: float) -> Leaving:
        record = self._record(Ending.PRUNED, result, trial, seconds)
        self._summarise(record)
        self._say(f"pruned by the sweep after step {trial.last_step}")
        if self._spec.upload_pruned:
            self._published(record)
        elif not self._spec.keep_local:
            clean(record, root=self._spec.root, store=self._store)
        return Leaving(Ending.PRUNED, ExitCode.DONE, Reason.TERMINATED)

    def of_signal(self) -> Leaving:
        """A stop at a moment when there is nothing to save: before training, or after it."""
        reason = self._stop.reason or Reason.TERMINATED
        intent = self._session.stop_intent() if reason is Reason.TERMINATED else Intent.NONE
        if intent is Intent.PRUNE:
            return Leaving(reason.name.lower(), ExitCode.DONE, reason)
        self._hand_back(reason, intent)
        return Leaving(reason.name.lower(), reason.exit_code, reason)

    def _hand_back(self, reason: Reason, intent: Intent) -> None:
        """Ask the sweep to give the trial to somebody else, unless a person ended it."""
        killed = reason is Reason.TERMINATED and self._in_sweep and intent is not Intent.CANCEL
        if killed or reason is Reason.PREEMPTED:
            self._session.mark_preempting()

    def _record(self, ending: Ending, result: Result, trial: LiveTrial, seconds: float) -> Record:
        spec = self._spec
        trial.sync()
        best = trial.best if result.best_metric is None else result.best_metric
        return completion.write(
            spec.root,
            Record(
                run_id=spec.run_id,
                status=Status.TRAINED,
                outcome=ending,
                metrics=_finite(result.metrics),
                metric_name=spec.metric_name,
                goal=spec.goal,
                best_metric=None if best is None or not _measured(best) else best,
                steps=trial.last_step if result.steps is None else result.steps,
                seconds=round(seconds + total_seconds(spec.directory), 3),
                counted=dict(spec.counted),
                schema=None if result.schema is None else dict(result.schema),
                measured_on=dict(result.measured_on),
                wandb_run=self._session.path,
                url=self._session.url,
                kept_local=spec.keep_local,
            ),
        )

    def _summarise(self, record: Record) -> None:
        summary: dict[str, object] = dict(record.metrics)
        summary |= {f"{DATA_PREFIX}{name}": value for name, value in record.measured_on.items()}
        if record.best_metric is not None:
            summary[BEST_PREFIX + record.metric_name] = record.best_metric
        if record.outcome is Ending.DIVERGED:
            summary["diverged"] = True
        self._session.summarise(summary)

    def _repeat_history(self, record: Record) -> None:
        """Send the rows that this W&B run lacks; one row of final metrics if the journal is gone."""
        rows = [row["metrics"] for row in read_journal(self._spec.directory)] or [record.metrics]
        for number, metrics in enumerate(rows):
            self._session.send(number, metrics)


def _measured(value: float) -> bool:
    """Not for what stands in a diverged trial's charts in place of a number."""
    return math.isfinite(value) and abs(value) < DIVERGED_METRIC


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if math.isfinite(value)}
