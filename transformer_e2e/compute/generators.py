"""Every random number generator that training draws from: capture, restore, protect."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Generators:
    """States of Python's, numpy's and torch's generators; `plain` is JSON, `tensors` are bytes.

    The keys of `tensors` are `torch` and, for each GPU, `cuda.<index>`.
    """

    plain: dict[str, Any]
    tensors: dict[str, Tensor] = field(default_factory=dict)


def seed_all(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)  # all GPUs, too


def capture() -> Generators:
    """The state of every generator now; drawing afterwards does not change it."""
    version, words, gauss = random.getstate()
    kind, key, position, has_gauss, cached = np.random.get_state(legacy=True)
    tensors = {"torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        tensors |= {f"cuda.{i}": state for i, state in enumerate(torch.cuda.get_rng_state_all())}
    return Generators(
        plain={
            "python": [version, list(words), gauss],
            "numpy": [kind, np.asarray(key).tolist(), int(position), int(has_gauss), float(cached)],
        },
        tensors=tensors,
    )


def restore(saved: Generators) -> None:
    """Put every generator back. GPUs that the state does not know, or that are gone, are left alone."""
    version, words, gauss = saved.plain["python"]
    random.setstate((version, tuple(words), gauss))
    kind, key, position, has_gauss, cached = saved.plain["numpy"]
    np.random.set_state((kind, np.array(key, dtype=np.uint32), position, has_gauss, cached))
    torch.set_rng_state(saved.tensors["torch"])
    for index in range(torch.cuda.device_count()):
        if f"cuda.{index}" in saved.tensors:
            torch.cuda.set_rng_state(saved.tensors[f"cuda.{index}"], index)


@contextmanager
def untouched() -> Iterator[None]:
    """Whatever is drawn inside leaves the generators as they were."""
    saved = capture()
    try:
        yield
    finally:
        restore(saved)
