"""Examples of unequal length as one batch of tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

Batch = dict[str, torch.Tensor]


def pad(
    examples: Sequence[Mapping[str, Any]],
    fills: Mapping[str, int],
    *,
    length: int | None = None,
    left: bool = False,
) -> Batch:
    """int64 tensors: (batch, `length`) for the lists named in `fills`, (batch,) for the single numbers.

    `length` None: that of the longest example. `fills` says what stands in the places that an example does
    not have, at its end, or with `left` before its start. attention_mask (1: a real token) is added.
    """
    sizes = [len(example["input_ids"]) for example in examples]
    width = max(sizes) if length is None else length
    batch = {}
    for name, first in examples[0].items():
        if name in fills:
            rows = [_padded(example[name], width, fills[name], left) for example in examples]
            batch[name] = torch.tensor(rows, dtype=torch.long)
        elif isinstance(first, int):
            batch[name] = torch.tensor([example[name] for example in examples], dtype=torch.long)
    batch["attention_mask"] = torch.tensor([_padded([1] * size, width, 0, left) for size in sizes])
    return batch


def inputs_of(batch: Mapping[str, Any], device: Any) -> dict[str, Any]:
    """The tensors of a batch on the model's device."""
    return {name: values.to(device) for name, values in batch.items()}


def _padded(values: Sequence[int], width: int, fill: int, left: bool) -> list[int]:
    missing = [fill] * (width - len(values))
    return [*missing, *values] if left else [*values, *missing]
