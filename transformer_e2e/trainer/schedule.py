"""The learning rate as a pure function of the step, so that a resumed trial needs no scheduler state."""

from __future__ import annotations

import math

from transformer_e2e.config.settings import TrainSettings


def learning_rate_at(step: int, settings: TrainSettings) -> float:
    """The rate of update `step`, counted from 0 to max_steps - 1.

    Warm-up: (step + 1) / warmup_steps of the peak, so the first update is not lost and update
    warmup_steps - 1 has the peak. After it the rate falls from the peak to min_lr_ratio of it, which
    step max_steps would have:
    cosine (Loshchilov and Hutter 2016, equation 5, https://arxiv.org/abs/1608.03983); linear; constant
    (no fall); wsd: the peak until the last decay_fraction of max_steps, then linear (Hu et al. 2024,
    section 4, https://arxiv.org/abs/2404.06395).
    """
    peak, warmup = settings.learning_rate, settings.warmup_steps
    if step < warmup:
        return peak * (step + 1) / warmup
    start = warmup
    if settings.schedule == "wsd":
        start = max(warmup, settings.max_steps - round(settings.decay_fraction * settings.max_steps))
    done = (step - start) / max(1, settings.max_steps - start)
    return peak * (settings.min_lr_ratio + (1 - settings.min_lr_ratio) * remaining(settings.schedule, done))


def remaining(schedule: str, done: float) -> float:
    """The share of the fall still to come, from 1 at `done` <= 0 to 0 at `done` = 1."""
    if schedule == "constant" or done <= 0:
        return 1.0
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    return max(0.0, 1 - done)
