"""What programs ask W&B about runs and sweeps. The field names are those that wandb 0.31 itself asks for."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from transformer_e2e.errors import TrackerError
from transformer_e2e.runs.tracker_connection import Connection, Refused

BEST_PREFIX = "best/"  # our summary key for the best value of a metric: best/eval/loss
DATA_PREFIX = "data/"  # our summary keys for the data of the metrics: data/name, data/split, data/examples
CHECKPOINT_STEP = "checkpoint/step"  # summary keys of the newest checkpoint on the trial's own disk
CHECKPOINT_DIGEST = "checkpoint/digest"
_MOST_RUNS = 10_000

_RUN_FIELDS = """
    name displayName state config summaryMetrics createdAt heartbeatAt historyLineCount
"""

_SWEEP = f"""
query SweepView($project: String, $entity: String, $sweep: String!) {{
  project(name: $project, entityName: $entity) {{
    sweep(sweepName: $sweep) {{
      name displayName state config
      runs(first: {_MOST_RUNS}) {{ edges {{ node {{ {_RUN_FIELDS} }} }} }}
    }}
  }}
}}"""

_RUNS = f"""
query RunsOfTrial($project: String!, $entity: String, $filters: JSONString) {{
  project(name: $project, entityName: $entity) {{
    runs(filters: $filters, first: {_MOST_RUNS}, order: "-created_at") {{
      edges {{ node {{ {_RUN_FIELDS} }} }}
    }}
  }}
}}"""

_STOP = """
query StopIntent($project: String!, $entity: String, $run: String!) {
  project(name: $project, entityName: $entity) {
    run(name: $run) { state shouldStop %s sweep { state } }
  }
}"""


_ROWS = """
query RowsHeld($project: String!, $entity: String, $run: String!) {
  project(name: $project, entityName: $entity) { run(name: $run) { historyLineCount } }
}"""


@dataclass(frozen=True)
class RunView:
    """One W&B run as it stands on the server."""

    name: str  # W&B's id
    display_name: str  # our run ID
    state: str
    config: dict[str, Any]
    summary: dict[str, Any]
    created_at: str
    heartbeat_at: str | None
    history_rows: int

    def best(self, metric: str) -> float | None:
        """The best value of the metric so far, else its last one; None: it has none yet."""
        for name in (BEST_PREFIX + metric, metric):
            value = self.summary.get(name)
            if isinstance(value, int | float) and not isinstance(value, bool):
                return float(value)
        return None


@dataclass(frozen=True)
class SweepView:
    name: str
    state: str  # PENDING, RUNNING, PAUSED, FINISHED, CANCELED
    config: dict[str, Any]
    runs: tuple[RunView, ...]  # oldest first

    @property
    def method(self) -> str:
        return str(self.config.get("method", ""))

    @property
    def metric(self) -> str | None:
        metric = self.config.get("metric")
        return str(metric["name"]) if isinstance(metric, Mapping) and "name" in metric else None

    @property
    def goal(self) -> str:
        metric = self.config.get("metric")
        return str(metric.get("goal", "minimize")) if isinstance(metric, Mapping) else "minimize"

    @property
    def run_cap(self) -> int | None:
        cap = self.config.get("run_cap")
        return int(cap) if cap is not None else None


class Intent(Enum):
    """What the server recorded about a run that got a SIGTERM."""

    PRUNE = "prune"  # the sweep stopped this trial and goes on
    CANCEL = "cancel"  # the whole sweep was ended
    NONE = "none"  # the server asked for nothing: a cluster's kill, a second Ctrl-C at the agent
    UNKNOWN = "unknown"  # no answer


def sweep_state(path: str, *, connection: Connection | None = None, seconds: float = 15.0) -> SweepView:
    """One look at the sweep `entity/project/id` and all its runs, in one request.

    Raises TrackerError: unreachable, wrong key, or no such sweep.
    """
    entity, project, name = path.split("/")
    connection = connection or Connection.configured()
    data = connection.query(_SWEEP, {"entity": entity, "project": project, "sweep": name}, seconds=seconds)
    sweep = (data.get("project") or {}).get("sweep")
    if not sweep:
        raise TrackerError(f"W&B at {connection.base_url} has no sweep {path}")
    runs = sorted(
        (_run_view(edge["node"]) for edge in sweep["runs"]["edges"]), key=lambda run: run.created_at
    )
    return SweepView(sweep["name"], sweep["state"], _sweep_config(sweep["config"]), tuple(runs))


def find_runs(
    run_id: str,
    *,
    project: str,
    entity: str | None,
    connection: Connection | None = None,
    seconds: float = 15.0,
) -> list[RunView]:
    """W&B's runs of the trials whose run ID begins with `run_id`; newest first. Raises TrackerError."""
    filters = {"display_name": {"$regex": f"^{re.escape(run_id)}"}}
    data = (connection or Connection.configured()).query(
        _RUNS, {"project": project, "entity": entity, "filters": json.dumps(filters)}, seconds=seconds
    )
    edges = ((data.get("project") or {}).get("runs") or {}).get("edges") or []
    found = [_run_view(edge["node"]) for edge in edges]
    return [run for run in found if str(run.config.get("run_id", "")).startswith(run_id)]


def stop_intent(connection: Connection, *, entity: str, project: str, run: str) -> Intent:
    """Whether the server asked this run to stop, in at most about 10 seconds. Never raises.

    `stopReason` is the embedded server's own field; where it is unknown the sweep's state tells a
    cancelled sweep from a pruned trial.
    """
    variables = {"entity": entity, "project": project, "run": run}
    try:
        try:
            data = connection.query(_STOP % "stopReason", variables)
        except Refused:
            data = connection.query(_STOP % "", variables)
    except TrackerError:
        return Intent.UNKNOWN
    return judge_stop((data.get("project") or {}).get("run"))


def rows_held(connection: Connection, entity: str, project: str, run: str) -> int:
    """How many history rows W&B has of a run; 0 without an answer within 5 seconds. Never raises."""
    try:
        data = connection.query(_ROWS, {"entity": entity, "project": project, "run": run})
        return int(data["project"]["run"]["historyLineCount"])
    except (TrackerError, KeyError, TypeError, ValueError):
        return 0


def judge_stop(run: Mapping[str, Any] | None) -> Intent:
    """The intent in the server's answer. A run outside any sweep is never pruned: a person stopped it."""
    if not run:
        return Intent.UNKNOWN
    if not (run.get("shouldStop") or run.get("stopReason") or run.get("state") == "killed"):
        return Intent.NONE
    sweep = run.get("sweep")
    if sweep and run.get("stopReason") != "cancelled" and not str(sweep.get("state")).startswith("CANCEL"):
        return Intent.PRUNE
    return Intent.CANCEL


def _run_view(node: Mapping[str, Any]) -> RunView:
    config = _json_object(node.get("config"))
    return RunView(
        name=node["name"],
        display_name=node.get("displayName") or node["name"],
        state=node["state"],
        config={
            key: item["value"] if isinstance(item, Mapping) and "value" in item else item
            for key, item in config.items()
            if key != "_wandb"
        },
        summary=_json_object(node.get("summaryMetrics")),
        created_at=node.get("createdAt") or "",
        heartbeat_at=node.get("heartbeatAt"),
        history_rows=int(node.get("historyLineCount") or 0),
    )


def _json_object(text: str | None) -> dict[str, Any]:
    content = json.loads(text) if text else {}
    return content if isinstance(content, dict) else {}


def _sweep_config(text: str) -> dict[str, Any]:
    """W&B hands the YAML back as it was written."""
    import yaml

    content = yaml.safe_load(text)
    return content if isinstance(content, dict) else {}
