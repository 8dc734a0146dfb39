"""The rows, console lines and signs of life that a running trial sends (W&B's file_stream)."""

from __future__ import annotations

import sqlite3
import time
from typing import Any

from transformer_e2e.server.context import Context
from transformer_e2e.server.runs import lines_store, store
from transformer_e2e.server.wire import Refusal, parse_object

RunPath = tuple[str, str, str]  # entity, project, short id


def receive(context: Context, path: RunPath, body: Any) -> dict[str, Any]:
    """Keep what one request brings, all of it or nothing, and say whether the trial was asked to stop.

    Offsets make a repeated request harmless: the client repeats whatever was not answered. Raises Refusal:
    400 for a malformed request, 410 (which the client takes as final) for a run that is not there.
    """
    files, exit_code = _checked(body)
    with context.db.write() as tx:
        run = store.find_run(tx, *path)
        if run is None:
            raise Refusal(410, f"run {'/'.join(path)} does not exist; it may have been deleted")
        for name, (offset, content) in files.items():
            _keep(tx, run["id"], name, offset, content)
        _sign_of_life(tx, run, bool(body.get("preempting")))
        if exit_code is not None:
            store.end_run(tx, run["id"], exit_code)
    if exit_code is not None:
        context.scheduler.run_ended(run["id"])
    return {"stopped": bool(run["stop_requested"])}


def _checked(body: Any) -> tuple[dict[str, tuple[int, list[str]]], int | None]:
    """The files by name as (offset, lines), and the exit code of a request that completes the run."""
    if not isinstance(body, dict):
        raise Refusal(400, "the body of a file stream must be a JSON object")
    parts, code = body.get("files") or {}, body.get("exitcode") or 0
    if not isinstance(parts, dict) or not isinstance(code, int):
        raise Refusal(400, "'files' must be an object and 'exitcode' a whole number")
    files = {name: _checked_part(name, part) for name, part in parts.items()}
    return files, code if body.get("complete") else None


def _checked_part(name: str, part: Any) -> tuple[int, list[str]]:
    if not isinstance(part, dict):
        raise Refusal(400, f"{name}: must be an object with 'offset' and 'content'")
    offset, content = part.get("offset") or 0, part.get("content") or []
    if not isinstance(offset, int) or offset < 0 or not isinstance(content, list):
        raise Refusal(400, f"{name}: 'offset' must be a line number and 'content' a list of lines")
    return offset, [str(line) for line in content]


def _keep(tx: sqlite3.Connection, run_id: int, name: str, offset: int, content: list[str]) -> None:
    if name in ("wandb-history.jsonl", "wandb-events.jsonl"):
        for line in content:
            parse_object(line, f"a line of {name}")
        table: lines_store.Table = "history" if name == "wandb-history.jsonl" else "events"
        lines_store.append(tx, table, run_id, offset, content)
    elif name == "wandb-summary.json" and content:
        parse_object(content[-1], name)
        store.update_run(tx, run_id, summary=content[-1])
    elif name == "output.log":
        lines_store.overwrite(tx, "console", run_id, offset, content)


def _sign_of_life(tx: sqlite3.Connection, run: sqlite3.Row, preempting: bool) -> None:
    columns: dict[str, Any] = {"heartbeat_at": time.time()}
    if run["state"] in ("pending", "crashed"):  # declared dead too early
        columns["state"] = "running"
    if preempting:
        columns |= {"preempting": 1, "state": "preempting"}
    store.update_run(tx, run["id"], **columns)
