"""All that a training run changes, and so all that a checkpoint must hold besides the generators."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch

from transformer_e2e.compute.generators import seed_all
from transformer_e2e.compute.world import World
from transformer_e2e.config.settings import TrainSettings
from transformer_e2e.model.decoder import Decoder
from transformer_e2e.model.shape import ModelShape
from transformer_e2e.trainer.compiled import Loss, compiled_loss
from transformer_e2e.trainer.optimizer import make_optimizer


@dataclass
class TrainState:
    """One trial between two steps. Changed by the training loop and by `read_state` alone."""

    model: Decoder
    optimizer: torch.optim.Optimizer
    loss: Loss  # of the model: the method itself or its compiled form
    step: int = 0  # optimizer steps taken; also the position in the data
    best_loss: float = math.inf  # lowest evaluation loss so far [nats/token]
    evals_since_best: int = 0
    tokens_seen: int = 0  # target tokens trained on
    evaluated_step: int = 0  # the last step whose evaluation is complete (step 0 has none)
    unlogged: dict[str, float] = field(default_factory=dict)  # of this step, waiting for its evaluation
    world: World = field(default_factory=World.alone)  # who trains it; no part of a checkpoint

    @property
    def device(self) -> torch.device:
        return self.model.embedding.weight.device

    def observe(self, loss: float) -> bool:
        """Note a complete evaluation of this step; say whether it is the best so far."""
        improved = loss < self.best_loss
        self.best_loss = min(self.best_loss, loss)
        self.evals_since_best = 0 if improved else self.evals_since_best + 1
        self.evaluated_step = self.step
        return improved


def new_state(
    shape: ModelShape, settings: TrainSettings, device: torch.device, world: World | None = None
) -> TrainState:
    """A trial at step 0, trained by `world` (None: this process alone).

    Seeds every generator with settings.seed, then draws the weights.
    """
    seed_all(settings.seed)
    model = Decoder(shape).to(device)
    loss = compiled_loss(model) if settings.compile else model.loss
    return TrainState(model, make_optimizer(model, settings), loss, world=world or World.alone())
