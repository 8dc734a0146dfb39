"""The append-only ledger of issued trials, in SQL: the only thing that the search knows of the past.

A run's own config is no witness (the trial's program may change it), nor is the list of runs (they can be
deleted): a point counts as tried because it was issued.
"""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import dataclass
from typing import Any

from transformer_e2e.server.sweeps.store import LIVE
from transformer_e2e.server.sweeps.timings import AGENT_POLL

MAX_SENDS = 3  # of one command whose trial never showed up: the answer may have been lost in a server's kill


@dataclass(frozen=True)
class Entry:
    """One trial as issued, with what its run has come to since."""

    number: int
    run_id: int
    run_name: str
    params: dict[str, Any]
    state: str
    stop_requested: bool
    attempt: int
    sent_at: float
    sends: int
    seen: bool

    def may_be_lost(self, server_started: float) -> bool:
        """Whether the answer that carried the command may never have reached its agent.

        An agent that got it waits for its next poll before it asks again; one that asks sooner repeats a
        request that went unanswered. Across a restart of the server nobody can tell, so it is sent again.
        """
        unanswered = self.sent_at < server_started or time.time() - self.sent_at < 0.95 * AGENT_POLL
        unstarted = self.state == "pending" and not self.seen and not self.stop_requested
        return unstarted and unanswered and self.sends < MAX_SENDS


_ENTRY = """SELECT issued.*, runs.state AS state, runs.stop_requested AS stop_requested
    FROM issued JOIN runs ON runs.id = issued.run_id"""


def entries(conn: sqlite3.Connection, sweep_id: int) -> list[Entry]:
    """Every trial ever issued, in issue order."""
    return [
        _entry(row)
        for row in conn.execute(f"{_ENTRY} WHERE issued.sweep_id = ? ORDER BY number", (sweep_id,))
    ]


def count(conn: sqlite3.Connection, sweep_id: int) -> int:
    """How many trials were issued; also the number of the next one."""
    return int(conn.execute("SELECT COUNT(*) FROM issued WHERE sweep_id = ?", (sweep_id,)).fetchone()[0])


def live_of_agent(conn: sqlite3.Connection, agent_id: int) -> list[Entry]:
    """The trials that this agent was asked to work on and that have not ended."""
    rows = conn.execute(
        f"{_ENTRY} WHERE issued.agent_id = ? AND state IN {LIVE} ORDER BY sent_at", (agent_id,)
    )
    return [_entry(row) for row in rows]


def unstarted_of_silent_agents(conn: sqlite3.Connection, heard_before: float) -> list[int]:
    """Row ids of pending runs whose agent was both asked and last heard of before that time."""
    rows = conn.execute(
        """SELECT issued.run_id FROM issued
        JOIN runs ON runs.id = issued.run_id JOIN agents ON agents.id = issued.agent_id
        WHERE runs.state = 'pending' AND agents.heartbeat_at < ? AND issued.sent_at < ?""",
        (heard_before, heard_before),
    )
    return [row["run_id"] for row in rows]


def has_open(conn: sqlite3.Connection, sweep_id: int) -> bool:
    """Whether a trial is being worked on or, preempted, waits to be."""
    found = conn.execute(
        f"""SELECT 1 FROM runs WHERE sweep_id = ? AND deleted_at IS NULL AND state IN {(*LIVE, "preempted")}
        LIMIT 1""",
        (sweep_id,),
    )
    return found.fetchone() is not None


def append(
    tx: sqlite3.Connection, agent: sqlite3.Row, run_id: int, run_name: str, params: dict[str, Any]
) -> None:
    """Issue the next trial of the agent's sweep to this agent."""
    now = time.time()
    tx.execute(
        """INSERT INTO issued (sweep_id, number, run_id, run_name, params, issued_at, agent_id, sent_at)
        VALUES (?, (SELECT COUNT(*) FROM issued WHERE sweep_id = ?), ?, ?, ?, ?, ?, ?)""",
        (agent["sweep_id"], agent["sweep_id"], run_id, run_name, json.dumps(params), now, agent["id"], now),
    )


def note_seen(tx: sqlite3.Connection, agent_id: int, run_names: frozenset[str]) -> None:
    """The agent's heartbeat named these runs: their commands have arrived."""
    for name in run_names:
        tx.execute(
            "UPDATE issued SET seen_at = ? WHERE agent_id = ? AND run_name = ? AND seen_at IS NULL",
            (time.time(), agent_id, name),
        )


def note_sent_again(tx: sqlite3.Connection, run_id: int) -> None:
    """The command goes out once more, for the same attempt."""
    tx.execute("UPDATE issued SET sent_at = ?, sends = sends + 1 WHERE run_id = ?", (time.time(), run_id))


def oldest_preempted(conn: sqlite3.Connection, sweep_id: int) -> Entry | None:
    """The trial of the sweep that waits longest to be taken up again, by issue order."""
    row = conn.execute(
        f"""{_ENTRY} WHERE issued.sweep_id = ? AND state = 'preempted' AND runs.deleted_at IS NULL
        ORDER BY number LIMIT 1""",
        (sweep_id,),
    ).fetchone()
    return None if row is None else _entry(row)


def begin_attempt(tx: sqlite3.Connection, entry: Entry, agent_id: int) -> Entry:
    """The same run with the same parameters is given to this agent, as one more attempt."""
    tx.execute(
        """UPDATE issued SET attempt = attempt + 1, agent_id = ?, sent_at = ?, sends = 1, seen_at = NULL
        WHERE run_id = ?""",
        (agent_id, time.time(), entry.run_id),
    )
    return _entry(tx.execute(f"{_ENTRY} WHERE issued.run_id = ?", (entry.run_id,)).fetchone())


def _entry(row: sqlite3.Row) -> Entry:
    return Entry(
        number=row["number"],
        run_id=row["run_id"],
        run_name=row["run_name"],
        params=json.loads(row["params"]),
        state=row["state"],
        stop_requested=bool(row["stop_requested"]),
        attempt=row["attempt"],
        sent_at=row["sent_at"],
        sends=row["sends"],
        seen=row["seen_at"] is not None,
    )
