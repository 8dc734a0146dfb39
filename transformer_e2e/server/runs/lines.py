"""GraphQL fields of a run that come from the lines it sent: metrics, system metrics, console."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from transformer_e2e.server.runs import lines_store
from transformer_e2e.server.runs.lines_store import Table, as_number, flattened, lookup
from transformer_e2e.server.wire import Refusal, parse_object

Item = TypeVar("Item")
MAX_PAGE = 10_000  # console lines in one answer
_CONSOLE_LINE = re.compile(r"(ERROR )?(\d{4}-\d\d-\d\dT[\d:.]+)Z? ?(.*)", re.DOTALL)


def spread(items: Sequence[Item], samples: int | None) -> list[Item]:
    """At most `samples` items (None: all), evenly spread, the first and the last among them."""
    if samples is None or len(items) <= samples:
        return list(items)
    if samples < 2:
        return list(items[-samples:]) if samples == 1 else []
    last = len(items) - 1
    return [items[round(index * last / (samples - 1))] for index in range(samples)]


def _count(table: Table) -> Callable[..., int]:
    def resolve(run: sqlite3.Row, info: Any) -> int:
        with info.context.db.read() as conn:
            return lines_store.count(conn, table, run["id"])

    return resolve


def _tail(table: Table) -> Callable[..., str]:
    def resolve(run: sqlite3.Row, info: Any) -> str:
        """A JSON list with the last line alone: it is all that a resuming client looks at."""
        with info.context.db.read() as conn:
            last = lines_store.tail(conn, table, run["id"])
        return json.dumps([] if last is None else [last])

    return resolve


def _history(
    run: sqlite3.Row,
    info: Any,
    samples: int | None = None,
    minStep: int | None = None,
    maxStep: int | None = None,
) -> list[str]:
    """Rows with minStep <= _step < maxStep, as the texts that were sent (a bare NaN in them stays one)."""
    with info.context.db.read() as conn:
        return spread([text for _, text in lines_store.history(conn, run["id"], minStep, maxStep)], samples)


def _events(run: sqlite3.Row, info: Any, samples: int | None = None) -> list[str]:
    with info.context.db.read() as conn:
        return spread([text for _, text in lines_store.texts(conn, "events", run["id"])], samples)


def _system_metrics(run: sqlite3.Row, info: Any) -> str:
    with info.context.db.read() as conn:
        return lines_store.tail(conn, "events", run["id"]) or "{}"


def _sampled_history(run: sqlite3.Row, info: Any, specs: Any = None) -> list[list[Any]]:
    """For each specification (a JSON text) the rows that have all its keys, holding only those keys."""
    wanted = specs if isinstance(specs, list) else [specs or "{}"]  # a lone value stands for a list of one
    with info.context.db.read() as conn:
        return [_sampled(conn, run["id"], parse_object(spec, "a specification")) for spec in wanted]


def _sampled(conn: sqlite3.Connection, run_id: int, spec: dict[str, Any]) -> list[dict[str, Any]]:
    """minStep and maxStep belong to the interval. No keys, no rows: so a sweep's overview asks."""
    keys, last = spec.get("keys"), spec.get("maxStep")
    if not keys:
        return []
    found = []
    bound = None if last is None else last + 1
    for row in lines_store.history_rows(conn, run_id, spec.get("minStep"), bound):
        values = {key: lookup(row, key) for key in keys}
        if all(value is not None for value in values.values()):
            found.append(values)
    return spread(found, spec.get("samples"))


def _history_keys(run: sqlite3.Row, info: Any) -> dict[str, Any]:
    """Which metrics there are, by flattened name, with the type and number of their values."""
    keys: dict[str, dict[str, Any]] = {}
    last_step = -1
    with info.context.db.read() as conn:
        rows = list(lines_store.history_rows(conn, run["id"]))
    for row in rows:
        last_step = max(last_step, row["_step"])
        for name, value in flattened(row).items():
            _note(keys, name, value)
    return {
        "sets": [],
        "keys": {name: _described(entry) for name, entry in keys.items()},
        "lastStep": last_step,
    }


def _note(keys: dict[str, dict[str, Any]], name: str, value: Any) -> None:
    entry = keys.setdefault(name, {"counts": {}, "monotonic": True, "previous": None})
    number = as_number(value)
    kind = "number" if number is not None else "string" if isinstance(value, str) else "other"
    entry["counts"][kind] = entry["counts"].get(kind, 0) + 1
    if number is None:
        entry["monotonic"] = False
        return
    entry["monotonic"] &= entry["previous"] is None or number > entry["previous"]
    entry["previous"] = number


def _described(entry: dict[str, Any]) -> dict[str, Any]:
    previous = entry["previous"]
    finite = previous is not None and abs(previous) != float("inf") and previous == previous
    return {
        "typeCounts": [{"type": kind, "count": count} for kind, count in entry["counts"].items()],
        "monotonic": entry["monotonic"],
        "previousValue": previous if finite else None,
    }


def _parquet_history(run: sqlite3.Row, info: Any, liveKeys: list[str] | None = None) -> dict[str, Any]:
    """There are no parquet files; the client then reads pages of `history`."""
    return {"parquet_urls": [], "live_data": []}


def _log_lines(
    run: sqlite3.Row,
    info: Any,
    first: int | None = None,
    after: str | None = None,
    last: int | None = None,
) -> dict[str, Any]:
    with info.context.db.read() as conn:
        if last is not None:
            end = lines_store.count(conn, "console", run["id"])
            found = lines_store.texts(conn, "console", run["id"], max(0, end - min(last, MAX_PAGE)))
            return _log_page(found, more=False)
        size = MAX_PAGE if first is None else min(first, MAX_PAGE)
        start = int(after) + 1 if after and after.isdigit() else 0
        if after and not start:
            raise Refusal(400, f"after={after!r} is not a cursor that this server gave")
        found = lines_store.texts(conn, "console", run["id"], start, size + 1)
    return _log_page(found[:size], more=len(found) > size)


def _log_page(found: list[tuple[int, str]], more: bool) -> dict[str, Any]:
    edges = [{"node": console_line(number, text), "cursor": str(number)} for number, text in found]
    end = edges[-1]["cursor"] if edges else None
    return {"edges": edges, "page_info": {"end_cursor": end, "has_next_page": more}}


def console_line(number: int, text: str) -> dict[str, Any]:
    """A line as `[ERROR ]<time> text` (the client's form), taken apart; other text is kept whole."""
    match = _CONSOLE_LINE.fullmatch(text)
    error, moment, line = match.groups() if match else (None, None, text)
    return {
        "number": number,
        "timestamp": f"{moment}Z" if moment else None,
        "level": "error" if error else "",
        "label": "",
        "line": line,
    }


RESOLVERS: dict[str, dict[str, Callable[..., Any]]] = {
    "Run": {
        "historyLineCount": _count("history"),
        "eventsLineCount": _count("events"),
        "logLineCount": _count("console"),
        "historyTail": _tail("history"),
        "eventsTail": _tail("events"),
        "history": _history,
        "events": _events,
        "systemMetrics": _system_metrics,
        "sampledHistory": _sampled_history,
        "historyKeys": _history_keys,
        "parquetHistory": _parquet_history,
        "logLines": _log_lines,
    }
}
