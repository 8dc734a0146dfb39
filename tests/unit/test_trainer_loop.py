"""What the loop logs, saves and returns, seen through the Trial protocol."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tests.unit.training_case import SHAPE, DirectoryTrial, batches, case_settings, run
from transformer_e2e.compute.progress import Progress
from transformer_e2e.runs.outcome import Outcome
from transformer_e2e.trainer.loop import train
from transformer_e2e.trainer.state import new_state

CPU = torch.device("cpu")


def scripted(tmp_path, losses: list[float], **changes: float):
    """Train with evaluations that return `losses` one after the other."""
    settings = case_settings("fp32", **({"max_steps": 12} | changes))
    state, trial, left = new_state(SHAPE, settings, CPU), DirectoryTrial(tmp_path), list(losses)
    seen: list[Progress] = []
    outcome = train(
        state,
        batches,
        lambda model, whole: {"eval/loss": left.pop(0)},
        trial,
        settings,
        log_interval=2,
        checkpoint_interval=5,
        on_progress=seen.append,
    )
    return outcome, state, trial, seen


def test_rows_hold_the_documented_names_one_row_a_step(tmp_path):
    trial = DirectoryTrial(tmp_path)
    run(trial, case_settings("fp32"))
    train_names = {
        "train/loss",
        "train/grad_norm",
        "train/learning_rate",
        "train/global_step",
        "train/tokens",
    }
    eval_names = {"eval/loss", "eval/perplexity", "eval/bits_per_byte", "eval/word_perplexity"}
    assert [row["step"] for row in trial.rows] == [2, 3, 4, 6, 8, 9, 10]
    assert set(trial.rows[0]) == train_names | {"step"}
    assert set(trial.rows[1]) == eval_names | {"train/global_step", "step"}
    assert set(trial.rows[3]) == eval_names | train_names | {"step"}
    assert set(trial.rows[-1]) == eval_names | train_names | {"step", "eval/whole_loss"}
    assert all(row["train/global_step"] == row["step"] for row in trial.rows)
    assert trial.rows[-1]["train/tokens"] == 10 * 2 * 4 * 8


def test_the_best_evaluations_and_the_intervals_are_saved(tmp_path):
    outcome, state, trial, seen = scripted(tmp_path, [3.0, 2.0, 2.5, 2.0])
    assert outcome is Outcome.FINISHED
    assert trial.saves == [
        (3, True, 3.0),
        (5, False, None),
        (6, True, 2.0),
        (10, False, None),
        (12, False, None),
    ]
    assert (state.best_loss, state.evals_since_best) == (2.0, 2)
    assert [progress.step for progress in seen] == list(range(1, 13))
    assert seen[0].best_loss == math.inf and seen[-1].best_loss == 2.0 and seen[-1].tokens_per_second > 0


def test_patience_counts_evaluations_without_a_better_loss(tmp_path):
    outcome, state, trial, _ = scripted(tmp_path, [3.0, 3.0, 3.1], patience=2)
    assert outcome is Outcome.EARLY_STOPPED
    assert state.step == 9
    assert trial.saves[-1] == (9, False, None)


def test_an_evaluation_that_is_not_finite_is_divergence(tmp_path):
    outcome, _, trial, _ = scripted(tmp_path, [3.0, math.nan])
    assert outcome is Outcome.DIVERGED
    assert [save[0] for save in trial.saves] == [3, 5]


def test_a_loss_that_is_not_finite_is_divergence_and_saves_nothing(tmp_path):
    outcome, state, trial, _ = scripted(tmp_path, [3.0], learning_rate=1e38, max_grad_norm=0.0)
    assert outcome is Outcome.DIVERGED
    assert state.step < 12 and trial.saves == []


def test_a_stop_before_the_first_step_saves_nothing(tmp_path):
    trial = DirectoryTrial(tmp_path, stop_at=1)
    state, outcome = run(trial, case_settings("fp32"))
    assert (outcome, state.step, trial.saves, trial.rows) == (Outcome.STOPPED, 0, [], [])


def test_a_finished_trial_run_again_does_nothing(tmp_path):
    run(DirectoryTrial(tmp_path), case_settings("fp32"))
    again = DirectoryTrial(tmp_path)
    state, outcome = run(again, case_settings("fp32"))
    assert (outcome, state.step, again.saves) == (Outcome.FINISHED, 10, [])


def test_the_whole_evaluation_counts_every_target_once_and_scales_bytes():
    """Hand-made: a model whose every logit is equal loses log(32) nats on each token."""
    from transformer_e2e.trainer.evaluation import Evaluator

    state = new_state(SHAPE, case_settings("fp32"), CPU)
    with torch.no_grad():
        state.model.embedding.weight.zero_()
    windows = np.ones((5, 9), dtype=np.int64)
    windows[4, 4:] = -100
    evaluator = Evaluator(windows_NT1=windows, text_bytes=70, text_words=10, batch_size=2, window_limit=2)
    for whole in (True, False):
        scores = evaluator(state.model, whole)
        assert scores["eval/loss"] == pytest.approx(math.log(32))
        assert scores["eval/perplexity"] == pytest.approx(32)
        assert scores["eval/bits_per_byte"] == pytest.approx(5 * 35 / 70)
        assert scores["eval/word_perplexity"] == pytest.approx(32**3.5)
        assert ("eval/whole_loss" in scores) == whole
    assert state.model.training


def test_eval_loss_is_over_the_same_windows_in_every_evaluation():
    from transformer_e2e.trainer.evaluation import Evaluator

    state = new_state(SHAPE, case_settings("fp32"), CPU)
    windows = np.random.default_rng(0).integers(0, 32, (5, 9))

    def scores(limit: int, whole: bool) -> dict[str, float]:
        evaluator = Evaluator(windows_NT1=windows, text_bytes=70, text_words=10, window_limit=limit)
        return evaluator(state.model, whole)

    assert scores(2, True)["eval/loss"] == pytest.approx(scores(2, False)["eval/loss"], rel=1e-6)
    assert scores(2, True)["eval/loss"] != pytest.approx(scores(0, True)["eval/loss"], rel=1e-6)
    assert scores(2, True)["eval/whole_loss"] == pytest.approx(scores(0, True)["eval/loss"], rel=1e-6)
    assert scores(2, True)["eval/bits_per_byte"] == pytest.approx(
        scores(0, True)["eval/bits_per_byte"], rel=1e-6
    )
