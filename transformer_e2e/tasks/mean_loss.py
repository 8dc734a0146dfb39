"""The loss of a model over examples, as evaluations of training take it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from transformer_e2e.hf.prepared import Examples
from transformer_e2e.tasks.padding import inputs_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Collate = Callable[[Sequence[Mapping[str, Any]]], Mapping[str, Any]]


def mean_loss(model: PreTrainedModel, examples: Examples, collate: Collate, batch_size: int) -> float:
    """The mean over the labels of a batch, and then over the examples. The model keeps its mode."""
    total, training = 0.0, model.training
    model.eval()
    with torch.inference_mode():
        for first in range(0, len(examples), batch_size):
            chosen = range(first, min(first + batch_size, len(examples)))
            batch = collate([examples[index] for index in chosen])
            total += float(model(**inputs_of(batch, model.device)).loss) * len(chosen)
    model.train(training)
    return total / len(examples)
