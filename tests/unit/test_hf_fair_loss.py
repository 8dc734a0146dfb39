"""A step's loss and gradient do not depend on how its labels are spread over micro-batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, GPT2Config, GPT2LMHeadModel, PreTrainedModel

from tests import hf_case
from tests.unit.training_case import DirectoryTrial
from transformer_e2e.compute.generators import seed_all
from transformer_e2e.hf.labels import labels_in
from transformer_e2e.hf.training import train

SIZE: dict[str, Any] = {"vocab_size": hf_case.VOCABULARY}


def bert() -> PreTrainedModel:
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return BertForMaskedLM(BertConfig(**SIZE, **shape, **still))


def gpt2() -> PreTrainedModel:
    still = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    return GPT2LMHeadModel(GPT2Config(**SIZE, n_embd=16, n_layer=1, n_head=2, **still))


def some_labels(rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
    """Labels for the even tokens only: many in one batch, few in another, none in some."""
    batch = hf_case.collate(rows)
    ids = batch["input_ids"]
    labels = torch.where((ids % 2 == 0) & (ids > 0), ids, -100)
    labels[torch.tensor([row["labels"] for row in rows]) == 1] = -100
    return {**batch, "labels": labels}


@pytest.mark.parametrize("make", [bert, gpt2])
def test_micro_batches_make_no_difference(tmp_path: Path, make: Any) -> None:
    rows = []
    for batch, accumulation in ((8, 1), (4, 2), (1, 8)):
        seed_all(3)
        toy = replace(hf_case.prepared(count=40), model=make(), collate=some_labels, metrics=None)
        trial = DirectoryTrial(tmp_path / str(batch))
        changes = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulation}
        short = {"max_steps": 4, "logging_steps": 1, "save_strategy": "no", "eval_strategy": "no"}
        args = hf_case.arguments(tmp_path, **changes, **short)
        train(trial, toy, args, say=lambda _: None, metric_name="eval/loss", goal="minimize")
        assert toy.model.loss_type is not None  # the library warns at the first step otherwise
        rows.append(trial.rows)
    for other in rows[1:]:
        assert other == [pytest.approx(row, rel=1e-4) for row in rows[0]]


def test_what_counts_as_a_label() -> None:
    labels = torch.tensor([[5, -100, 7], [-100, -100, 3]])
    assert labels_in({"labels": labels}, shifted=False) == 3
    assert labels_in({"labels": labels}, shifted=True) == 2
    assert labels_in({"labels": torch.tensor([0.5, -100.0])}, shifted=False) == 2
    assert labels_in({"input_ids": labels, "start_positions": labels[:, 0]}, shifted=False) == 2
