"""The precision that a device can compute in, instead of the one that it cannot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from transformer_e2e.compute.device import multiplies_bf16

PRECISIONS = ("fp16", "bf16", "fp16_full_eval", "bf16_full_eval")


def usable_precision(values: Mapping[str, Any], device: torch.device) -> tuple[dict[str, bool], list[str]]:
    """fp16 and bf16 as this device can do them, and notes on what was replaced.

    fp16 needs CUDA: without it, it becomes bf16 where the processor has instructions for that, else fp32.
    """
    wanted = {name: bool(values[name]) for name in PRECISIONS}
    if device.type == "cuda" or not (wanted["fp16"] or wanted["fp16_full_eval"]):
        return wanted, []
    bf16 = device.type == "cpu" and multiplies_bf16(device)
    found = {
        "fp16": False,
        "bf16": wanted["bf16"] or (wanted["fp16"] and bf16),
        "fp16_full_eval": False,
        "bf16_full_eval": wanted["bf16_full_eval"] or (wanted["fp16_full_eval"] and bf16),
    }
    return found, [f"fp16 needs CUDA; on this {device.type} it is {'bf16' if bf16 else 'fp32'} instead"]
