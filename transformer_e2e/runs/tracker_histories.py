"""What trials have logged, asked of W&B: for pictures of trials that ran on other machines."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

from transformer_e2e.errors import TrackerError
from transformer_e2e.runs.tracker_connection import Connection
from transformer_e2e.runs.tracker_start import X_AXIS

Curve = list[tuple[float, float]]  # (optimizer step, value)
_AT_ONCE = 8  # requests under way; a server with one processor gains nothing from more
_SAMPLES = 500  # points of a curve: no picture shows more
_ROWS = 20_000

_CURVE = """
query MetricCurve($project: String!, $entity: String, $run: String!, $specs: [JSONString!]!) {
  project(name: $project, entityName: $entity) { run(name: $run) { sampledHistory(specs: $specs) } }
}"""

_HISTORY = """
query RunHistory($project: String!, $entity: String, $run: String!, $samples: Int) {
  project(name: $project, entityName: $entity) { run(name: $run) { history(samples: $samples) } }
}"""


def metric_curves(
    connection: Connection,
    runs: Sequence[str],
    metric: str,
    *,
    entity: str,
    project: str,
    seconds: float = 30.0,
) -> dict[str, Curve]:
    """The metric over the steps of each of the W&B runs `runs`, by their names; those that could not be
    read within about `seconds` are missing. Never raises.

    One request a run, eight at a time; 300 runs of the embedded server take a few seconds.
    """
    pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="curves")
    asked: dict[Future[Curve], str] = {
        pool.submit(_curve, connection, run, metric, entity, project): run for run in dict.fromkeys(runs)
    }
    done, _ = wait(asked, timeout=seconds)
    pool.shutdown(wait=False, cancel_futures=True)
    return {asked[future]: future.result() for future in done if future.exception() is None}


def history_rows(connection: Connection, run: str, *, entity: str, project: str) -> list[dict[str, Any]]:
    """The rows of one run in the form of metrics.jsonl: step, time, metrics. Raises TrackerError."""
    variables = {"entity": entity, "project": project, "run": run, "samples": _ROWS}
    found = _run_of(connection.query(_HISTORY, variables, seconds=60.0), run)
    rows = []
    for text in found.get("history") or []:
        row = json.loads(text) if isinstance(text, str) else text
        metrics = {name: value for name, value in row.items() if name[:1] != "_" and _is_number(value)}
        step = row.get(X_AXIS, row.get("_step", 0))
        rows.append({"step": step, "time": float(row.get("_timestamp", 0.0)), "metrics": metrics})
    return rows


def _curve(connection: Connection, run: str, metric: str, entity: str, project: str) -> Curve:
    spec = json.dumps({"keys": [X_AXIS, metric], "samples": _SAMPLES})
    variables = {"entity": entity, "project": project, "run": run, "specs": [spec]}
    found = _run_of(connection.query(_CURVE, variables, seconds=10.0), run)
    rows = (found.get("sampledHistory") or [[]])[0]
    points = [(row.get(X_AXIS), row.get(metric)) for row in rows]
    return [(float(step), float(value)) for step, value in points if _is_number(step) and _is_number(value)]


def _run_of(data: Mapping[str, Any], run: str) -> Mapping[str, Any]:
    found = (data.get("project") or {}).get("run")
    if not found:
        raise TrackerError(f"W&B has no run {run}")
    return dict(found)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
