"""The optimizer that the settings name, and its state by parameter names."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from transformer_e2e.config.settings import TrainSettings
from transformer_e2e.trainer.muon import MUON_STATE, Muon

EPSILON = 1e-8
ADAMW_STATE = ("exp_avg", "exp_avg_sq")


def make_optimizer(model: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter 2019, algorithm 2, https://arxiv.org/abs/1711.05101) for everything, or
    Muon for the matrices inside blocks and AdamW for embedding and norm gains.

    Every matrix is decayed, the tied embedding too, for it is also the output matrix; norm gains are
    not. The learning rate is set before every step, from `schedule`.
    """
    if settings.optimizer == "adamw":
        return adamw(list(model.parameters()), settings)
    matrices = {
        name: parameter for name, parameter in model.named_parameters() if is_hidden_matrix(name, parameter)
    }
    others = [parameter for name, parameter in model.named_parameters() if name not in matrices]
    return Muon(
        matrices,
        adamw(others, settings),
        momentum=settings.momentum,
        decay=settings.weight_decay,
        kind=torch.bfloat16 if settings.precision == "bf16" else torch.float32,
    )


def is_hidden_matrix(name: str, parameter: nn.Parameter) -> bool:
    """A matrix that maps the residual stream; the embedding's rows are looked up one by one."""
    return parameter.dim() == 2 and not name.endswith("embedding.weight")


def adamw(parameters: list[nn.Parameter], settings: TrainSettings) -> torch.optim.AdamW:
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
    """`rate` for every group, times the group's own `scale` where it has one."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("scale", 1.0)


def named_state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The optimizer's tensors by `<what>/<parameter's name>`, e.g. `exp_avg/final_norm.weight`; empty
    before the first step."""
    return {
        f"{what}/{name}": tensor
        for name, parameter in model.named_parameters()
        for what, tensor in sorted(optimizer.state.get(parameter, {}).items())
    }


def fresh_state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """What `named_state` returns after one step, but for the values: the names, shapes and types."""
    by_muon = set(optimizer.param_groups[0]["params"]) if isinstance(optimizer, Muon) else set()
    blank: dict[str, torch.Tensor] = {}
    for name, parameter in model.named_parameters():
        kinds = (MUON_STATE,) if parameter in by_muon else ADAMW_STATE
        blank |= {f"{what}/{name}": torch.empty_like(parameter, device="meta") for what in kinds}
        if parameter not in by_muon:
            blank[f"step/{name}"] = torch.empty((), device="meta")
    return blank


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
