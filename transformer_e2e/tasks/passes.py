"""A model's passes over examples in which it does not learn, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from transformer_e2e.hf.labels import labels_in
from transformer_e2e.hf.prepared import Collate, Examples
from transformer_e2e.tasks.padding import inputs_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def mean_loss(
    model: PreTrainedModel, examples: Examples, collate: Collate, batch_size: int, *, shifted: bool
) -> float:
    """As evaluations of training take it: the mean over all labels, whatever the batches. `shifted`: see
    `labels_in`."""
    total, labels = 0.0, 0
    with evaluating(model):
        for chosen in batches(len(examples), batch_size):
            batch = collate([examples[index] for index in chosen])
            if counted := int(labels_in(batch, shifted=shifted)):
                total += float(model(**inputs_of(batch, model.device)).loss) * counted
                labels += counted
    return total / max(labels, 1)


@contextmanager
def evaluating(model: PreTrainedModel) -> Iterator[None]:
    """Without dropout and gradients; the model gets its mode back."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)


def batches(count: int, size: int) -> Iterator[range]:
    """The numbers from 0 to `count` - 1, `size` at a time."""
    for first in range(0, count, size):
        yield range(first, min(first + size, count))
