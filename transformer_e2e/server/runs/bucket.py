"""What clients change about runs: init, resume, updates, stop, delete. (W&B calls a run a bucket.)"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from typing import Any

from transformer_e2e.server.runs import files_store, lines_store, store
from transformer_e2e.server.wire import Refusal, decode_id, parse_object

_COLUMNS = {
    "displayName": "display_name",
    "description": "description",
    "notes": "notes",
    "groupName": "group_name",
    "jobType": "job_type",
    "jobProgram": "program",
    "jobRepo": "repo",
    "commit": "commit_sha",
    "host": "host",
    "config": "config",
    "summaryMetrics": "summary",
}


def run_of_id(conn: sqlite3.Connection, run_id: Any) -> sqlite3.Row | None:
    """The run of an opaque id, None if it is not there (any more). Raises Refusal 400."""
    parts = decode_id("Run:v1", run_id)
    if len(parts) != 3:
        raise Refusal(400, f"{run_id!r} is not the id of a Run")
    name, project, entity = parts
    return store.find_run(conn, entity, project, name)


def _upsert(_parent: None, info: Any, input: dict[str, Any]) -> dict[str, Any]:
    """Mutation upsertBucket, which is three things.

    Fresh init: a host, no id; what an earlier run of that name logged is dropped, since the client counts
    from 0 again. Resumed init: name and id; everything is kept. Otherwise an update of the fields given.
    """
    columns = _columns(input)
    with info.context.db.write() as tx:
        run = _addressed(tx, input)
        inserted = run is None
        if run is None:
            run = _insert(tx, input)
        if input.get("sweep"):
            columns["sweep_id"] = store.sweep_id_of(tx, run["project_id"], input["sweep"])
        if input.get("name") and (input.get("host") or input.get("id")):
            columns |= _begin(tx, run, fresh=not input.get("id"))
        elif input.get("state") and not inserted:
            store.set_state(tx, run["id"], input["state"])
        store.update_run(tx, run["id"], **columns)
        return {"bucket": store.run_by_id(tx, run["id"]), "inserted": inserted}


def _columns(input: dict[str, Any]) -> dict[str, Any]:
    columns = {column: input[name] for name, column in _COLUMNS.items() if input.get(name) is not None}
    for name in ("config", "summary"):
        if name in columns:
            parse_object(columns[name], name)
    if input.get("tags") is not None:
        columns["tags"] = json.dumps([str(tag) for tag in input["tags"]])
    return columns


def _addressed(tx: sqlite3.Connection, input: dict[str, Any]) -> sqlite3.Row | None:
    if input.get("name"):
        return store.find_run(tx, input.get("entityName"), input.get("modelName"), input["name"])
    run = run_of_id(tx, input.get("id"))
    if run is None:
        raise Refusal(400, "there is no run of that id; it may have been deleted")
    return run


def _insert(tx: sqlite3.Connection, input: dict[str, Any]) -> sqlite3.Row:
    project_id = store.ensure_project(tx, input.get("entityName"), input.get("modelName"))
    run_id = store.create_run(tx, project_id, input["name"], "pending")
    store.set_state(tx, run_id, input.get("state") or "running")
    run = store.run_by_id(tx, run_id)
    assert run is not None
    return run


def _begin(tx: sqlite3.Connection, run: sqlite3.Row, fresh: bool) -> dict[str, Any]:
    """The columns of a run whose process begins now, or begins again."""
    columns: dict[str, Any] = {
        "state": "running",
        "heartbeat_at": time.time(),
        "exit_code": None,
        "preempting": 0,
    }
    if run["state"] not in store.LIVE and run["host"] is not None:
        # An old stop is over. One that came before the trial's first init still holds.
        columns |= {"stop_requested": 0, "stop_reason": None}
    if fresh:
        lines_store.clear(tx, run["id"])
        files_store.clear(tx, run["id"])
        columns["summary"] = "{}"
    return columns


def _delete(_parent: None, info: Any, input: dict[str, Any]) -> dict[str, Any]:
    with info.context.db.write() as tx:
        run = run_of_id(tx, input.get("id"))
        if run is not None:
            lines_store.clear(tx, run["id"])
            files_store.clear(tx, run["id"])
            store.update_run(tx, run["id"], deleted_at=time.time())
    if run is not None:
        info.context.scheduler.run_ended(run["id"])
    return {"success": True, "client_mutation_id": input.get("clientMutationId")}


def _stop(_parent: None, info: Any, input: dict[str, Any]) -> dict[str, Any]:
    with info.context.db.write() as tx:
        run = _existing(tx, input)
        return {"success": store.request_stop(tx, run["id"], "stopped")}


def _update_state(_parent: None, info: Any, input: dict[str, Any]) -> dict[str, Any]:
    with info.context.db.write() as tx:
        run = _existing(tx, input)
        store.set_state(tx, run["id"], input.get("state") or "")
    if input["state"] not in store.LIVE:
        info.context.scheduler.run_ended(run["id"])
    return {"success": True}


def _existing(conn: sqlite3.Connection, input: dict[str, Any]) -> sqlite3.Row:
    run = run_of_id(conn, input.get("id"))
    if run is None:
        raise Refusal(400, "there is no run of that id; it may have been deleted")
    return run


def _alert(_parent: None, info: Any, input: dict[str, Any]) -> dict[str, Any]:
    """`run.alert`: there is nobody to mail, and the client already shows the text."""
    return {"success": True}


RESOLVERS: dict[str, dict[str, Callable[..., Any]]] = {
    "Mutation": {
        "upsertBucket": _upsert,
        "deleteRun": _delete,
        "stopRun": _stop,
        "updateRunState": _update_state,
        "notifyScriptableRunAlert": _alert,
    }
}
