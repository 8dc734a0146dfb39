"""A masked-language-model training that is killed anywhere sees the masks that it would have seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainingArguments

from tests.hf_case import TINY
from tests.unit.test_tasks_language import given, sentences
from tests.unit.training_case import DirectoryTrial, Killed, scramble_generators
from transformer_e2e.compute.certificate import digest_tensors
from transformer_e2e.compute.generators import seed_all
from transformer_e2e.hf.training import train
from transformer_e2e.tasks import mlm

EPOCHS = 3


def attempt(folder: Path, trial: DirectoryTrial, **changes: Any) -> Any:
    """One process's work: what it leaves. Raises Killed."""
    training = TrainingArguments(
        str(trial.directory / "unused"), **(TINY | {"num_train_epochs": EPOCHS} | changes)
    )
    arguments = replace(given(folder, max_train_samples=45), training=training)
    seed_all(arguments.seed)
    prepared = mlm.open_task(arguments, lambda _: None)()
    scramble_generators()
    result = train(trial, prepared, arguments, say=lambda _: None, metric_name=mlm.METRIC, goal=mlm.GOAL)
    assert int(prepared.train._epoch) == EPOCHS - 1
    return result.outcome, trial.rows, digest_tensors(prepared.model.state_dict()), prepared


@pytest.mark.parametrize("changes", [{}, {"dataloader_num_workers": 1}], ids=["alone", "worker"])
def test_kills_leave_no_trace_of_masks(tmp_path: Path, changes: dict[str, Any]) -> None:
    (tmp_path / "train.txt").write_text("".join(sentences(1, 100)))
    (tmp_path / "held.txt").write_text("".join(sentences(2, 40)))
    *whole, prepared = attempt(tmp_path, DirectoryTrial(tmp_path / "whole"), **changes)
    for kill in (2, 5, 9, 14):
        with pytest.raises(Killed):
            attempt(tmp_path, DirectoryTrial(tmp_path / "killed", kill_at=kill), **changes)
    *killed, _ = attempt(tmp_path, DirectoryTrial(tmp_path / "killed"), **changes)
    assert killed == whole
    last = [row for row in whole[1] if "eval/loss" in row][-1]
    rows = [{"text": line} for line in sentences(2, 40)]
    found = mlm.score(prepared, rows, batch_size=8, say=lambda _: None)
    assert found == pytest.approx({name: last[f"eval/{name}"] for name in found}, rel=1e-6)
