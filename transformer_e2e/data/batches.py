"""Which tokens a step sees: pure functions of (seed, step), so a step number is the whole data position.

Shape letters: B batch_size, W context_window, N windows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from transformer_e2e.data.permutation import mixed, permuted

IGNORED = -100  # a target that does not count; what torch's cross_entropy ignores by default

Ids = NDArray[np.int64]


def batch_at(
    tokens: NDArray[np.unsignedinteger], *, seed: int, step: int, batch_size: int, context_window: int
) -> Ids:
    """Token ids (B, W + 1) of training step `step`: inputs [:, :-1], targets [:, 1:].

    An epoch visits `windows_per_epoch` windows once each, in an order of its own; neighbours share one token,
    so no target appears twice. Each epoch cuts its windows at another offset, which brings the tokens left
    out at the ends, and other contexts, into later epochs. Batches run on over the end of an epoch. With
    gradient accumulation, micro-batch i of an optimizer step is `step * gradient_accumulation + i` here.
    `tokens` is 1-D and holds at least W + 1 ids; nothing of it is copied but the batch.
    """
    count = windows_per_epoch(len(tokens), context_window)
    positions = np.arange(step * batch_size, (step + 1) * batch_size, dtype=np.int64)
    epochs, places = positions // count, positions % count
    starts = np.empty(batch_size, dtype=np.int64)
    last_offset = len(tokens) - 1 - count * context_window
    for epoch in np.unique(epochs).tolist():
        now = epochs == epoch
        key = mixed(seed, epoch)
        offset = mixed(key) % (last_offset + 1)
        starts[now] = offset + context_window * permuted(places[now], count=count, key=key)
    picked: Ids = tokens[starts[:, None] + np.arange(context_window + 1)].astype(np.int64)
    return picked


def windows_per_epoch(token_count: int, context_window: int) -> int:
    """Windows in one epoch: one fewer than fit, which is what lets every epoch start at any offset.

    1 when only one fits. Raises ValueError for fewer than context_window + 1 tokens (`prepare` refuses them).
    """
    fitting = (token_count - 1) // context_window
    if fitting < 1:
        raise ValueError(f"{token_count} tokens hold no window of {context_window} + 1")
    return max(1, fitting - 1)


def validation_windows(tokens: NDArray[np.unsignedinteger], context_window: int) -> Ids:
    """All of `tokens` as windows (N, W + 1), neighbours sharing a token: all but the first are a target once.

    The last window is filled up with IGNORED, as inputs too: clamp those to a valid id. Filling comes last in
    a window, so a causal model's outputs before it are unaffected.
    """
    count = max(1, -(-(len(tokens) - 1) // context_window))
    padded = np.full(count * context_window + 1, IGNORED, dtype=np.int64)
    padded[: len(tokens)] = tokens
    return padded[np.arange(count)[:, None] * context_window + np.arange(context_window + 1)]
