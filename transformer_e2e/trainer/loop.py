"""The training loop. It owns no file and no network; all it changes is `state` and the generators."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from transformer_e2e.compute import generators
from transformer_e2e.compute.meter import Meter
from transformer_e2e.compute.progress import Progress
from transformer_e2e.config.settings import TrainSettings
from transformer_e2e.model.decoder import Decoder
from transformer_e2e.runs.outcome import Outcome
from transformer_e2e.runs.trial import Trial
from transformer_e2e.trainer.checkpoint import NextBatch, read_state, share_state
from transformer_e2e.trainer.saver import Saver
from transformer_e2e.trainer.state import TrainState
from transformer_e2e.trainer.step import Batches, Step, take_step

Evaluate = Callable[[Decoder, bool], dict[str, float] | None]


def resume(state: TrainState, batches: Batches, trial: Trial, settings: TrainSettings) -> int | None:
    """Load the trial's newest usable checkpoint into `state`; its step, or None if there is none.

    Every rank ends up with the state of rank 0, whose trial alone has checkpoints.
    """
    step = trial.restore(lambda directory: read_state(state, directory, next_batch(batches, settings)))
    share_state(state)
    return step


def train(
    state: TrainState,
    batches: Batches,
    evaluate: Evaluate,
    trial: Trial,
    settings: TrainSettings,
    *,
    log_interval: int,
    checkpoint_interval: int,
    on_progress: Callable[[Progress], None] = lambda _: None,
    extra_files: Callable[[Path], None] = lambda _: None,
) -> Outcome:
    """Advance `state` to settings.max_steps, or stop earlier and say why.

    Micro-batch i of step s is `batches(s * gradient_accumulation + i)`, a pure function, so the step number
    is the whole data position. `evaluate(model, whole)` returns the metrics, `eval/loss` among them, or
    None if it was cut short by a stop; what it draws from the generators is undone. A stop is answered
    with a checkpoint after the step, or in place of a step with micro-batches left, or in place of an
    evaluation, which the resumed trial then repeats. DIVERGED (a loss or gradient that is not finite)
    leaves the weights as they were before that step and saves nothing. `extra_files(directory)` adds to
    each checkpoint what is no training state; it may be called in another thread. Checkpoints before the
    last are written while the training goes on: whoever runs the trial settles it, as `Trial` says.
    """
    saver = Saver(state, trial, next_batch(batches, settings), extra_files)
    meter = Meter()
    while True:
        improved = False
        if evaluation_due(state, settings):
            with generators.untouched():
                scores = evaluate(state.model, state.step == settings.max_steps)
            if scores is None:
                saver.save(best=False, required=False, last=True)
                return Outcome.STOPPED
            if not math.isfinite(scores["eval/loss"]):
                return Outcome.DIVERGED
            improved = state.observe(scores["eval/loss"])
            state.unlogged |= {"train/global_step": state.step} | scores
        if state.unlogged:
            trial.log(state.unlogged, step=state.step)
            state.unlogged = {}
        outcome = end_of(state, settings) or stop_agreed(state, trial)
        if improved or outcome or (checkpoint_interval and state.step % checkpoint_interval == 0):
            ended = outcome in (Outcome.FINISHED, Outcome.EARLY_STOPPED)
            saver.save(best=improved, required=ended, last=outcome is not None)
        if outcome:
            return outcome

        with meter:
            step = take_step(state, batches, settings, lambda: trial.stop_requested)
        if step is None:
            continue  # a stop, answered above
        if not step.finite:
            return Outcome.DIVERGED
        meter.count(step.tokens)
        on_progress(Progress(state.step, settings.max_steps, step.loss, state.best_loss, meter.rate))
        if state.step % log_interval == 0:
            state.unlogged = row_of(step, state) | {"perf/tokens_per_second": meter.rate}
            meter.restart()


def evaluation_due(state: TrainState, settings: TrainSettings) -> bool:
    """Every eval_interval steps and after the last one, if this step's evaluation is not complete."""
    due = state.step % settings.eval_interval == 0 or state.step == settings.max_steps
    return due and state.evaluated_step != state.step


def end_of(state: TrainState, settings: TrainSettings) -> Outcome | None:
    """How the trial ended with this step, or None. From the state alone, so a resume decides alike."""
    if state.step >= settings.max_steps:
        return Outcome.FINISHED
    if settings.patience and state.evals_since_best >= settings.patience:
        return Outcome.EARLY_STOPPED
    return None


def stop_agreed(state: TrainState, trial: Trial) -> Outcome | None:
    """STOPPED if any rank was asked to stop: all of them leave after the same step."""
    return Outcome.STOPPED if state.world.agree(trial.stop_requested) else None


def row_of(step: Step, state: TrainState) -> dict[str, float]:
    return {
        "train/loss": step.loss,
        "train/grad_norm": step.grad_norm,
        "train/learning_rate": step.learning_rate,
        "train/global_step": state.step,
        "train/tokens": state.tokens_seen,
    }


def next_batch(batches: Batches, settings: TrainSettings) -> NextBatch:
    """The first micro-batch of a step: what a checkpoint's certificate covers of the data."""
    return lambda step: batches(step * settings.gradient_accumulation)
