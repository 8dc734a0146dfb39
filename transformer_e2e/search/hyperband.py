"""Early termination of hopeless trials: Hyperband's brackets, applied as W&B applies them.

Source: Li et al. 2018, "Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization"
(https://arxiv.org/abs/1603.06560), one bracket of successive halving without waiting for the others (as in
ASHA, https://arxiv.org/abs/1810.05934). One iteration is one evaluation: one logged value of the metric,
not a step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformer_e2e.search.spec import normalised


@dataclass(frozen=True)
class Curve:
    """The metric of one trial: `values`, one per evaluation, oldest first; `state` as in an Observation."""

    name: str
    state: str
    values: Sequence[float]


def brackets(config: Mapping[str, Any], longest: int) -> list[int]:
    """The numbers of evaluations after which trials are judged, ascending, up to `longest`.

    min_iter 3, eta 3: 3, 9, 27, ... - max_iter 27, eta 3, s 2: 3, 9 (27 / 3 and 27 / 9).
    """
    rule = normalised(config)["early_terminate"]
    eta = rule["eta"]
    if "max_iter" in rule:
        marks = [int(rule["max_iter"] / eta**k) for k in range(1, rule["s"] + 1)]
    else:
        rungs = max(0, math.floor(math.log(max(longest, 1) / rule["min_iter"], eta)) + 1)
        marks = [int(rule["min_iter"] * eta**k) for k in range(rungs + 1)]
    return sorted({mark for mark in marks if 1 <= mark <= longest})


def to_stop(config: Mapping[str, Any], curves: Sequence[Curve]) -> list[str]:
    """The names of the running trials that should be stopped now, in the order given; nothing without
    early_terminate.

    Each running trial is judged at the last bracket b that it has reached. There the values after b
    evaluations of all trials that came so far (whatever became of them) are put in order, best first, and
    number int(n / eta), counted from 0, is the threshold: about the best 1/eta go on. A trial is stopped if
    its value after b evaluations is worse than the threshold (`strict`, the default, as in the paper), or,
    not strict, if the best of all its values is. Values that are not finite are the worst; equal values are
    never worse.

    Worked example, minimize, eta 3, min_iter 2, so brackets at 2, 6, 18:
        a finished 10 9 8 8 8 7 | b running 10 8 | c running 10 10 | d running 10
    At bracket 2 the values are 8 (b), 9 (a), 10 (c); int(3 / 3) = 1, so the threshold is 9. c is stopped; b
    goes on; d has not been judged yet. With eta 2 and two trials int(2 / 2) = 1 is the worse one: nothing
    is stopped.
    """
    if config.get("early_terminate") is None:
        return []
    spec = normalised(config)
    sign = -1.0 if spec["metric"]["goal"] == "maximize" else 1.0
    losses = [
        [sign * value if math.isfinite(value) else math.inf for value in curve.values] for curve in curves
    ]
    marks = brackets(spec, max((len(line) for line in losses), default=0))
    thresholds = {
        mark: _threshold([line[mark - 1] for line in losses if len(line) >= mark], spec) for mark in marks
    }
    stopped = []
    for curve, line in zip(curves, losses, strict=True):
        reached = [mark for mark in marks if mark <= len(line)]
        if curve.state != "running" or not reached:
            continue
        loss = line[reached[-1] - 1] if spec["early_terminate"]["strict"] else min(line)
        if loss > thresholds[reached[-1]]:
            stopped.append(curve.name)
    return stopped


def _threshold(losses: list[float], spec: Mapping[str, Any]) -> float:
    return sorted(losses)[int(len(losses) / spec["early_terminate"]["eta"])]
