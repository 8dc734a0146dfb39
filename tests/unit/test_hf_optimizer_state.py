"""Optimizers and schedules of every kind come back to the bit; new hyperparameters win over saved ones."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adagrad, AdamW, Optimizer, RMSprop
from torch.optim.lr_scheduler import LRScheduler
from transformers import Adafactor, get_scheduler

from transformer_e2e.hf import optimizer_state
from transformer_e2e.hf.optimizer_state import OptimizerState

KINDS: dict[str, Any] = {
    "adamw": lambda p, lr: AdamW(p, lr=lr),
    "fused": lambda p, lr: AdamW(p, lr=lr, fused=True),
    "sgd": lambda p, lr: SGD(p, lr=lr, momentum=0.9),
    "rmsprop": lambda p, lr: RMSprop(p, lr=lr, centered=True),
    "adagrad": lambda p, lr: Adagrad(p, lr=lr),
    "adafactor": lambda p, lr: Adafactor(p, lr=lr, relative_step=False, scale_parameter=False),
}
SCHEDULES = ("linear", "cosine", "constant_with_warmup", "cosine_with_restarts", "inverse_sqrt")


class Training:
    def __init__(self, kind: str, schedule: str, rate: float = 1e-2) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))
        groups = [{"params": list(self.model[0].parameters())}, {"params": list(self.model[1].parameters())}]
        self.optimizer: Optimizer = KINDS[kind](groups, rate)
        self.scheduler: LRScheduler = get_scheduler(
            schedule, self.optimizer, num_warmup_steps=2, num_training_steps=20
        )
        self.given = optimizer_state.hyperparameters(self.optimizer)

    def steps(self, count: int) -> list[float]:
        rates = []
        for _ in range(count):
            self.model(torch.rand(3, 4)).square().sum().backward()
            self.optimizer.step()
            rates.append(self.scheduler.get_last_lr()[0])
            self.scheduler.step()
            self.optimizer.zero_grad()
        return rates

    def saved(self) -> OptimizerState:
        """After a way through JSON, as on disk."""
        state = optimizer_state.capture(self.model, self.optimizer, self.scheduler, self.given)
        plain = json.loads(json.dumps([state.plain, state.groups, state.given, state.schedule]))
        return OptimizerState({name: tensor.clone() for name, tensor in state.tensors.items()}, *plain)

    def restore(self, saved: OptimizerState) -> None:
        optimizer_state.restore(saved, self.model, self.optimizer, self.scheduler, self.given)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_restored_optimizer_goes_on_alike(kind: str, schedule: str) -> None:
    whole, half = Training(kind, schedule), Training(kind, schedule)
    whole.steps(5)
    saved, weights, drawn = whole.saved(), whole.model.state_dict(), torch.get_rng_state()
    half.model.load_state_dict({name: tensor.clone() for name, tensor in weights.items()})
    half.restore(saved)
    rates = whole.steps(5)
    torch.set_rng_state(drawn)
    assert half.steps(5) == rates
    for one, other in zip(whole.model.parameters(), half.model.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("schedule", ["linear", "constant"])
def test_a_new_learning_rate_wins_over_the_saved_one(schedule: str) -> None:
    old, new, right = (Training("adamw", schedule, rate) for rate in (1e-2, 1e-3, 1e-3))
    old.steps(5)
    right.steps(5)
    new.restore(old.saved())
    assert new.steps(5) == right.steps(5)
    assert new.optimizer.param_groups[0]["lr"] == right.optimizer.param_groups[0]["lr"]


def test_a_new_weight_decay_wins_and_the_rest_is_kept() -> None:
    old, new = Training("adamw", "linear"), Training("adamw", "linear")
    old.steps(5)
    for group in new.optimizer.param_groups:
        group["weight_decay"] = 0.5
    new.given = optimizer_state.hyperparameters(new.optimizer)
    new.restore(old.saved())
    for group, before in zip(new.optimizer.param_groups, old.optimizer.param_groups, strict=True):
        assert group["weight_decay"] == 0.5
        assert group["lr"] == before["lr"] and group["betas"] == before["betas"]


def test_groups_that_a_load_has_made_alike_become_what_they_were() -> None:
    """As DeepSpeed's ZeRO-3 leaves them when it loads its universal format."""
    old, new = Training("adamw", "linear"), Training("adamw", "linear")
    for training in (old, new):
        training.optimizer.param_groups[1]["weight_decay"] = 0.0
        training.given = optimizer_state.hyperparameters(training.optimizer)
    old.steps(5)
    saved = old.saved()
    new.optimizer.load_state_dict(old.optimizer.state_dict())
    for group in new.optimizer.param_groups:
        group["weight_decay"], group["lr"] = 0.5, 7.0
    optimizer_state.restore_hyperparameters(saved, new.optimizer, new.scheduler, new.given)
    assert optimizer_state.hyperparameters(new.optimizer) == optimizer_state.hyperparameters(old.optimizer)
    assert new.scheduler.state_dict() == old.scheduler.state_dict()
