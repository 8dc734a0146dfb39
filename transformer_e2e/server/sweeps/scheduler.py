"""Decides what agents do next. Everything it promises is in the database before it is answered."""

from __future__ import annotations

import logging
import sqlite3
import time
from typing import Any

from transformer_e2e.server.db import Database
from transformer_e2e.server.runs import store as runs
from transformer_e2e.server.sweeps import ledger, pruning, store
from transformer_e2e.server.sweeps.definition import Definition, parse
from transformer_e2e.server.sweeps.lanes import Lane, Lanes
from transformer_e2e.server.sweeps.results import Results
from transformer_e2e.server.sweeps.search_process import SearchFailed
from transformer_e2e.server.sweeps.timings import Timings
from transformer_e2e.server.wire import Refusal

EXIT = {"type": "exit"}
Command = dict[str, Any]
log = logging.getLogger(__name__)


class Scheduler:
    """One for all sweeps of a server; every method may be called from any thread.

    A heartbeat that needs a new trial takes its sweep's turn and asks the search outside any write
    transaction; all other heartbeats, and whatever trials post, never wait for a search.
    """

    def __init__(self, db: Database, timings: Timings) -> None:
        self._db, self._timings = db, timings
        self._results, self._lanes = Results(), Lanes(timings)
        self._started = time.time()

    def heartbeat(self, agent_id: int, alive: frozenset[str]) -> list[Command]:
        """What the agent should do now, at most one command (function agents read only the first).

        `alive` are the names of the runs whose processes it has; a run of its own that is missing there has
        ended. Raises Refusal 404 for an unknown agent, which then goes home.
        """
        with self._db.write() as tx:
            agent = store.find_agent(tx, agent_id)
            if agent is None:
                raise Refusal(404, f"agent {agent_id} is not registered here; start it again")
            store.note_heartbeat(tx, agent)
            ledger.note_seen(tx, agent_id, alive)
            for entry in ledger.live_of_agent(tx, agent_id):
                if entry.run_name not in alive and not entry.may_be_lost(self._started):
                    store.end_unreported(tx, entry.run_id)
        sweep_id = agent["sweep_id"]
        interval = self._timings.early_termination
        pruning.look(self._db, self._results, self._lanes.of(sweep_id), sweep_id, interval=interval)
        with self._db.read() as conn:
            to_stop = store.run_to_stop(conn, sweep_id, alive)
            state = store.sweep(conn, sweep_id)["state"]
        if to_stop is not None:  # at each heartbeat again: the agent kills when its grace time is over
            return [{"type": "stop", "run_id": to_stop}]
        if alive or state == "PAUSED":
            return []
        return [EXIT] if state in store.OVER else self._next(agent)

    def run_ended(self, run_id: int) -> None:
        """A run has reached a final state: its sweep may be complete."""
        with self._db.read() as conn:
            run = runs.run_by_id(conn, run_id)
        if run is not None and run["sweep_id"] is not None:
            self._finish_if_complete(run["sweep_id"])

    def tidy(self) -> None:
        """End what nobody will report: trials that silent agents never started, search processes unused."""
        self._lanes.end_idle_searches()
        heard_before = time.time() - self._timings.agent_silence
        if heard_before < self._started:
            return  # after a restart every agent gets the full time to come back
        with self._db.read() as conn:
            unstarted = ledger.unstarted_of_silent_agents(conn, heard_before)
        for run_id in unstarted:
            with self._db.write() as tx:
                store.end_unreported(tx, run_id)
            self.run_ended(run_id)

    def close(self) -> None:
        """End the search processes."""
        self._lanes.close()

    def value(self, conn: sqlite3.Connection, run: sqlite3.Row, definition: Definition) -> float | None:
        """The run's result as the search sees it; None: none yet."""
        return self._results.value(conn, run, definition)

    def hears(self, agent: sqlite3.Row) -> bool:
        """Whether the agent was heard of lately."""
        return time.time() - max(agent["heartbeat_at"], self._started) < self._timings.agent_silence

    def _next(self, agent: sqlite3.Row) -> list[Command]:
        """For an idle agent of a running sweep: an old trial, a new one, nothing yet, or home."""
        with self._lanes.turn(agent["sweep_id"]) as lane:
            if lane is None:
                return []
            with self._db.write() as tx:
                sweep = store.sweep(tx, agent["sweep_id"])
                entry = self._unfinished_business(tx, agent)
            if entry is not None:
                word = "run" if entry.attempt == 1 else "resume"
                return [_command(word, sweep, entry.run_name, entry.params)]
            return self._new_trial(sweep, agent, lane)

    def _unfinished_business(self, tx: sqlite3.Connection, agent: sqlite3.Row) -> ledger.Entry | None:
        """A command to this agent whose answer was lost, or else a preempted trial of its sweep."""
        for entry in ledger.live_of_agent(tx, agent["id"]):
            if entry.may_be_lost(self._started):
                ledger.note_sent_again(tx, entry.run_id)
                return entry
        preempted = ledger.oldest_preempted(tx, agent["sweep_id"])
        if preempted is None:
            return None
        store.reopen(tx, preempted.run_id, agent["id"])
        return ledger.begin_attempt(tx, preempted, agent["id"])

    def _new_trial(self, sweep: sqlite3.Row, agent: sqlite3.Row, lane: Lane) -> list[Command]:
        with self._db.read() as conn:
            question = self._question(conn, sweep)
        try:
            params = lane.search.ask(question, self._timings.suggestion)
        except SearchFailed as failure:
            log.error("no new trial for sweep %s: the search failed: %s", sweep["name"], failure)
            return []
        if params is None:
            return [EXIT] if self._finish(sweep["id"]) else []
        with self._db.write() as tx:
            now = store.sweep(tx, sweep["id"])
            asked_for = (sweep["config"], "RUNNING", len(question["trials"]))
            if (now["config"], now["state"], ledger.count(tx, sweep["id"])) != asked_for:
                return []  # paused, ended or changed while the search was thinking
            name = store.short_id()
            run_id = runs.create_pending_run(
                tx, sweep["project_id"], name, sweep["id"], agent["id"], _arguments(params)
            )
            ledger.append(tx, agent, run_id, name, params)
        return [_command("run", sweep, name, params)]

    def _question(self, conn: sqlite3.Connection, sweep: sqlite3.Row) -> dict[str, Any]:
        definition = parse(sweep["config"])
        rows = {row["id"]: row for row in store.results_of_sweep(conn, sweep["id"])}
        trials = [
            {
                "params": entry.params,
                "state": entry.state,
                "value": self._results.value(conn, rows[entry.run_id], definition),
            }
            for entry in ledger.entries(conn, sweep["id"])
        ]
        return {"config": definition.config, "trials": trials, "seed": definition.seed(sweep["name"])}

    def _finish_if_complete(self, sweep_id: int) -> None:
        """FINISHED as soon as the last trial has ended, also when every agent has already left."""
        with self._db.read() as conn:
            sweep = store.sweep(conn, sweep_id)
            expected = parse(sweep["config"]).expected_runs
            if sweep["state"] != "RUNNING" or expected is None or ledger.count(conn, sweep_id) < expected:
                return
        self._finish(sweep_id)

    def _finish(self, sweep_id: int) -> bool:
        """End a sweep whose search has nothing left, unless a trial is open. Says whether it is over."""
        with self._db.write() as tx:
            if not ledger.has_open(tx, sweep_id) and store.sweep(tx, sweep_id)["state"] == "RUNNING":
                store.update_sweep(tx, sweep_id, {"state": "FINISHED"})
            over: bool = store.sweep(tx, sweep_id)["state"] in store.OVER
            return over


def _arguments(params: dict[str, Any]) -> dict[str, Any]:
    return {name: {"value": value} for name, value in params.items()}


def _command(word: str, sweep: sqlite3.Row, run_name: str, params: dict[str, Any]) -> Command:
    """`run` or `resume`: what an agent needs to start a process (wandb 0.31 treats both alike)."""
    program = parse(sweep["config"]).program
    return {"type": word, "run_id": run_name, "program": program, "args": _arguments(params), "logs": []}
