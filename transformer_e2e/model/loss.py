"""Cross-entropy of tied output logits, without ever holding all logits.

The logits of a batch are the largest thing in training a small model (2,048 tokens x 8,192 ids: 67 MB in
fp32, several times over). They are computed a few rows at a time, together with their gradient; products
are in the autocast type, sums and exponentials in fp32. Measured on one core, forward and backward: 90 ms
against 107 ms of F.linear and F.cross_entropy (bf16 with AMX, the sizes above).
Shape letters: N = B * T rows, C rows of one chunk, D model_dim, V vocab_size.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from transformer_e2e.model.linear import turned

IGNORED = -100  # a target that is not counted
# Logits held at a time; a GPU wants few, large kernels. Three products of 2,048 rows in bf16 take a core with
# AMX 64 ms in chunks of 256 rows, 37 in chunks of 512 and no less in larger ones, which leave the cache.
CHUNK_ELEMENTS = {"cpu": 1 << 22}
CHUNK_ELEMENTS_ELSEWHERE = 1 << 27


def tied_cross_entropy(x_BTD: Tensor, weight_VD: Tensor, targets_BT: Tensor) -> Tensor:
    """Sum over counted targets of -log softmax(x @ weight.T)[target], in nats; a scalar in fp32.

    Can be differentiated once. Without gradients in sight it costs the forward pass alone.
    """
    x_ND, targets_N = x_BTD.flatten(0, 1), targets_BT.flatten()
    if not torch.is_grad_enabled():
        return token_nats(x_ND, weight_VD, targets_N).sum()
    nats: Tensor = TiedCrossEntropy.apply(x_ND, weight_VD, targets_N)
    return nats


@torch.no_grad()
def tied_token_losses(x_BTD: Tensor, weight_VD: Tensor, targets_BT: Tensor) -> Tensor:
    """nats_BT: the terms of `tied_cross_entropy`, 0 for ignored targets. Keeps no gradient."""
    return token_nats(x_BTD.flatten(0, 1), weight_VD, targets_BT.flatten()).view_as(targets_BT)


def token_nats(x_ND: Tensor, weight_VD: Tensor, targets_N: Tensor) -> Tensor:
    kind = product_type(x_ND)
    x_ND, weight_VD = x_ND.to(kind), weight_VD.to(kind)
    parts = []
    with torch.autocast(x_ND.device.type, enabled=False):
        for x_CD, targets_C in chunks(x_ND, targets_N, weight_VD.shape[0]):
            logits_CV = (x_CD @ weight_VD.T).float()
            parts.append(F.cross_entropy(logits_CV, targets_C, ignore_index=IGNORED, reduction="none"))
    return torch.cat(parts)


class TiedCrossEntropy(torch.autograd.Function):
    """With p = softmax(logits): d nats / d logits = p - one_hot(target), so the forward pass, which has
    p at hand, also computes both gradients; the backward pass only scales them."""

    @staticmethod
    def forward(ctx: Any, x_ND: Tensor, weight_VD: Tensor, targets_N: Tensor) -> Tensor:
        kind = product_type(x_ND)
        rows_ND, low_weight_VD = x_ND.to(kind), weight_VD.to(kind)
        weight_DV = low_weight_VD.T.contiguous()  # read along its rows: 9 ms of products instead of 14
        nats = torch.zeros((), device=x_ND.device)
        x_grads, missing = [], []
        weight_grad_DV = torch.zeros_like(weight_DV, dtype=torch.float32)
        with torch.autocast(x_ND.device.type, enabled=False):
            for x_CD, targets_C in chunks(rows_ND, targets_N, weight_VD.shape[0]):
                chunk_nats, x_grad_CD, product_DV, missing_C1 = chunk_gradients(
                    x_CD, low_weight_VD, weight_DV, targets_C
                )
                nats += chunk_nats
                weight_grad_DV += product_DV
                x_grads.append(x_grad_CD)
                missing.append(missing_C1)
        targets_N = targets_N.clamp(min=0)
        missing_N1 = torch.cat(missing)
        x_grad_ND = torch.cat(x_grads) - missing_N1 * low_weight_VD[targets_N]
        weight_grad_VD = weight_grad_DV.T.contiguous().index_add_(0, targets_N, rows_ND * -missing_N1)
        ctx.save_for_backward(x_grad_ND.to(x_ND.dtype), weight_grad_VD.to(weight_VD.dtype))
        return nats

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        x_grad_ND, weight_grad_VD = ctx.saved_tensors
        return x_grad_ND * grads[0], weight_grad_VD * grads[0], None


def chunk_gradients(
    x_CD: Tensor, weight_VD: Tensor, weight_DV: Tensor, targets_C: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of a few rows: summed nats; d nats / d x_CD and d nats / d weight_DV, both without the targets' own
    terms; and 1 - p(target), by which those terms are to be multiplied.

    exp(logits) is never divided by its row sum: the two products are scaled by 1 / sum instead, which
    are C x D numbers and not C x V. Leaving the target out keeps its small 1 - p exact in bf16.
    """
    counted_C1 = (targets_C != IGNORED).unsqueeze(1)
    index_C1 = targets_C.clamp(min=0).unsqueeze(1)
    logits_CV = x_CD @ weight_DV
    top_C1 = logits_CV.amax(1, keepdim=True).float()
    target_C1 = logits_CV.gather(1, index_C1).float() - top_C1
    others_CV, others_C1 = exponentials(logits_CV, top_C1, index_C1)
    sum_C1 = others_C1 + target_C1.exp()
    nats = ((sum_C1.log() - target_C1) * counted_C1).sum()
    scale_C1 = counted_C1 / sum_C1
    x_grad_CD = (others_CV @ weight_VD) * scale_C1
    weight_grad_DV = turned((x_CD * scale_C1).to(x_CD.dtype)) @ others_CV
    return nats, x_grad_CD, weight_grad_DV, others_C1 * scale_C1


def exponentials(logits_CV: Tensor, top_C1: Tensor, index_C1: Tensor) -> tuple[Tensor, Tensor]:
    """(exp(logits - top) but 0 at the index, in the type of the logits; its sum over each row in fp32)."""
    if torch.compiler.is_compiling():  # one pass, and no scatter, around which the compiler copies all
        column_V = torch.arange(logits_CV.shape[1], dtype=torch.int32, device=logits_CV.device)
        exp_CV = torch.where(column_V == index_C1.int(), 0.0, (logits_CV.float() - top_C1).exp())
        exp_CV = exp_CV.to(logits_CV.dtype)
        return exp_CV, exp_CV.float().sum(1, keepdim=True)
    exp_CV = logits_CV.float().sub_(top_C1).exp_().scatter_(1, index_C1, 0.0)
    return exp_CV.to(logits_CV.dtype), exp_CV.sum(1, keepdim=True)


def chunks(x_ND: Tensor, targets_N: Tensor, vocab_size: int) -> list[tuple[Tensor, Tensor]]:
    limit = CHUNK_ELEMENTS.get(x_ND.device.type, CHUNK_ELEMENTS_ELSEWHERE)
    rows = max(1, limit // vocab_size)
    return list(zip(x_ND.split(rows), targets_N.split(rows), strict=True))


def product_type(x: Tensor) -> torch.dtype:
    """What a matrix product of `x` would be computed in here."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
