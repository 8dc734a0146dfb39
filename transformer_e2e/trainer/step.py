"""One optimizer step: forward and backward over each micro-batch, clip, update."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn.utils import clip_grads_with_norm_

from transformer_e2e.compute import generators
from transformer_e2e.compute.device import products_in
from transformer_e2e.compute.world import World
from transformer_e2e.config.settings import TrainSettings
from transformer_e2e.data.permutation import mixed
from transformer_e2e.trainer.optimizer import set_learning_rate
from transformer_e2e.trainer.schedule import learning_rate_at
from transformer_e2e.trainer.share import share
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

    Each rank computes its share of the sequences; the gradient is that of the mean loss over all tokens
    of all ranks. None if `should_stop` between two micro-batches, on any rank: weights, counters and
    generators are then those before the step. If loss or gradient is not finite, the update is left out
    and the step is not counted.
    """
    before = generators.capture() if settings.gradient_accumulation > 1 else None
    world = state.world
    if not world.is_main:
        # Masks of its own; rank 0 draws on from the generators that are in the checkpoint.
        torch.manual_seed(mixed(settings.seed, state.step, world.rank))
    state.model.train()
    state.optimizer.zero_grad(set_to_none=True)
    nats, tokens, stopped = torch.zeros((), device=state.device), 0, False
    for piece in share(world.rank, world.size, settings):
        stopped = before is not None and tokens > 0 and should_stop()
        if stopped:
            break
        whole_BT1 = batches(state.step * settings.gradient_accumulation + piece.micro_batch)
        tokens = whole_BT1[:, 1:].size * settings.gradient_accumulation  # of the step, over all ranks
        ids_BT1 = to_device(whole_BT1[piece.first : piece.end], state.device)
        with products_in(settings.precision, state.device):
            loss = state.loss(ids_BT1[:, :-1], ids_BT1[:, 1:])
        (loss / tokens).backward()
        nats = nats + loss.detach()
    if before is not None and world.agree(stopped):
        state.optimizer.zero_grad(set_to_none=True)
        generators.restore(before)
        return None
    sum_over_ranks(world, [*gradients(state.model), nats])
    return update(state, settings, nats / tokens, tokens)


def gradients(model: nn.Module) -> list[torch.Tensor]:
    return [parameter.grad for parameter in model.parameters() if parameter.grad is not None]


def sum_over_ranks(world: World, tensors: list[torch.Tensor]) -> None:
    """Replace each tensor by its sum over the ranks, in one message: many small ones would cost more."""
    if world.size == 1:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    world.sum_(flat)
    for tensor, summed in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(summed.view_as(tensor))


def update(state: TrainState, settings: TrainSettings, mean_loss: torch.Tensor, tokens: int) -> Step:
    """Clip the gradients and apply them, unless something is not finite."""
    norm = total_norm(gradients(state.model))
    loss, grad_norm = torch.stack([mean_loss, norm]).tolist()  # the step's one wait for the device
    step = Step(loss, grad_norm, learning_rate_at(state.step, settings), tokens)
    if step.finite:
        if 0 < settings.max_grad_norm < step.grad_norm:  # a product with 1 costs a pass over all gradients
            clip_grads_with_norm_(state.model.parameters(), settings.max_grad_norm, norm)
        set_learning_rate(state.optimizer, step.learning_rate)
        state.optimizer.step()
        state.step += 1
        state.tokens_seen += tokens
    return step


def total_norm(tensors: list[torch.Tensor]) -> torch.Tensor:
    """The 2-norm of all numbers of all tensors; a scalar.

    By rows, which a CPU's threads share; over a whole tensor torch's norm takes one thread (5.3 M numbers:
    1.8 ms instead of 3.0 on two).
    """
    norms = [torch.linalg.vector_norm(tensor, dim=-1).flatten() for tensor in tensors]
    return torch.linalg.vector_norm(torch.cat(norms))


def to_device(ids: np.ndarray, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(ids, dtype=np.int64)).to(device)
