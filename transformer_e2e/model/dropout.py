"""Dropout from 16 random bits a number, which on a CPU costs a sixth of one Bernoulli draw a number.

Source: Srivastava et al. 2014, https://jmlr.org/papers/v15/srivastava14a.html, with the survivors scaled up.
"""

from __future__ import annotations

import torch
from torch import Tensor

LOWEST = -(1 << 63)
LEVELS = 1 << 16  # the drop probability is rounded to a multiple of 1 / LEVELS


def dropout(x: Tensor, probability: float, training: bool) -> Tensor:
    """x with each number set to 0 with `probability`, the others divided by 1 - probability.

    Draws from torch's generator of x's device, and nothing when not `training` or at probability 0.
    """
    dropped = min(round(probability * LEVELS), LEVELS - 1)
    if not training or dropped == 0:
        return x
    level = random_words(-(-x.numel() // 4), x.device).view(torch.int16)[: x.numel()].view(x.shape)
    kept = level >= dropped - LEVELS // 2
    return x * (kept.to(x.dtype) * (LEVELS / (LEVELS - dropped)))


def random_words(count: int, device: torch.device) -> Tensor:
    """64 random bits each, as int64 numbers."""
    if torch.compiler.is_compiling():  # it knows no random_; these are the same bits
        return torch.randint(LOWEST, -(LOWEST + 1), (count,), dtype=torch.int64, device=device) ^ LOWEST
    return torch.empty(count, dtype=torch.int64, device=device).random_(LOWEST, None)
