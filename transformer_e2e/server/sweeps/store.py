"""The tables `sweeps` and `agents`, in SQL."""

from __future__ import annotations

import secrets
import sqlite3
import string
import time
from collections.abc import Iterable, Sequence
from typing import Any

from transformer_e2e.server.runs import store as runs

OVER = ("FINISHED", "CANCELED")  # sweep states in which agents go home
STATES = ("RUNNING", "PAUSED", *OVER)  # what a client may ask for; a sweep starts as PENDING

LIVE = tuple(runs.LIVE)  # spelled as SQL spells a list

_SWEEP = """SELECT sweeps.*, projects.name AS project, projects.entity AS entity
    FROM sweeps JOIN projects ON projects.id = sweeps.project_id"""


def short_id() -> str:
    """A name for a run or a sweep as W&B makes them: 8 characters of [a-z0-9]."""
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(8))


def find_sweep(conn: sqlite3.Connection, entity: str, project: str, name: str) -> sqlite3.Row | None:
    """One sweep with its `project` and `entity` names."""
    return _one(
        conn,
        f"{_SWEEP} WHERE projects.entity = ? AND projects.name = ? AND sweeps.name = ?",
        entity,
        project,
        name,
    )


def sweep(conn: sqlite3.Connection, sweep_id: int) -> sqlite3.Row:
    """The sweep of that row id, which must exist."""
    row = _one(conn, f"{_SWEEP} WHERE sweeps.id = ?", sweep_id)
    assert row is not None, sweep_id
    return row


def sweeps_of_project(conn: sqlite3.Connection, project_id: int) -> list[sqlite3.Row]:
    """The project's sweeps, oldest first."""
    return conn.execute(f"{_SWEEP} WHERE project_id = ? ORDER BY sweeps.id", (project_id,)).fetchall()


def create_sweep(tx: sqlite3.Connection, project_id: int, fields: dict[str, Any]) -> int:
    """A new PENDING sweep; `fields` has `config` and perhaps `display_name` and `description`."""
    now = time.time()
    values = {"display_name": None, "description": None, **fields}
    cursor = tx.execute(
        """INSERT INTO sweeps
        (project_id, name, display_name, description, config, state, created_at, updated_at)
        VALUES (:project_id, :name, :display_name, :description, :config, 'PENDING', :now, :now)""",
        {**values, "project_id": project_id, "name": short_id(), "now": now},
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def update_sweep(tx: sqlite3.Connection, sweep_id: int, fields: dict[str, Any]) -> None:
    """Set columns of a sweep: any of config, state, display_name, description."""
    columns = {**fields, "updated_at": time.time()}
    assignments = ", ".join(f"{column} = :{column}" for column in columns)
    tx.execute(f"UPDATE sweeps SET {assignments} WHERE id = :id", {**columns, "id": sweep_id})


def results_of_sweep(conn: sqlite3.Connection, sweep_id: int) -> list[sqlite3.Row]:
    """What the search may know of each run of the sweep, deleted ones too, oldest first."""
    return conn.execute(
        """SELECT id, name, state, summary, heartbeat_at, stop_requested
        FROM runs WHERE sweep_id = ? ORDER BY id""",
        (sweep_id,),
    ).fetchall()


def run_count(conn: sqlite3.Connection, sweep_id: int) -> int:
    """How many runs of the sweep were not deleted."""
    found = conn.execute("SELECT COUNT(*) FROM runs WHERE sweep_id = ? AND deleted_at IS NULL", (sweep_id,))
    return int(found.fetchone()[0])


def live_runs(conn: sqlite3.Connection, sweep_id: int) -> list[int]:
    """Row ids of the sweep's runs that are being worked on."""
    rows = conn.execute(
        f"SELECT id FROM runs WHERE sweep_id = ? AND state IN {LIVE} AND deleted_at IS NULL", (sweep_id,)
    )
    return [row["id"] for row in rows]


def end_unreported(tx: sqlite3.Connection, run_id: int) -> None:
    """A trial's process is gone without an exit code: killed or preempted by recorded intent, else failed."""
    row = _one(tx, "SELECT stop_requested, preempting FROM runs WHERE id = ?", run_id)
    assert row is not None, run_id
    runs.set_state(tx, run_id, runs.end_state(row, exit_code=1))


def reopen(tx: sqlite3.Connection, run_id: int, agent_id: int) -> None:
    """A preempted run waits for its next attempt, by that agent."""
    runs.update_run(tx, run_id, state="pending", preempting=0, agent_id=agent_id)


def run_to_stop(conn: sqlite3.Connection, sweep_id: int, names: Iterable[str]) -> str | None:
    """The first of the sweep's runs `names` that was asked to stop."""
    row = _one(
        conn,
        f"""SELECT name FROM runs WHERE sweep_id = ? AND stop_requested AND deleted_at IS NULL
        AND name IN {_marks(names := list(names))} ORDER BY id""",
        sweep_id,
        *names,
    )
    return row["name"] if row else None


def create_agent(tx: sqlite3.Connection, sweep_id: int, host: str) -> int:
    """Register an agent that has just made itself known."""
    now = time.time()
    cursor = tx.execute(
        "INSERT INTO agents (sweep_id, host, created_at, heartbeat_at) VALUES (?, ?, ?, ?)",
        (sweep_id, host, now, now),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def find_agent(conn: sqlite3.Connection, agent_id: int) -> sqlite3.Row | None:
    """One agent."""
    return _one(conn, "SELECT * FROM agents WHERE id = ?", agent_id)


def agents_of_sweep(conn: sqlite3.Connection, sweep_id: int) -> list[sqlite3.Row]:
    """The sweep's agents, oldest first."""
    return conn.execute("SELECT * FROM agents WHERE sweep_id = ? ORDER BY id", (sweep_id,)).fetchall()


def note_heartbeat(tx: sqlite3.Connection, agent: sqlite3.Row) -> None:
    """The agent lives, and so its sweep runs, if it waited for a first agent."""
    now = time.time()
    tx.execute("UPDATE agents SET heartbeat_at = ? WHERE id = ?", (now, agent["id"]))
    tx.execute(
        """UPDATE sweeps SET heartbeat_at = ?, state = CASE state WHEN 'PENDING' THEN 'RUNNING' ELSE state END
        WHERE id = ?""",
        (now, agent["sweep_id"]),
    )


def _one(conn: sqlite3.Connection, query: str, *values: Any) -> sqlite3.Row | None:
    row: sqlite3.Row | None = conn.execute(query, values).fetchone()
    return row


def _marks(values: Sequence[Any]) -> str:
    return f"({', '.join('?' * len(values))})"
