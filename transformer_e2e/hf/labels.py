"""What a loss is the mean of: the labels of a batch; and that of spans, whatever a batch is padded to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

IGNORED = -100  # label of a position that does not count


def labels_in(inputs: Mapping[str, Any], *, shifted: bool) -> Tensor:
    """How many labels count, a scalar; examples where there are no `labels`, as for spans.

    `shifted`: the model predicts each position's successor, so the first one's label is not used.
    """
    labels = inputs.get("labels")
    if labels is None or labels.is_floating_point():
        first = next(iter(inputs.values())) if labels is None else labels
        return torch.tensor(len(first), device=first.device)
    return (labels[..., 1:] if shifted else labels).ne(IGNORED).sum()


def span_loss(outputs: Mapping[str, Any], inputs: Mapping[str, Any]) -> Tensor:
    """Mean cross-entropy of start and end over the examples, a scalar.

    Unlike the library's, over an example's own tokens alone: padding is as wide as the longest example of a
    batch, and would make the loss depend on the others in it.
    """
    padding = inputs["attention_mask"] == 0
    losses = [
        functional.cross_entropy(
            outputs[f"{side}_logits"].float().masked_fill(padding, -torch.inf), inputs[f"{side}_positions"]
        )
        for side in ("start", "end")
    ]
    return torch.stack(losses).mean()
