"""One Transformer block: attention, then a gated MLP, each normalised before and added after.

Shape letters: B batch, T time, D model_dim, F mlp_dim.
Sources: RMSNorm, Zhang and Sennrich 2019, equation 4, https://arxiv.org/abs/1910.07467; SwiGLU, Shazeer
2020, equation 6, https://arxiv.org/abs/2002.05202; normalising before, Xiong et al. 2020,
https://arxiv.org/abs/2002.04745.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transformer_e2e.model.attention import CausalSelfAttention
from transformer_e2e.model.cache import KeyValueCache
from transformer_e2e.model.dropout import dropout
from transformer_e2e.model.linear import Linear
from transformer_e2e.model.shape import NORM_EPSILON, ModelShape


class GatedMLP(nn.Module):
    """down(silu(gate(x)) * up(x)); gate and up are one matrix, so that x is read once."""

    def __init__(self, model_dim: int, mlp_dim: int) -> None:
        super().__init__()
        self.gate_up = Linear(model_dim, 2 * mlp_dim)
        self.down = Linear(mlp_dim, model_dim)

    def forward(self, x_BTD: Tensor) -> Tensor:
        gate_BTF, up_BTF = self.gate_up(x_BTD).chunk(2, dim=-1)
        y_BTD: Tensor = self.down(gated(gate_BTF, up_BTF))
        return y_BTD


def gated(gate_BTF: Tensor, up_BTF: Tensor) -> Tensor:
    """silu(gate) * up. The compiler takes one exponential a number for the backward pass of the second
    form, and two for that of F.silu."""
    if torch.compiler.is_compiling():
        return gate_BTF * torch.sigmoid(gate_BTF) * up_BTF
    return F.silu(gate_BTF) * up_BTF


class Block(nn.Module):
    def __init__(self, shape: ModelShape, layer: int) -> None:
        super().__init__()
        self.dropout = shape.dropout
        self.attention_norm = nn.RMSNorm(shape.model_dim, eps=NORM_EPSILON)
        self.attention = CausalSelfAttention(shape, layer)
        self.mlp_norm = nn.RMSNorm(shape.model_dim, eps=NORM_EPSILON)
        self.mlp = GatedMLP(shape.model_dim, shape.mlp_dim)

    def forward(self, x_BTD: Tensor, cos_TR: Tensor, sin_TR: Tensor, cache: KeyValueCache | None) -> Tensor:
        mixed_BTD = self.attention(self.attention_norm(x_BTD), cos_TR, sin_TR, cache)
        x_BTD = x_BTD + dropout(mixed_BTD, self.dropout, self.training)
        return x_BTD + dropout(self.mlp(self.mlp_norm(x_BTD)), self.dropout, self.training)
