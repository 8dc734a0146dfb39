"""Exactly once through kills and hangs: the server, its search process, an agent that never comes back."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.sweep_driver import PROJECT, Sweep, children_of, eventually, finish, grid
from tests.serving import ServerProcess
from transformer_e2e.server.db import Database
from transformer_e2e.server.runs.store import end_run, ensure_project
from transformer_e2e.server.sweeps import store
from transformer_e2e.server.sweeps.scheduler import Scheduler
from transformer_e2e.server.sweeps.timings import Timings

POLL = 5.1  # an agent that got its answer asks again no sooner than 5 s later


def test_a_command_lost_in_a_kill_of_the_server_is_given_again(wandb_server: Any) -> None:
    sweep = Sweep(wandb_server, grid(3))
    agent, other = sweep.agent(), sweep.agent()
    lost, kept = agent.next(), other.next()
    assert other.beat(kept["run_id"]) == []
    wandb_server.kill()
    time.sleep(POLL)
    wandb_server.restart()
    assert agent.next() == lost
    assert other.beat(kept["run_id"]) == []
    assert [row["run_name"] for row in sweep.ledger()] == [lost["run_id"], kept["run_id"]]


def test_points_are_issued_and_finished_once_while_the_server_is_killed_twice(
    wandb_server: ServerProcess,
) -> None:
    sweep = Sweep(wandb_server, grid(60))
    done: list[int] = []

    def insist(request: Callable[[], Any]) -> Any:
        """As the client does: the same request again until it is answered."""
        while True:
            try:
                return request()
            except (OSError, HTTPException):
                time.sleep(0.05)

    def work(_: int) -> None:
        agent = insist(sweep.agent)
        while True:
            for command in insist(agent.beat):
                if command["type"] == "exit":
                    return
                insist(lambda run=command["run_id"]: finish(sweep, run))
                done.append(command["args"]["x"]["value"])
            time.sleep(0.02)

    with ThreadPoolExecutor(12) as pool:
        working = pool.map(work, range(12))
        for wanted in (15, 30):
            eventually(lambda wanted=wanted: len(done) >= wanted)
            wandb_server.restart()
        list(working)
    assert Counter(done) == dict.fromkeys(range(60), 1)
    assert Counter(node["state"] for node in sweep.view()["runs"]) == {"finished": 60}
    assert [row["number"] for row in sweep.ledger()] == list(range(60))


def test_the_ledger_cannot_be_rewritten(wandb_server: Any) -> None:
    sweep = Sweep(wandb_server, grid(3))
    sweep.agent().next()
    wandb_server.stop()
    connection = sqlite3.connect(f"{wandb_server.root}/server.db", isolation_level=None)
    changes = ("params = '{}'", "number = 5", "run_name = 'other'")
    for statement in ("DELETE FROM issued", *(f"UPDATE issued SET {change}" for change in changes)):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(statement)
    connection.close()


def scheduled(folder: Path, timings: Timings, points: int = 2) -> tuple[Database, Scheduler, int, int]:
    """A scheduler of its own over a small grid: (database, scheduler, sweep, agent)."""
    db = Database(folder / "server.db")
    with db.write() as tx:
        project_id = ensure_project(tx, None, PROJECT)
        sweep_id = store.create_sweep(tx, project_id, {"config": yaml.safe_dump(grid(points))})
        agent_id = store.create_agent(tx, sweep_id, "here")
    return db, Scheduler(db, timings), sweep_id, agent_id


def run_states(db: Database) -> dict[str, str]:
    with db.read() as conn:
        return {row["name"]: row["state"] for row in conn.execute("SELECT name, state FROM runs")}


def test_a_trial_whose_agent_never_came_back_does_not_stay_pending(tmp_path: Path) -> None:
    db, scheduler, sweep_id, agent_id = scheduled(tmp_path, Timings(), points=1)
    (command,) = scheduler.heartbeat(agent_id, frozenset())
    scheduler.tidy()
    assert run_states(db) == {command["run_id"]: "pending"}
    impatient = Scheduler(db, Timings(agent_silence=0.2))
    time.sleep(0.3)
    impatient.tidy()
    assert run_states(db) == {command["run_id"]: "failed"}
    with db.read() as conn:
        assert store.sweep(conn, sweep_id)["state"] == "FINISHED"
    scheduler.close()
    db.close()


def test_a_search_that_hangs_costs_one_poll_and_is_replaced(tmp_path: Path) -> None:
    db, scheduler, _, agent_id = scheduled(tmp_path, Timings(suggestion=4.0))
    before = children_of("self")
    (first,) = scheduler.heartbeat(agent_id, frozenset())
    with db.write() as tx:
        (run_id,) = tx.execute("SELECT id FROM runs WHERE name = ?", (first["run_id"],)).fetchone()
        end_run(tx, run_id, 0)
    (search,) = children_of("self") - before
    os.kill(search, signal.SIGSTOP)
    assert scheduler.heartbeat(agent_id, frozenset()) == []
    assert search not in children_of("self")
    (second,) = scheduler.heartbeat(agent_id, frozenset())
    assert [first["args"], second["args"]] == [{"x": {"value": 0}}, {"x": {"value": 1}}]
    scheduler.close()
    assert children_of("self") <= before
    db.close()
