"""The course of a trial's training: when it logs, evaluates, saves and ends.

What the library (transformers 5.23) does otherwise, and where it is mended:

- an evaluation due at an epoch's end is lost by a kill after that step's checkpoint: `close_step`
- a checkpoint of the last step is trained one step further: `begin` ends there
- a loss that is not finite is hidden: `training_step`
- an evaluation changes the generators: `evaluate` undoes it
- rows go to W&B by a callback, again after a resume: `log` gives them to the trial alone
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from transformers import DefaultFlowCallback, PrinterCallback, ProgressCallback, TrainingArguments
from transformers.trainer_utils import EvalLoopOutput

from transformer_e2e.compute import generators
from transformer_e2e.compute.meter import Meter
from transformer_e2e.compute.progress import Progress
from transformer_e2e.errors import ConfigError
from transformer_e2e.hf.exact_trainer import ExactTrainer
from transformer_e2e.hf.loop_arguments import loop_arguments
from transformer_e2e.hf.moments import Moments
from transformer_e2e.hf.prepared import Prepared
from transformer_e2e.hf.rows import EVALUATION, row_of
from transformer_e2e.hf.timetable import Timetable
from transformer_e2e.runs.outcome import Outcome
from transformer_e2e.runs.trial import Trial

_CLOSING = "train_runtime"  # is in what the library logs at its end


class Diverged(Exception):
    """A loss or a gradient is not a finite number."""


class EvaluationCut(Exception):
    """A stop was asked for during an evaluation, which the resumed trial repeats."""


class TrialTrainer(ExactTrainer):
    """Logs and saves through the trial alone. Made for one call of `restore`, then `work`."""

    def __init__(
        self,
        trial: Trial,
        prepared: Prepared,
        args: TrainingArguments,
        *,
        metric_name: str,
        minimize: bool,
        patience: int,
        on_progress: Callable[[Progress], None],
    ) -> None:
        """`patience`: evaluations without a better metric after which training ends; 0: never."""
        super().__init__(trial, prepared, loop_arguments(args, metric_name, minimize), minimize=minimize)
        for callback in (DefaultFlowCallback, PrinterCallback, ProgressCallback):
            self.remove_callback(callback)
        self.add_callback(Moments(self))
        self.evaluates_at_start = args.eval_on_start
        self.metric_name, self.patience, self.on_progress = metric_name, patience, on_progress
        self.outcome: Outcome | None = None
        self.meter = Meter()
        self.kept: tuple[int, int] | None = None  # the position that is on disk
        self.step_loss = 0.0  # of this step's micro-batches so far
        self.before_step: tuple[generators.Generators, float, int, int] | None = None

    def work(self) -> Outcome:
        """Train on to the end, or to a stop. Raises ConfigError, DiskFull and PeerLost."""
        try:
            self.train(resume_from_checkpoint=str(self.directory) if self.directory else None)
        except Diverged:
            return Outcome.DIVERGED
        assert self.outcome is not None
        return self.outcome

    # steps

    def set_initial_training_values(self, args: TrainingArguments, dataloader: Any) -> Any:
        values = super().set_initial_training_values(args, dataloader)
        self.steps_per_epoch = values[1]
        return values

    def begin(self) -> None:
        """Before the first step: do what was still to do after the one that was saved."""
        self.timetable = Timetable(
            self.args,
            max_steps=self.state.max_steps,
            steps_per_epoch=self.steps_per_epoch,
            at_start=self.evaluates_at_start,
        )
        self.become_saved()
        self.kept = self.position()  # just loaded; or fresh, which the seed alone brings back
        self.close_step()

    def position(self) -> tuple[int, int]:
        return self.state.global_step, self.standing.evaluated_step

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        if self.outcome is None:
            self._remember()
            super()._run_epoch(*args, **kwargs)

    def begin_step(self) -> None:
        self.meter.__enter__()
        self.step_loss = 0.0
        self.seed_step()
        if self.state.global_step % self.steps_per_epoch:  # else the loader has drawn since the step before
            self._remember()

    def _remember(self) -> None:
        """What a stop between two micro-batches brings back."""
        if self.args.gradient_accumulation_steps > 1:
            counted = self.current_flos, self.state.num_input_tokens_seen
            self.before_step = generators.capture(), float(self._tr_loss), *counted

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        loss = super().training_step(model, inputs, num_items_in_batch)
        self.step_loss += float(loss)
        if self.world.size == 1 and not math.isfinite(self.step_loss):
            raise Diverged
        ids = inputs.get("input_ids")
        self.meter.count(0 if ids is None else ids.numel())
        return loss

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        """Raises Diverged, on all ranks alike; fp16 has steps with infinite gradients, which it skips."""
        norm = super()._get_grad_norm(model, grad_norm)
        if norm is not None and not self.args.fp16 and not math.isfinite(float(norm)):
            raise Diverged
        return norm

    def end_micro_batch(self) -> None:
        """A stop between two micro-batches leaves the step out, as if it had not begun."""
        if self.world.size > 1 or self.is_deepspeed_enabled or not self.trial.stop_requested:
            return
        assert self.before_step is not None
        drawn, loss, self.current_flos, self.state.num_input_tokens_seen = self.before_step
        generators.restore(drawn)
        self._tr_loss.fill_(loss)
        self.prepared.model.zero_grad()
        self._end(Outcome.STOPPED)

    def end_step(self) -> None:
        self.meter.__exit__()
        step, last = self.state.global_step, self.state.max_steps
        self.control.should_log = self.timetable.logs(step)
        best = math.inf if self.standing.best is None else self.standing.best
        self.on_progress(Progress(step, last, self.step_loss, best, self.meter.rate))

    def _maybe_log_save_evaluate(self, *args: Any, **kwargs: Any) -> None:
        """Called by the library after every step, and once more after an epoch."""
        if self.outcome is None:
            super()._maybe_log_save_evaluate(*args, **kwargs)  # logs; nothing sets the other two flags
            self.close_step()

    def close_step(self) -> None:
        """Evaluate, end and save, as is due after this step and has not been done."""
        step, improved = self.state.global_step, False
        if self.timetable.evaluates(step) and self.standing.evaluated_step != step:
            try:
                scores = self._evaluate(None, None)
            except EvaluationCut:
                self._end(Outcome.STOPPED)
                return
            improved = self.standing.observe(self._metric(scores), step)
        outcome = self.standing.end(step, self.state.max_steps, self.patience)
        if outcome is None and self.world.agree(self.trial.stop_requested):
            outcome = Outcome.STOPPED
        if outcome:
            self._end(outcome, improved)
        elif improved or self.timetable.saves(step):
            self._keep(improved, required=False, last=False)

    def _end(self, outcome: Outcome, improved: bool = False) -> None:
        self.outcome = outcome
        self.control.should_training_stop = True
        self._keep(improved, required=outcome is not Outcome.STOPPED, last=True)

    def _keep(self, best: bool, required: bool, last: bool) -> None:
        """Save, but not twice without a change in between."""
        if self.position() != self.kept:
            self.save(best=best, required=required, last=last)
            self.kept = self.position()

    # evaluations

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Raises EvaluationCut and Diverged. The generators are as before, whatever is drawn."""
        with generators.untouched(), self._cut_by_stop():
            return super().evaluate(*args, **kwargs)

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> EvalLoopOutput:
        output = super().evaluation_loop(*args, **kwargs)
        metrics: dict[str, float] = output.metrics or {}
        loss = metrics[f"{EVALUATION}loss"]
        if not math.isfinite(loss):
            raise Diverged
        if self.prepared.more_metrics:
            more = self.world.broadcast(self.prepared.more_metrics(self.prepared, loss))
            metrics.update({f"{EVALUATION}{name}": value for name, value in more.items()})
        return output

    @contextmanager
    def _cut_by_stop(self) -> Iterator[None]:
        """Each forward pass inside looks for a stop; several processes finish their evaluation together."""

        def look(*_: Any) -> None:
            if self.trial.stop_requested:
                raise EvaluationCut

        hook = self.prepared.model.register_forward_pre_hook(look) if self.world.size == 1 else None
        try:
            yield
        finally:
            if hook:
                hook.remove()

    def _metric(self, scores: Mapping[str, float]) -> float:
        found = row_of(scores, 0.0)
        if self.metric_name not in found:
            known = ", ".join(name for name in found if name.startswith("eval/"))
            raise ConfigError(f"no evaluation gives {self.metric_name}; it gives {known}")
        return found[self.metric_name]

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """The one place where rows are made."""
        if _CLOSING in logs:  # the trial's end says it, once, however often the trial was resumed
            return
        row = row_of(logs, self.state.epoch)
        if "loss" in logs:
            row["perf/tokens_per_second"] = self.meter.rate
            self.meter.restart()
            if self.args.include_num_input_tokens_seen != "no":
                row["train/num_input_tokens_seen"] = self.state.num_input_tokens_seen
        self.trial.log(row, step=self.state.global_step)
        self.control = self.callback_handler.on_log(self.args, self.state, self.control, logs)
