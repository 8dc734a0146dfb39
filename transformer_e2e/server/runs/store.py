"""Projects and runs: their rows, and the state machine of a run.

pending -> running -> finished | failed | preempted | killed | crashed; an init makes any of them running.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Mapping
from typing import Any

from transformer_e2e.server.runs import lines_store
from transformer_e2e.server.settings import DEFAULT_ENTITY, DEFAULT_PROJECT
from transformer_e2e.server.wire import Refusal

STATES = ("pending", "running", "preempting", "preempted", "finished", "failed", "crashed", "killed")
LIVE = frozenset({"pending", "running", "preempting"})  # something may still happen to these
STOP_REASONS = ("pruned", "cancelled", "stopped")
INTERRUPTED_EXIT_CODE = 255  # what wandb's client reports when its program was ended by Ctrl-C

_SELECT = """
    SELECT runs.*, projects.name AS project_name, projects.entity AS entity_name, sweeps.name AS sweep_name
    FROM runs JOIN projects ON projects.id = runs.project_id LEFT JOIN sweeps ON sweeps.id = runs.sweep_id
    WHERE runs.deleted_at IS NULL AND """


def ensure_project(tx: sqlite3.Connection, entity: str | None, name: str | None) -> int:
    """The id of a project, made when it is new. None or "" mean the key's own entity and `uncategorized`."""
    entity, name = entity or DEFAULT_ENTITY, name or DEFAULT_PROJECT
    tx.execute(
        "INSERT INTO projects (entity, name, created_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        (entity, name, time.time()),
    )
    row = tx.execute("SELECT id FROM projects WHERE entity = ? AND name = ?", (entity, name)).fetchone()
    return int(row["id"])


def find_project(conn: sqlite3.Connection, entity: str | None, name: str | None) -> sqlite3.Row | None:
    row: sqlite3.Row | None = conn.execute(
        "SELECT * FROM projects WHERE entity = ? AND name = ?",
        (entity or DEFAULT_ENTITY, name or DEFAULT_PROJECT),
    ).fetchone()
    return row


def project_by_id(conn: sqlite3.Connection, project_id: int) -> sqlite3.Row:
    row: sqlite3.Row | None = conn.execute("SELECT * FROM projects WHERE id = ?", (project_id,)).fetchone()
    if row is None:
        raise Refusal(400, f"there is no project {project_id}")
    return row


def list_projects(conn: sqlite3.Connection, entity: str | None) -> list[sqlite3.Row]:
    """Newest first."""
    query = "SELECT * FROM projects WHERE entity = ? ORDER BY created_at DESC, id DESC"
    return conn.execute(query, (entity or DEFAULT_ENTITY,)).fetchall()


def describe_project(tx: sqlite3.Connection, project_id: int, description: str) -> None:
    tx.execute("UPDATE projects SET description = ? WHERE id = ?", (description, project_id))


def delete_project(tx: sqlite3.Connection, project_id: int) -> None:
    """Forget an empty project. Raises Refusal 400 while anything is in it."""
    if tx.execute("SELECT 1 FROM runs WHERE project_id = ? AND deleted_at IS NULL", (project_id,)).fetchone():
        raise Refusal(400, "the project still has runs; delete them first")
    try:
        tx.execute("DELETE FROM projects WHERE id = ?", (project_id,))
    except sqlite3.IntegrityError:
        raise Refusal(400, "the project still has deleted runs, sweeps or artifacts on record") from None


def create_run(tx: sqlite3.Connection, project_id: int, name: str, state: str, **columns: Any) -> int:
    """A new row; `columns` are those of the table. The name must be free in its project."""
    now = time.time()
    values = {
        "project_id": project_id,
        "name": name,
        "display_name": name,
        "state": state,
        "heartbeat_at": now,
        "created_at": now,
        "updated_at": now,
        **columns,
    }
    marks = ", ".join("?" * len(values))
    cursor = tx.execute(f"INSERT INTO runs ({', '.join(values)}) VALUES ({marks})", tuple(values.values()))
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def create_pending_run(
    tx: sqlite3.Connection,
    project_id: int,
    name: str,
    sweep_id: int,
    agent_id: int | None,
    config: Mapping[str, Any],
) -> int:
    """The row of a trial that was issued and has not begun. `config` is {parameter: {"value": v}}; it has no
    `_wandb` key, so that the trial's init sees a run that does not exist yet."""
    return create_run(
        tx, project_id, name, "pending", sweep_id=sweep_id, agent_id=agent_id, config=json.dumps(config)
    )


def update_run(tx: sqlite3.Connection, run_id: int, **columns: Any) -> None:
    """Set columns of a run; `updated_at` follows."""
    columns["updated_at"] = time.time()
    assignments = ", ".join(f"{name} = ?" for name in columns)
    tx.execute(f"UPDATE runs SET {assignments} WHERE id = ?", (*columns.values(), run_id))


def select_runs(conn: sqlite3.Connection, where: str, values: Iterable[Any] = ()) -> list[sqlite3.Row]:
    """The rows of runs that are not deleted, with `project_name`, `entity_name` and `sweep_name`, oldest
    first. `where` is a condition over `runs`, `projects` and `sweeps` written in this package."""
    return conn.execute(f"{_SELECT} ({where}) ORDER BY runs.created_at, runs.id", tuple(values)).fetchall()


def run_by_id(conn: sqlite3.Connection, run_id: int) -> sqlite3.Row | None:
    return next(iter(select_runs(conn, "runs.id = ?", (run_id,))), None)


def find_run(
    conn: sqlite3.Connection, entity: str | None, project: str | None, name: str | None
) -> sqlite3.Row | None:
    """The run of that short id, or None."""
    where = "projects.entity = ? AND projects.name = ? AND runs.name = ?"
    names = (entity or DEFAULT_ENTITY, project or DEFAULT_PROJECT, name)
    return next(iter(select_runs(conn, where, names)), None)


def sweep_id_of(conn: sqlite3.Connection, project_id: int, sweep: str) -> int:
    """The row id of a sweep of that project by its short name. Raises Refusal 400."""
    row = conn.execute(
        "SELECT id FROM sweeps WHERE project_id = ? AND name = ?", (project_id, sweep)
    ).fetchone()
    if row is None:
        raise Refusal(400, f"there is no sweep {sweep!r} in this project; unset WANDB_SWEEP_ID or create it")
    return int(row["id"])


def set_state(tx: sqlite3.Connection, run_id: int, state: str, exit_code: int | None = None) -> None:
    """Move a run to `state`; None leaves the exit code."""
    if state not in STATES:
        raise Refusal(400, f"{state!r} is not a state of a run; known: {', '.join(STATES)}")
    columns: dict[str, Any] = {"state": state}
    if exit_code is not None:
        columns["exit_code"] = exit_code
    update_run(tx, run_id, **columns)


def end_state(run: Mapping[str, Any] | sqlite3.Row, exit_code: int) -> str:
    """What a run that ended with `exit_code` is: recorded intent first, the code last.

    A stop that was asked for makes it killed even when the trial ended well; preempting and a code other
    than 0 make it preempted. A client that was interrupted by Ctrl-C reports 255.
    """
    if run["stop_requested"]:
        return "killed"
    if run["preempting"] and exit_code != 0:
        return "preempted"
    if exit_code == INTERRUPTED_EXIT_CODE:
        return "killed"
    return "finished" if exit_code == 0 else "failed"


def end_run(tx: sqlite3.Connection, run_id: int, exit_code: int) -> str:
    """Record the end of a run and return its state; repeating it changes nothing."""
    row = tx.execute("SELECT stop_requested, preempting FROM runs WHERE id = ?", (run_id,)).fetchone()
    state = end_state(row, exit_code)
    set_state(tx, run_id, state, exit_code)
    return state


def request_stop(tx: sqlite3.Connection, run_id: int, reason: str) -> bool:
    """Ask a run to stop; it learns of it from its agent or its file stream. False when it has ended already.

    The first reason stays.
    """
    if reason not in STOP_REASONS:
        raise ValueError(f"unknown reason {reason!r}; known: {', '.join(STOP_REASONS)}")
    row = tx.execute("SELECT state, stop_requested FROM runs WHERE id = ?", (run_id,)).fetchone()
    if row is None or row["state"] not in LIVE:
        return False
    if not row["stop_requested"]:
        update_run(tx, run_id, stop_requested=1, stop_reason=reason)
    return True


def metric_history(conn: sqlite3.Connection, run_id: int, metric: str) -> list[float]:
    """The values of `metric` in the order of its rows; rows without it or without a number in it are left
    out, NaN and infinities are kept. Names inside nested dictionaries are joined with dots."""
    values = []
    for row in lines_store.history_rows(conn, run_id):
        number = lines_store.as_number(lines_store.lookup(row, metric))
        if number is not None:
            values.append(number)
    return values


def silent_runs(conn: sqlite3.Connection, since: float) -> list[int]:
    """Runs that claim to run and have not been heard of since that time."""
    return [
        row["id"]
        for row in conn.execute(
            "SELECT id FROM runs WHERE state IN ('running', 'preempting') AND heartbeat_at < ?"
            " AND deleted_at IS NULL",
            (since,),
        )
    ]


def reset_heartbeats(tx: sqlite3.Connection) -> None:
    """Start every live run's clock anew."""
    tx.execute(
        "UPDATE runs SET heartbeat_at = ? WHERE state IN ('pending', 'running', 'preempting')", (time.time(),)
    )
