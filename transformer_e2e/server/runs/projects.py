"""GraphQL fields of projects: finding, listing, making and forgetting them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from transformer_e2e.server.connection import page
from transformer_e2e.server.runs import store
from transformer_e2e.server.runs.filters import matching, ordered
from transformer_e2e.server.runs.viewer import entity_view, user_view
from transformer_e2e.server.wire import Refusal, decode_id, encode_id, iso


def _project(
    _parent: None, info: Any, name: str | None = None, entityName: str | None = None
) -> sqlite3.Row | None:
    with info.context.db.read() as conn:
        return store.find_project(conn, entityName, name)


def _projects(
    parent: dict[str, Any] | None,
    info: Any,
    entityName: str | None = None,
    after: str | None = None,
    first: int | None = None,
) -> dict[str, Any]:
    with info.context.db.read() as conn:
        found = store.list_projects(conn, parent["name"] if parent else entityName)
    return page(found, first, after)


def _upsert(_parent: None, info: Any, input: dict[str, Any]) -> dict[str, Any]:
    with info.context.db.write() as tx:
        if input.get("id"):
            name, entity = decode_id("Project:v1", input["id"])
        else:
            name, entity = input.get("name") or "", input.get("entityName") or ""
        known = store.find_project(tx, entity, name) is not None
        project_id = store.ensure_project(tx, entity, name)
        if input.get("description") is not None:
            store.describe_project(tx, project_id, input["description"])
        project = store.project_by_id(tx, project_id)
    return {"model": project, "project": project, "inserted": not known}


def _delete(_parent: None, info: Any, input: dict[str, Any]) -> dict[str, Any]:
    name, entity = decode_id("Project:v1", input.get("id"))
    with info.context.db.write() as tx:
        project = store.find_project(tx, entity, name)
        if project is not None:
            store.delete_project(tx, project["id"])
    return {"success": True}


def _runs(
    parent: sqlite3.Row,
    info: Any,
    filters: str | None = None,
    after: str | None = None,
    first: int | None = None,
    order: str | None = None,
) -> dict[str, Any]:
    with info.context.db.read() as conn:
        runs = store.select_runs(conn, "runs.project_id = ?", (parent["id"],))
    return page(ordered(matching(runs, filters), order), first, after)


def _run_count(parent: sqlite3.Row, info: Any, filters: str | None = None) -> int:
    with info.context.db.read() as conn:
        return len(matching(store.select_runs(conn, "runs.project_id = ?", (parent["id"],)), filters))


def _run(parent: sqlite3.Row, info: Any, name: str | None = None, **_: Any) -> sqlite3.Row | None:
    if not name:
        raise Refusal(400, "a run is found by its name, the short id in its URL")
    with info.context.db.read() as conn:
        return store.find_run(conn, parent["entity"], parent["name"], name)


RESOLVERS: dict[str, dict[str, Callable[..., Any]]] = {
    "Query": {"project": _project, "model": _project, "models": _projects},
    "Mutation": {"upsertModel": _upsert, "deleteModel": _delete},
    "Entity": {"projects": _projects},
    "Project": {
        "id": lambda parent, info: encode_id("Project:v1", parent["name"], parent["entity"]),
        "internalId": lambda parent, info: str(parent["id"]),
        "entityName": lambda parent, info: parent["entity"],
        "entity": lambda parent, info: entity_view(parent["entity"]),
        "createdAt": lambda parent, info: iso(parent["created_at"]),
        "isBenchmark": lambda parent, info: False,
        "access": lambda parent, info: "PRIVATE",
        "readOnly": lambda parent, info: False,
        "user": lambda parent, info: user_view(info.context.user),
        "runs": _runs,
        "runCount": _run_count,
        "run": _run,
        "bucket": _run,
    },
}
