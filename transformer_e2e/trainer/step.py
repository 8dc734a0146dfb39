"""One optimizer step: forward and backward over each micro-batch, clip, update."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from transformer_e2e.config.settings import TrainSettings
from transformer_e2e.trainer import generators
from transformer_e2e.trainer.device import products_in
from transformer_e2e.trainer.optimizer import set_learning_rate
from transformer_e2e.trainer.schedule import learning_rate_at
from transformer_e2e.trainer.state import TrainState

Batches = Callable[[int], np.ndarray]  # index of a micro-batch -> ids (batch_size, context_window + 1)


@dataclass(frozen=True)
class Step:
    """What one step measured."""

    loss: float  # mean over the step's tokens, before the update [nats/token]
    grad_norm: float  # before clipping
    learning_rate: float
    tokens: int  # targets trained on

    @property
    def finite(self) -> bool:
        return math.isfinite(self.loss) and math.isfinite(self.grad_norm)


def take_step(
    state: TrainState, batches: Batches, settings: TrainSettings, should_stop: Callable[[], bool]
) -> Step | None:
    """Advance `state` by one update over all micro-batches of its step.

    The gradient is that of the mean loss over all their tokens. None if `should_stop` between two
    micro-batches: weights, counters and generators are then those before the step. If loss or gradient
    is not finite, the update is left out and the step is not counted.
    """
    before = generators.capture() if settings.gradient_accumulation > 1 else None
    state.model.train()
    state.optimizer.zero_grad(set_to_none=True)
    nats, tokens = torch.zeros((), device=state.device), 0
    for index in range(settings.gradient_accumulation):
        if before and index and should_stop():
            state.optimizer.zero_grad(set_to_none=True)
            generators.restore(before)
            return None
        ids_BT1 = to_device(batches(state.step * settings.gradient_accumulation + index), state.device)
        with products_in(settings.precision, state.device):
            loss = state.model.loss(ids_BT1[:, :-1], ids_BT1[:, 1:])
        count = ids_BT1[:, 1:].numel()
        (loss / (count * settings.gradient_accumulation)).backward()
        nats, tokens = nats + loss.detach(), tokens + count
    return update(state, settings, nats / tokens, tokens)


def update(state: TrainState, settings: TrainSettings, mean_loss: torch.Tensor, tokens: int) -> Step:
    """Clip the gradients and apply them, unless something is not finite."""
    parameters = [parameter for parameter in state.model.parameters() if parameter.grad is not None]
    norm = get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
    loss, grad_norm = torch.stack([mean_loss, norm]).tolist()  # the step's one wait for the device
    step = Step(loss, grad_norm, learning_rate_at(state.step, settings), tokens)
    if step.finite:
        if settings.max_grad_norm:
            clip_grads_with_norm_(parameters, settings.max_grad_norm, norm)
        set_learning_rate(state.optimizer, step.learning_rate)
        state.optimizer.step()
        state.step += 1
        state.tokens_seen += tokens
    return step


def to_device(ids: np.ndarray, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(ids, dtype=np.int64)).to(device)
