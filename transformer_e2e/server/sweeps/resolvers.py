"""GraphQL fields of sweeps and agents: what clients ask, in the words of the tables.

Operations of wandb 0.31: UpsertSweep, SweepWithRuns, GetSweep, GetSweeps, GetSweepState, CreateAgent,
Heartbeat, GetSweepAgents, GetSweepAgent, GetAgentRuns.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from typing import Any

from transformer_e2e.errors import nearest
from transformer_e2e.server.connection import page
from transformer_e2e.server.runs import store as runs
from transformer_e2e.server.sweeps import definition, store
from transformer_e2e.server.wire import Refusal, decode_id, encode_id, iso, parse_object

Row = sqlite3.Row | dict[str, Any]
PRIOR_RUNS = (
    "the runs given with --prior_run are not used: this server's search learns from the sweep's own runs"
)


def _upsert_sweep(_parent: None, info: Any, input: dict[str, Any]) -> dict[str, Any]:
    """Create a sweep, or change the one that `id` names: its config, its names, its state.

    Answers a list of warnings. Raises Refusal 400 with every problem of a config, and changes nothing then.
    """
    warnings: list[str] = []
    fields = {
        column: input[key]
        for column, key in (
            ("config", "config"),
            ("display_name", "displayName"),
            ("description", "description"),
        )
        if input.get(key) is not None
    }
    if "config" in fields:
        warnings = definition.check(fields["config"])
    if input.get("priorRunsFilters"):
        warnings.append(PRIOR_RUNS)
    if input.get("state"):
        fields["state"] = _checked_state(input["state"])
    with info.context.db.write() as tx:
        sweep_id = _changed(tx, input["id"], fields) if input.get("id") else _created(tx, input, fields)
        sweep = store.sweep(tx, sweep_id)
    return {"sweep": sweep, "config_validation_warnings": warnings}


def _checked_state(given: Any) -> str:
    state = str(given).upper()
    if state not in store.STATES:
        known = f"use {', '.join(store.STATES)}{nearest(state, store.STATES)}"
        raise Refusal(400, f"{given!r} is not a state that a sweep can be given; {known}")
    return state


def _created(tx: sqlite3.Connection, input: dict[str, Any], fields: dict[str, Any]) -> int:
    if "config" not in fields:
        raise Refusal(400, "a new sweep needs a config; to change a sweep, give its id")
    project_id = runs.ensure_project(tx, input.get("entityName"), input.get("projectName"))
    return store.create_sweep(tx, project_id, fields)


def _changed(tx: sqlite3.Connection, encoded: str, fields: dict[str, Any]) -> int:
    name, project, entity = (*decode_id("Sweep:v1", encoded), "", "")[:3]
    sweep = store.find_sweep(tx, entity, project, name)
    if sweep is None:
        raise Refusal(400, f"there is no sweep {entity}/{project}/{name}")
    store.update_sweep(tx, sweep["id"], fields)
    if fields.get("state") == "CANCELED":
        for run_id in store.live_runs(tx, sweep["id"]):
            runs.request_stop(tx, run_id, "cancelled")
    sweep_id: int = sweep["id"]
    return sweep_id


def _create_agent(_parent: None, info: Any, input: dict[str, Any]) -> dict[str, Any]:
    """Register an agent of a sweep; its id is what it must send with each heartbeat."""
    with info.context.db.write() as tx:
        project = runs.find_project(tx, input.get("entityName"), input.get("projectName"))
        name = str(input.get("sweep"))
        sweep = store.find_sweep(tx, project["entity"], project["name"], name) if project else None
        if sweep is None:
            raise Refusal(400, f"there is no sweep {name!r} in project {input.get('projectName')!r}")
        agent = store.find_agent(tx, store.create_agent(tx, sweep["id"], str(input.get("host"))))
    return {"agent": agent}


def _agent_heartbeat(_parent: None, info: Any, input: dict[str, Any]) -> dict[str, Any]:
    """The agent says which runs it has alive (`runState`: JSON {run name: true}) and is told what to do.

    `commands` is a JSON string with a list of at most one command; see Scheduler.heartbeat.
    """
    states = parse_object(input.get("runState"), "runState")
    agent_id = _agent_row_id(input.get("id"))
    commands = info.context.scheduler.heartbeat(agent_id, frozenset(n for n in states if states[n]))
    return {"agent": {"id": agent_id}, "commands": json.dumps(commands)}


def _agent_row_id(encoded: Any) -> int:
    (row_id, *_) = decode_id("Agent", encoded)
    if not row_id.isdecimal():
        raise Refusal(400, f"{encoded!r} is not the id of an agent")
    return int(row_id)


def _sweep_of_project(project: Row, info: Any, sweepName: str | None = None) -> Row | None:
    with info.context.db.read() as conn:
        return store.find_sweep(conn, project["entity"], project["name"], str(sweepName))


def _sweep_of_run(run: Row, info: Any) -> Row | None:
    if run["sweep_id"] is None:
        return None
    with info.context.db.read() as conn:
        return store.sweep(conn, run["sweep_id"])


def _sweeps(
    project: Row, info: Any, after: str | None = None, first: int | None = None, **_: Any
) -> dict[str, Any]:
    with info.context.db.read() as conn:
        return page(store.sweeps_of_project(conn, project["id"]), first, after)


def _total_sweeps(project: Row, info: Any) -> int:
    with info.context.db.read() as conn:
        return len(store.sweeps_of_project(conn, project["id"]))


def _project_of_sweep(sweep: Row, info: Any) -> Row:
    with info.context.db.read() as conn:
        return runs.project_by_id(conn, sweep["project_id"])


def _runs_of_sweep(sweep: Row, info: Any) -> dict[str, Any]:
    with info.context.db.read() as conn:
        return page(runs.select_runs(conn, "runs.sweep_id = ?", (sweep["id"],)))


def _run_count(sweep: Row, info: Any) -> int:
    with info.context.db.read() as conn:
        return store.run_count(conn, sweep["id"])


def _best_loss(sweep: Row, info: Any) -> float | None:
    described = definition.parse(sweep["config"])
    with info.context.db.read() as conn:
        rows = store.results_of_sweep(conn, sweep["id"])
        values = [info.context.scheduler.value(conn, row, described) for row in rows]
    return described.best([value for value in values if value is not None])


def _agents(sweep: Row, info: Any) -> dict[str, Any]:
    with info.context.db.read() as conn:
        return page(store.agents_of_sweep(conn, sweep["id"]))


def _agent(sweep: Row, info: Any, agentName: Any = None) -> Row | None:
    """By name or by id: clients send whichever they have."""
    with info.context.db.read() as conn:
        for agent in store.agents_of_sweep(conn, sweep["id"]):
            if agentName in (str(agent["id"]), encode_id("Agent", agent["id"])):
                return agent
    return None


def _runs_of_agent(
    agent: Row, info: Any, after: str | None = None, first: int | None = None, **_: Any
) -> dict[str, Any]:
    with info.context.db.read() as conn:
        return page(runs.select_runs(conn, "runs.agent_id = ?", (agent["id"],)), first, after)


def _total_runs(agent: Row, info: Any) -> int:
    with info.context.db.read() as conn:
        return len(runs.select_runs(conn, "runs.agent_id = ?", (agent["id"],)))


def _agent_state(agent: Row, info: Any) -> str:
    return "RUNNING" if info.context.scheduler.hears(agent) else "FINISHED"


def _definition_field(name: str) -> Callable[[Row, Any], Any]:
    return lambda sweep, info: getattr(definition.parse(sweep["config"]), name)


def _time(column: str) -> Callable[[Row, Any], str | None]:
    return lambda row, info: iso(row[column])


RESOLVERS: dict[str, dict[str, Callable[..., Any]]] = {
    "Mutation": {
        "upsertSweep": _upsert_sweep,
        "createAgent": _create_agent,
        "agentHeartbeat": _agent_heartbeat,
    },
    "Project": {"sweep": _sweep_of_project, "sweeps": _sweeps, "totalSweeps": _total_sweeps},
    "Run": {"sweep": _sweep_of_run},
    "Sweep": {
        "id": lambda sweep, info: encode_id("Sweep:v1", sweep["name"], sweep["project"], sweep["entity"]),
        "project": _project_of_sweep,
        "method": _definition_field("method"),
        "createdAt": _time("created_at"),
        "updatedAt": _time("updated_at"),
        "heartbeatAt": _time("heartbeat_at"),
        "earlyStopJobRunning": lambda sweep, info: False,
        "bestLoss": _best_loss,
        "runCount": _run_count,
        "runCountExpected": _definition_field("expected_runs"),
        "runs": _runs_of_sweep,
        "agents": _agents,
        "agent": _agent,
    },
    "Agent": {
        "id": lambda agent, info: encode_id("Agent", agent["id"]),
        "name": lambda agent, info: str(agent["id"]),
        "state": _agent_state,
        "totalRuns": _total_runs,
        "createdAt": _time("created_at"),
        "heartbeatAt": _time("heartbeat_at"),
        "runs": _runs_of_agent,
    },
}
