"""One rank that evaluates some tiny models, for tests: `torchrun -m tests.hf_evaluation_ranks`.

Rank 0 prints the metrics as JSON: by kind of model, then by number of examples.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig, BertForMaskedLM, BertForQuestionAnswering, EvalPrediction

from tests import hf_case
from tests.unit.training_case import DirectoryTrial
from transformer_e2e.compute.generators import seed_all
from transformer_e2e.compute.place import place
from transformer_e2e.hf.loop_arguments import loop_arguments
from transformer_e2e.hf.prepared import Prepared
from transformer_e2e.hf.trial_trainer import TrialTrainer
from transformer_e2e.launch.ending import end_with

COUNTS = (1, 9, 16, 19, 21)  # of examples; a batch of all processes together has 8
SHAPE = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
CONFIG = BertConfig(vocab_size=hf_case.VOCABULARY, max_position_embeddings=16, **SHAPE)


def classes() -> Prepared:
    def metrics(prediction: EvalPrediction) -> dict[str, float]:
        return {"examples": len(prediction.label_ids), **hf_case.accuracy(prediction)}

    return replace(hf_case.prepared(), metrics=metrics)


def masked() -> Prepared:
    """Between no labels and many in an example."""

    def collate(rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        batch = hf_case.collate(rows)
        ids, odd = batch["input_ids"], batch["labels"][:, None] == 1
        return {**batch, "labels": torch.where((ids > 0) & ~odd, ids, -100)}

    toy = hf_case.prepared()
    return replace(toy, model=BertForMaskedLM(CONFIG), collate=collate, metrics=None)


def spans() -> Prepared:
    """Predictions are a tuple, as wide as the longest example of a batch; labels are two."""

    def collate(rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        batch = hf_case.collate(rows)
        first = batch.pop("labels")
        return {**batch, "start_positions": first, "end_positions": first + 1}

    def metrics(prediction: EvalPrediction) -> dict[str, float]:
        (start, end), (first, last) = prediction.predictions, prediction.label_ids
        widths = [len(row["input_ids"]) for row in hf_case.examples(len(start), 2)]  # padding may score best
        found = {"examples": float(len(start))}
        for name, scores, truth in (("start", start, first), ("end", end, last)):
            best = [row[:width].argmax() for row, width in zip(scores, widths, strict=True)]
            found[name] = float((best == truth).mean())
        return found

    return replace(
        hf_case.prepared(), model=BertForQuestionAnswering(CONFIG), collate=collate, metrics=metrics
    )


def evaluate(folder: Path, make: Any, count: int) -> dict[str, float]:
    seed_all(3)
    prepared = replace(make(), evaluation=hf_case.examples(count, 2))
    args = hf_case.arguments(folder, per_device_eval_batch_size=8 // place().size).training
    trainer = TrialTrainer(
        DirectoryTrial(folder),
        prepared,
        loop_arguments(args, "eval/loss", True),
        metric_name="eval/loss",
        minimize=True,
        patience=0,
        on_progress=lambda _: None,
    )
    scores = trainer.evaluate()
    return {name: value for name, value in scores.items() if "second" not in name and "time" not in name}


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        found = {
            make.__name__: {count: evaluate(Path(folder), make, count) for count in COUNTS}
            for make in (classes, masked, spans)
        }
    if place().is_main:
        print(json.dumps(found))
    return 0


if __name__ == "__main__":
    end_with(main)
