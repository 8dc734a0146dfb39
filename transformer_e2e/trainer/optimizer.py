"""AdamW with weight decay on matrices alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from transformer_e2e.config.settings import TrainSettings

EPSILON = 1e-8


def make_optimizer(model: nn.Module, settings: TrainSettings) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019, algorithm 2, https://arxiv.org/abs/1711.05101).

    Every matrix is decayed, the tied embedding too, for it is also the output matrix; norm gains are
    not. The learning rate is set before every step, from `schedule`.
    """
    parameters = list(model.parameters())
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups,
        lr=settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        eps=EPSILON,
        fused=True,
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def named_state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The optimizer's tensors by `<what>/<parameter's name>`, e.g. `exp_avg/final_norm.weight`; empty
    before the first step."""
    return {
        f"{what}/{name}": tensor
        for name, parameter in model.named_parameters()
        for what, tensor in sorted(optimizer.state.get(parameter, {}).items())
    }


def fresh_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """What `named_state` returns after one step, but for the values: the names, shapes and types."""
    blank = {
        f"{what}/{name}": torch.empty_like(parameter, device="meta")
        for name, parameter in model.named_parameters()
        for what in ("exp_avg", "exp_avg_sq")
    }
    steps = {f"step/{name}": torch.empty((), device="meta") for name, _ in model.named_parameters()}
    return blank | steps


def set_named_state(
    model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]
) -> None:
    """Replace the optimizer's state by what `named_state` returned, on each parameter's device."""
    optimizer.state.clear()
    parameters = dict(model.named_parameters())
    for key, tensor in tensors.items():
        what, name = key.split("/", 1)
        parameter = parameters[name]
        optimizer.state[parameter][what] = tensor.detach().clone().to(parameter.device)
