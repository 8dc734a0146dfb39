"""A tiny Hugging Face training that needs no data set and no hub, for tests of the bridge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    EvalPrediction,
    PreTrainedTokenizerFast,
    TrainingArguments,
)

from transformer_e2e.compute.generators import seed_all
from transformer_e2e.config.hf_settings import DataArguments, ModelArguments, RunArguments
from transformer_e2e.data.schema import Schema
from transformer_e2e.hf.arguments import Arguments
from transformer_e2e.hf.prepared import Prepared

VOCABULARY = 40
# Every part of the state takes part: dropout, accumulation, a short last batch, evaluations and checkpoints
# out of step with each other and with the epochs, a schedule that has not ended.
TINY: dict[str, Any] = {
    "per_device_train_batch_size": 4,
    "per_device_eval_batch_size": 8,
    "gradient_accumulation_steps": 2,
    "num_train_epochs": 3,
    "learning_rate": 1e-2,
    "weight_decay": 0.1,
    "warmup_steps": 3,
    "logging_steps": 2,
    "eval_strategy": "steps",
    "eval_steps": 5,
    "save_strategy": "steps",
    "save_steps": 3,
    "use_cpu": True,
    "report_to": [],
    "seed": 5,
}


def arguments(folder: Path, *, patience: int = 0, **changes: Any) -> Arguments:
    training = TrainingArguments(output_dir=str(folder), **(TINY | changes))
    return Arguments(
        ModelArguments(),
        DataArguments(task="classification"),
        RunArguments(early_stopping_patience=patience),
        training,
    )


def examples(count: int, seed: int) -> list[dict[str, Any]]:
    """Sequences whose class is the parity of their first token."""
    draw = np.random.default_rng(seed)
    rows = [draw.integers(4, VOCABULARY, draw.integers(4, 9)).tolist() for _ in range(count)]
    return [{"input_ids": row, "labels": row[0] % 2} for row in rows]


def collate(rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
    length = max(len(row["input_ids"]) for row in rows)
    ids = [row["input_ids"] + [0] * (length - len(row["input_ids"])) for row in rows]
    batch = {"input_ids": torch.tensor(ids), "labels": torch.tensor([row["labels"] for row in rows])}
    return batch | {"attention_mask": (batch["input_ids"] != 0).long()}


def accuracy(prediction: EvalPrediction) -> dict[str, float]:
    torch.rand(3), np.random.rand()  # an evaluation that draws must not change the training
    return {"accuracy": float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())}


def tokenizer() -> PreTrainedTokenizerFast:
    words = {"[PAD]": 0, "[UNK]": 1, **{f"w{n}": n for n in range(2, VOCABULARY)}}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel(words, unk_token="[UNK]")), pad_token="[PAD]", unk_token="[UNK]"
    )


def prepared(
    seed: int = 5, count: int = 45, more_metrics: Callable[[Any, float], dict[str, float]] | None = None
) -> Prepared:
    seed_all(seed)
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
    )
    return Prepared(
        model=BertForSequenceClassification(config),
        tokenizer=tokenizer(),
        train=examples(count, 1),
        evaluation=examples(19, 2),
        collate=collate,
        schema=Schema(task="classification", data_name="toy", max_length=16, labels=("even", "odd")),
        metrics=accuracy,
        more_metrics=more_metrics,
    )
