"""What remains of a trial's journal once the training is over."""

from __future__ import annotations

from typing import Any


def final_metrics(
    rows: list[dict[str, Any]], *, metric_name: str = "eval/loss", minimize: bool = True
) -> dict[str, float]:
    """The last row's value of every metric, and those of the best evaluation as `best/eval/...`."""
    last = {name: value for row in rows for name, value in row["metrics"].items()}
    evaluations = [row["metrics"] for row in rows if metric_name in row["metrics"]]
    if not evaluations:
        return last
    best = (min if minimize else max)(evaluations, key=lambda metrics: metrics[metric_name])
    shown = {f"best/{name}": value for name, value in best.items() if name.startswith("eval/")}
    return last | shown | {"best/step": best["train/global_step"]}
