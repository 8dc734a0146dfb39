"""How good are the searches? Random against bayes on a bowl like a language model's settings.

log learning rate x log weight decay x batch size, the best learning rate growing with the root of
the batch size; each value is seen through noise of 0.03 and learning rates far above the best
diverge. Printed: the true value at the best value seen (0.20 is the floor), median over seeds,
after half and after all trials.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from typing import Any

from transformer_e2e.search.draws import fraction
from transformer_e2e.search.suggest import Observation, suggest

FLOOR, NOISE = 0.20, 0.03
SPACE = {
    "learning_rate": {"distribution": "log_uniform_values", "min": 1e-5, "max": 1e-1},
    "weight_decay": {"distribution": "log_uniform_values", "min": 1e-4, "max": 1.0},
    "batch_size": {"values": [8, 16, 32, 64, 128, 256]},
}


def true_loss(params: dict[str, Any]) -> float:
    """The bowl; NaN where training would diverge."""
    batch = math.log2(params["batch_size"] / 64)
    rate = math.log10(params["learning_rate"]) + 3.0 - 0.15 * batch
    decay = math.log10(params["weight_decay"]) + 2.0
    if rate > 1.5:
        return math.nan
    return FLOOR + 0.15 * rate**2 + 0.05 * decay**2 + 0.02 * batch**2 + 0.15 * max(0.0, rate) ** 3


def observed(params: dict[str, Any], seed: int, number: int) -> float:
    spread = statistics.NormalDist(0.0, NOISE)
    return true_loss(params) + spread.inv_cdf(max(1e-9, fraction("noise", seed, number)))


def run(method: str, *, trials: int, agents: int, seed: int) -> list[float]:
    """True value at the best value seen after each trial; `agents` trials are always under way."""
    spec = {"method": method, "metric": {"name": "loss", "goal": "minimize"}, "parameters": SPACE}
    ledger: list[Observation] = []
    best, curve = (math.inf, math.inf), []
    for number in range(trials + agents - 1):
        if number < trials:
            params = suggest(spec, ledger, seed=seed)
            assert params is not None
            ledger.append(Observation(params, "running"))
        ended = number - agents + 1
        if ended >= 0:
            done = ledger[ended]
            value = observed(dict(done.params), seed, ended)
            ledger[ended] = Observation(done.params, "finished", value)
            if value < best[0]:
                best = (value, true_loss(dict(done.params)))
            curve.append(best[1])
    return curve


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example: python -m benchmarks.search_quality --trials 40 --seeds 5 --agents 2",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--methods", nargs="+", default=["random", "bayes"], help="searches to compare")
    parser.add_argument("--trials", type=int, default=40, help="trials of each search")
    parser.add_argument("--seeds", type=int, default=5, help="searches per method")
    parser.add_argument("--agents", type=int, default=1, help="trials under way at the same time")
    options = parser.parse_args()
    half = options.trials // 2
    print(
        f"{'method':8} {'after ' + str(half):>10} {'after ' + str(options.trials):>10} {'s/suggestion':>13}"
    )
    for method in options.methods:
        started = time.perf_counter()
        curves = [
            run(method, trials=options.trials, agents=options.agents, seed=seed)
            for seed in range(options.seeds)
        ]
        seconds = (time.perf_counter() - started) / options.trials / options.seeds
        middle, end = (statistics.median(curve[i - 1] for curve in curves) for i in (half, options.trials))
        print(f"{method:8} {middle:10.4f} {end:10.4f} {seconds:13.3f}", flush=True)


if __name__ == "__main__":
    main()
