"""GraphQL fields of a run that come from its row."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from typing import Any

from transformer_e2e.server.runs import store
from transformer_e2e.server.runs.viewer import user_view
from transformer_e2e.server.wire import encode_id, iso, parse_object


def _id(run: sqlite3.Row, info: Any) -> str:
    return encode_id("Run:v1", run["name"], run["project_name"], run["entity_name"])


def _project(run: sqlite3.Row, info: Any) -> sqlite3.Row:
    with info.context.db.read() as conn:
        return store.project_by_id(conn, run["project_id"])


def _wandb_config(run: sqlite3.Row, info: Any, keys: list[str] | None = None) -> str:
    """The client's own part of the config. A run without `t` in it was never begun by a client."""
    own = parse_object(run["config"], "config").get("_wandb") or {}
    value = own.get("value") or {}
    return json.dumps({key: value[key] for key in (keys or value) if key in value})


RESOLVERS: dict[str, dict[str, Callable[..., Any]]] = {
    "Run": {
        "id": _id,
        "projectId": lambda run, info: str(run["project_id"]),
        "project": _project,
        "tags": lambda run, info: json.loads(run["tags"]),
        "stopped": lambda run, info: run["state"] == "killed",
        "shouldStop": lambda run, info: bool(run["stop_requested"]),
        "failed": lambda run, info: run["state"] in ("failed", "crashed"),
        "running": lambda run, info: run["state"] in ("running", "preempting"),
        "exitcode": lambda run, info: run["exit_code"],
        "wandbConfig": _wandb_config,
        "summaryMetrics": lambda run, info: run["summary"],
        "group": lambda run, info: run["group_name"],
        "commit": lambda run, info: run["commit_sha"],
        "readOnly": lambda run, info: False,
        "createdAt": lambda run, info: iso(run["created_at"]),
        "updatedAt": lambda run, info: iso(run["updated_at"]),
        "heartbeatAt": lambda run, info: iso(run["heartbeat_at"]),
        "computeSeconds": lambda run, info: int(run["heartbeat_at"] - run["created_at"]),
        "user": lambda run, info: user_view(info.context.user),
    }
}
