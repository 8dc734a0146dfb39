"""Causal multi-head self-attention with rotary positions.

Shape letters: B batch, T time, S positions attended to (cached ones included), D model_dim, H heads,
K head_dim = D / H, R = K / 2.
Source: Vaswani et al. 2017, section 3.2.2 and equation 1, https://arxiv.org/abs/1706.03762.
Departures from the paper: no biases; queries and keys are rotated, and normalised before that where the shape
says so; other normalisation and dropout are the caller's (dropout on attention weights would rule out the
fused kernel, and cost 3x the time).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from transformer_e2e.model.attend import attend
from transformer_e2e.model.cache import KeyValueCache
from transformer_e2e.model.linear import Linear
from transformer_e2e.model.qk_norm import QueryKeyNorm
from transformer_e2e.model.rotary import rotate
from transformer_e2e.model.shape import NORM_EPSILON, ModelShape


class CausalSelfAttention(nn.Module):
    def __init__(self, shape: ModelShape, layer: int) -> None:
        super().__init__()
        self.num_heads = shape.num_heads
        self.layer = layer  # which part of a cache is this block's
        self.qkv = Linear(shape.model_dim, 3 * shape.model_dim)
        self.out = Linear(shape.model_dim, shape.model_dim)
        self.qk_norm = QueryKeyNorm(shape.head_dim, NORM_EPSILON) if shape.qk_norm else None

    def forward(self, x_BTD: Tensor, cos_TR: Tensor, sin_TR: Tensor, cache: KeyValueCache | None) -> Tensor:
        """Mix each position with those before it. Returns y_BTD; y[:, t] ignores x[:, t+1:]."""
        head_dim = x_BTD.shape[-1] // self.num_heads
        qkv_BTHK = self.qkv(x_BTD).unflatten(-1, (3 * self.num_heads, head_dim))
        qk_BTHK, v_BTHK = qkv_BTHK.split([2 * self.num_heads, self.num_heads], dim=2)
        if self.qk_norm is not None:
            qk_BTHK = self.qk_norm(qk_BTHK)
        q_BHTK, k_BHTK = rotate(qk_BTHK, cos_TR, sin_TR).transpose(1, 2).chunk(2, dim=1)
        v_BHTK = v_BTHK.transpose(1, 2)
        if cache is None:
            y_BHTK = attend(q_BHTK, k_BHTK, v_BHTK)
        else:
            k_BHSK, v_BHSK, mask = cache.put(self.layer, k_BHTK, v_BHTK)
            y_BHTK = F.scaled_dot_product_attention(q_BHTK, k_BHSK, v_BHSK, attn_mask=mask)
        return self.out(y_BHTK.transpose(1, 2).flatten(-2))
