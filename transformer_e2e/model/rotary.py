"""Rotary positions: queries and keys are turned by an angle that grows with the position.

Shape letters: B batch, T time, H heads, K head_dim, R = K / 2 rotated pairs. Channel i is paired with
channel i + R (not with its neighbour), the order in which Llama's weights are published.
Source: Su et al. 2021, section 3.2.2, https://arxiv.org/abs/2104.09864.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def rotary_tables(length: int, head_dim: int, theta: float) -> tuple[Tensor, Tensor]:
    """(cos_TR, sin_TR) in fp32 for positions 0 .. length - 1; pair r turns by theta^(-2r / head_dim)."""
    # The powers are fp32 as everywhere else: in fp64 the tables would differ from Llama's in the last bits.
    rates_R = 1.0 / theta ** (torch.arange(0, head_dim, 2, dtype=torch.int64).float() / head_dim)
    angles_TR = torch.outer(torch.arange(length).float(), rates_R)
    return angles_TR.cos(), angles_TR.sin()


class Rotate(torch.autograd.Function):
    """Turn each pair by its position's angle; the gradient is turned back by the same angle.

    Written out because it keeps nothing for the backward pass but the tables, and costs four passes
    over the data where the textbook form (two products, a negation, a concatenation) costs seven.
    """

    @staticmethod
    def forward(ctx: Any, x_BTHK: Tensor, cos_TR: Tensor, sin_TR: Tensor) -> Tensor:
        ctx.save_for_backward(cos_TR, sin_TR)
        return turned(x_BTHK, cos_TR, sin_TR)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        cos_TR, sin_TR = ctx.saved_tensors
        return turned(grads[0], cos_TR, -sin_TR), None, None


def turned(x_BTHK: Tensor, cos_TR: Tensor, sin_TR: Tensor) -> Tensor:
    cos_THR, sin_THR = (table.to(x_BTHK.dtype).unsqueeze(-2) for table in (cos_TR, sin_TR))
    first_BTHR, second_BTHR = x_BTHK.chunk(2, dim=-1)
    out_BTHK = torch.empty_like(x_BTHK, memory_format=torch.contiguous_format)
    out_first_BTHR, out_second_BTHR = out_BTHK.chunk(2, dim=-1)
    torch.mul(first_BTHR, cos_THR, out=out_first_BTHR).addcmul_(second_BTHR, sin_THR, value=-1)
    torch.mul(second_BTHR, cos_THR, out=out_second_BTHR).addcmul_(first_BTHR, sin_THR)
    return out_BTHK


def rotate(x_BTHK: Tensor, cos_TR: Tensor, sin_TR: Tensor) -> Tensor:
    """x with every pair of channels turned; row t of the tables belongs to x[:, t]. Lengths are kept."""
    if torch.compiler.is_compiling():
        return fused(x_BTHK, cos_TR, sin_TR)
    rotated: Tensor = Rotate.apply(x_BTHK, cos_TR, sin_TR)
    return rotated


def fused(x_BTHK: Tensor, cos_TR: Tensor, sin_TR: Tensor) -> Tensor:
    """The textbook form, which the compiler makes one pass of."""
    cos_THR, sin_THR = cos_TR.unsqueeze(-2), sin_TR.unsqueeze(-2)
    first_BTHR, second_BTHR = x_BTHK.float().chunk(2, dim=-1)
    turned_BTHK = torch.cat(
        (first_BTHR * cos_THR - second_BTHR * sin_THR, second_BTHR * cos_THR + first_BTHR * sin_THR), -1
    )
    return turned_BTHK.to(x_BTHK.dtype)
