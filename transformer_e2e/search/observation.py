"""What the search knows of a trial: the parameters that were issued, its state, and its best value so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LIVE = ("pending", "running", "preempting", "preempted")
BROKEN = ("failed", "crashed")


@dataclass(frozen=True)
class Observation:
    """One issued trial.

    `state` is W&B's word for it: pending, running, preempting, preempted, finished, failed, crashed or
    killed. `value` is the best of its history in the direction of the goal; None where it has reported
    none, and not finite where it diverged.
    """

    params: Mapping[str, Any]
    state: str
    value: float | None = None
