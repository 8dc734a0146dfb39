"""An evaluation is a function of the examples: not of batches, nor of the order in which others train."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import EvalPrediction

from tests import hf_case
from tests.unit.test_hf_fair_loss import bert, gpt2, some_labels
from tests.unit.training_case import DirectoryTrial
from transformer_e2e.compute.generators import seed_all
from transformer_e2e.hf.training import train
from transformer_e2e.tasks.passes import mean_loss


def evaluated(folder: Path, toy: Any, **changes: Any) -> dict[str, float]:
    """The first evaluation, of the model as it was made."""
    trial = DirectoryTrial(folder)
    how = {"max_steps": 1, "eval_steps": 1, "save_strategy": "no", "learning_rate": 0.0}
    train(
        trial,
        toy,
        hf_case.arguments(folder, **(how | changes)),
        say=lambda _: None,
        metric_name="eval/loss",
        goal="minimize",
    )
    (row,) = [row for row in trial.rows if "eval/loss" in row]
    return {name: value for name, value in row.items() if name.startswith("eval/")}


@pytest.mark.parametrize(("make", "shifted"), [(bert, False), (gpt2, True)])
def test_every_label_counts_alike_and_as_evaluate_counts_it(tmp_path: Path, make: Any, shifted: bool) -> None:
    found = []
    for batch in (19, 8, 3):
        seed_all(3)
        toy = replace(hf_case.prepared(), model=make(), collate=some_labels, metrics=None)
        found.append(evaluated(tmp_path / str(batch), toy, per_device_eval_batch_size=batch)["eval/loss"])
        found.append(mean_loss(toy.model, toy.evaluation, toy.collate, batch, shifted=shifted))
    assert found == [pytest.approx(found[0], rel=1e-6)] * len(found)


@pytest.mark.parametrize(
    "changes", [{"train_sampling_strategy": "group_by_length"}, {"dataloader_drop_last": True}]
)
def test_how_training_takes_its_examples_is_nothing_to_an_evaluation(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    truth = torch.tensor([row["labels"] for row in hf_case.examples(19, 2)])

    def in_order(prediction: EvalPrediction) -> dict[str, float]:
        return {"in_order": float(torch.equal(torch.from_numpy(prediction.label_ids), truth))}

    toy = replace(hf_case.prepared(), metrics=in_order)
    assert evaluated(tmp_path, toy, **changes)["eval/in_order"] == 1
