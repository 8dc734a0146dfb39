"""What a Hugging Face training leaves behind, and how it ends."""

from __future__ import annotations

import math
import stat
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tests import hf_case
from tests.unit.training_case import DirectoryTrial
from transformer_e2e.data.schema import Schema
from transformer_e2e.errors import CheckpointError, ConfigError
from transformer_e2e.hf.checkpoint import TRAINING_FILES
from transformer_e2e.hf.prepared import Prepared
from transformer_e2e.hf.training import train
from transformer_e2e.runs.outcome import Outcome
from transformer_e2e.runs.spec import Result

SHORT = {
    "num_train_epochs": 1,
    "gradient_accumulation_steps": 1,
    "eval_strategy": "no",
    "save_strategy": "no",
}
MODEL = ("config.json", "model.safetensors", "schema.json", "tokenizer.json", "tokenizer_config.json")


def work(
    folder: Path,
    prepared: Prepared | None = None,
    *,
    metric: str = "eval/loss",
    goal: str = "minimize",
    patience: int = 0,
    **changes: Any,
) -> tuple[Result, DirectoryTrial]:
    trial = DirectoryTrial(folder)
    result = train(
        trial,
        prepared or hf_case.prepared(),
        hf_case.arguments(folder / "unused", patience=patience, **(SHORT | changes)),
        say=lambda _: None,
        metric_name=metric,
        goal=goal,
    )
    return result, trial


def test_a_checkpoint_is_a_model_that_from_pretrained_reads(tmp_path: Path) -> None:
    prepared = hf_case.prepared()
    result, _ = work(tmp_path, prepared)
    assert result.outcome is Outcome.FINISHED and result.steps == 12
    assert result.schema == prepared.schema.as_json()
    directory = tmp_path / "step-00000012"
    batch = hf_case.collate(hf_case.examples(5, seed=9))
    model = AutoModelForSequenceClassification.from_pretrained(directory)
    with torch.no_grad():
        assert torch.equal(model(**batch).logits, prepared.model.eval()(**batch).logits)
    assert AutoTokenizer.from_pretrained(directory).vocab_size == hf_case.VOCABULARY
    assert Schema.load(directory) == prepared.schema
    names = {path.name for path in directory.iterdir()}
    model_files = {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "schema.json",
    }
    assert names == model_files | set(TRAINING_FILES) | {"rows.json"}
    assert len({stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}) == 1


def test_rows_have_the_names_of_both_paths(tmp_path: Path) -> None:
    _, trial = work(tmp_path, logging_steps=6)
    train_row = {"step", "train/loss", "train/grad_norm", "train/learning_rate", "train/epoch"}
    assert [set(row) for row in trial.rows] == [
        train_row,
        train_row,
        {"step", "eval/loss", "eval/accuracy", "train/epoch"},
    ]
    assert [row["step"] for row in trial.rows] == [6, 12, 12]


def test_a_finished_trial_is_not_trained_one_step_further(tmp_path: Path) -> None:
    _, first = work(tmp_path, max_steps=7)
    prepared = hf_case.prepared()
    result, second = work(tmp_path, prepared, max_steps=7)
    assert (result.outcome, result.steps) == (Outcome.FINISHED, 7)
    assert second.rows == first.rows and not second.saves


def test_a_loss_that_is_no_number_ends_the_training_and_saves_nothing(tmp_path: Path) -> None:
    result, trial = work(tmp_path, learning_rate=1e30, max_grad_norm=0.0, logging_steps=1)
    assert result.outcome is Outcome.DIVERGED and not trial.saves
    assert all(math.isfinite(value) for row in trial.rows for value in row.values())


def test_an_evaluation_without_a_finite_loss_is_not_logged(tmp_path: Path) -> None:
    prepared = hf_case.prepared()

    def collate(rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        if not prepared.model.training:
            torch.nn.init.constant_(prepared.model.classifier.weight, math.inf)
        return hf_case.collate(rows)

    result, trial = work(tmp_path, replace(prepared, collate=collate))
    assert result.outcome is Outcome.DIVERGED and not trial.saves
    assert not any("eval/loss" in row for row in trial.rows)


def test_patience_ends_the_training_early(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"learning_rate": 0.0, "eval_strategy": "steps", "eval_steps": 3, "patience": 2}
    result, trial = work(tmp_path, **changes)
    assert (result.outcome, result.steps) == (Outcome.EARLY_STOPPED, 9)
    assert [(step, best) for step, best, _ in trial.saves] == [(3, True), (9, False)]
    again, second = work(tmp_path, **changes)
    assert (again.outcome, again.steps) == (Outcome.EARLY_STOPPED, 9)
    assert second.rows == trial.rows


def test_the_metric_that_was_asked_for_decides_which_is_best(tmp_path: Path) -> None:
    values = iter([0.5, 0.25, 0.75])
    prepared = hf_case.prepared(more_metrics=lambda model, loss: {"f1": next(values)})
    _, trial = work(
        tmp_path, prepared, metric="eval/f1", goal="maximize", eval_strategy="steps", eval_steps=4
    )
    assert trial.saves == [(4, True, 0.5), (12, True, 0.75)]
    assert [row["eval/f1"] for row in trial.rows if "eval/f1" in row] == [0.5, 0.25, 0.75]


def test_a_metric_that_no_evaluation_gives_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no evaluation gives eval/f1; it gives eval/loss, eval/accuracy"):
        work(tmp_path, metric="eval/f1")
    assert not list(tmp_path.glob("step-*"))


def test_a_checkpoint_of_other_examples_is_not_continued(tmp_path: Path) -> None:
    work(tmp_path, max_steps=4)
    with pytest.raises(CheckpointError, match="was trained on other examples; was the data changed"):
        work(tmp_path, hf_case.prepared(count=46), max_steps=8)


def test_a_checkpoint_of_another_model_is_not_continued(tmp_path: Path) -> None:
    work(tmp_path, max_steps=4)
    prepared = hf_case.prepared()
    prepared.model.classifier = torch.nn.Linear(16, 3)
    with pytest.raises(CheckpointError, match=r"classifier.weight is \(2, 16\) torch.float32, not \(3, 16\)"):
        work(tmp_path, prepared, max_steps=8)


def test_a_training_without_any_whole_batch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="drops the only batch: 45 training examples are no 64"):
        work(tmp_path, dataloader_drop_last=True, per_device_train_batch_size=64)
    assert not list(tmp_path.iterdir())
    result, _ = work(tmp_path, dataloader_drop_last=True, per_device_train_batch_size=45)
    assert result.steps == 1
