"""Which runs a query wants, and in which order (W&B's Mongo-style filters, `wandb.Api().runs`)."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from transformer_e2e.server.runs.lines_store import lookup
from transformer_e2e.server.wire import Refusal, iso, parse_json, parse_object

_MISSING = object()
_COLUMNS = {
    "state": "state",
    "name": "name",
    "display_name": "display_name",
    "displayName": "display_name",
    "sweep": "sweep_name",
    "sweepName": "sweep_name",
    "sweep_name": "sweep_name",
    "group": "group_name",
    "groupName": "group_name",
    "job_type": "job_type",
    "jobType": "job_type",
    "notes": "notes",
    "description": "description",
    "host": "host",
    "commit": "commit_sha",
    "exitcode": "exit_code",
    "id": "name",
    "username": "entity_name",
    "user": "entity_name",
}
_TIMES = {
    "created_at": "created_at",
    "createdAt": "created_at",
    "updated_at": "updated_at",
    "updatedAt": "updated_at",
    "heartbeat_at": "heartbeat_at",
    "heartbeatAt": "heartbeat_at",
}


def matching(runs: Sequence[sqlite3.Row], filters: Any) -> list[sqlite3.Row]:
    """The runs that a filter accepts; `filters` is a JSON text or None (all). Raises Refusal 400 that names
    the operator or field it does not know."""
    condition = parse_json(filters, "filters") if filters else {}
    return [run for run in runs if _holds(condition, run)]


def ordered(runs: Sequence[sqlite3.Row], order: str | None) -> list[sqlite3.Row]:
    """Sort by `+path` or `-path` (several: separated by commas); runs without the value come last.

    None keeps the given order. Paths are those of filters, e.g. `-summary_metrics.eval/loss`.
    """
    result = list(runs)
    for part in reversed([part.strip() for part in (order or "").split(",") if part.strip()]):
        descending, path = part.startswith("-"), part.lstrip("+-")
        present, absent = [], []
        for run in result:
            key = _sort_key(value_of(run, path))
            if key is None:
                absent.append(run)
            else:
                present.append((key, run))
        present.sort(key=lambda item: item[0], reverse=descending)
        result = [run for _, run in present] + absent
    return result


def value_of(run: sqlite3.Row, path: str) -> Any:
    """A run's value by the path used in filters and orders, or `_MISSING`. Raises Refusal 400."""
    if path in _COLUMNS:
        return run[_COLUMNS[path]]
    if path in _TIMES:
        return run[_TIMES[path]]
    if path == "tags":
        return json.loads(run["tags"])
    root, _, rest = path.partition(".")
    if root == "config" and rest:
        return _config_value(parse_object(run["config"], "config"), rest)
    if root in ("summary_metrics", "summaryMetrics", "summary") and rest:
        found = lookup(parse_object(run["summary"], "summary"), rest)
        return _MISSING if found is None else found
    raise Refusal(
        400,
        f"{path!r} is not something runs can be filtered by; "
        "try state, created_at, config.KEY or summary_metrics.KEY",
    )


def _config_value(config: dict[str, Any], path: str) -> Any:
    """Understands `learning_rate`, `learning_rate.value`, `optimizer.kind` and `optimizer.value.kind`."""
    plain = {
        key: entry["value"] if isinstance(entry, dict) and "value" in entry else entry
        for key, entry in config.items()
    }
    key = path.removesuffix(".value")
    head, _, rest = key.partition(".")
    for name in (key, f"{head}.{rest.removeprefix('value.')}"):
        found = lookup(plain, name)
        if found is not None:
            return found
    return _MISSING


def _sort_key(value: Any) -> tuple[int, Any] | None:
    if value is _MISSING or value is None or value == "NaN":
        return None
    if isinstance(value, (bool, int, float)):
        return None if value != value else (0, value)
    return (1, value if isinstance(value, str) else json.dumps(value, sort_keys=True))


def _holds(condition: Any, run: sqlite3.Row) -> bool:
    if not isinstance(condition, dict):
        raise Refusal(400, f"a filter must be an object such as {{'state': 'finished'}}, not {condition!r}")
    return all(_one_holds(key, wanted, run) for key, wanted in condition.items())


def _one_holds(key: str, wanted: Any, run: sqlite3.Row) -> bool:
    if key == "$and":
        return all(_holds(part, run) for part in wanted)
    if key == "$or":
        return not wanted or any(_holds(part, run) for part in wanted)
    if key == "$nor":
        return not any(_holds(part, run) for part in wanted)
    if key == "$not":
        return not _holds(wanted, run)
    return _compares(value_of(run, key), wanted, key in _TIMES)


def _compares(value: Any, wanted: Any, is_time: bool) -> bool:
    if not (isinstance(wanted, dict) and wanted and all(name.startswith("$") for name in wanted)):
        wanted = {"$eq": wanted}
    return all(_operator(name, value, operand, is_time) for name, operand in wanted.items())


def _operator(name: str, value: Any, operand: Any, is_time: bool) -> bool:
    if name == "$exists":
        return (value is not _MISSING and value is not None) is bool(operand)
    if name == "$not":
        return not _compares(value, operand, is_time)
    if name == "$nin":
        return not _operator("$in", value, operand, is_time)
    if name == "$ne":
        return not _operator("$eq", value, operand, is_time)
    if name not in _OPERATORS:
        raise Refusal(400, f"unknown operator {name!r} in a filter; known: {', '.join(sorted(_OPERATORS))}")
    if value is _MISSING:
        value = None
    if is_time:
        operand = [_seconds(item) for item in operand] if isinstance(operand, list) else _seconds(operand)
    return _OPERATORS[name](value, operand)


def _equal(value: Any, operand: Any) -> bool:
    if isinstance(value, list) and not isinstance(operand, list):
        return operand in value
    return bool(value == operand)


def _among(value: Any, operand: Any) -> bool:
    return any(_equal(value, item) for item in operand)


def _comparison(holds: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(value: Any, operand: Any) -> bool:
        numbers = all(isinstance(item, (int, float)) for item in (value, operand))
        texts = all(isinstance(item, str) for item in (value, operand))
        return (numbers or texts) and holds(value, operand)

    return compare


def _matches(value: Any, operand: Any) -> bool:
    try:
        return isinstance(value, str) and re.search(operand, value) is not None
    except re.error as error:
        raise Refusal(400, f"{operand!r} is not a regular expression: {error}") from None


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": _equal,
    "$in": _among,
    "$gt": _comparison(lambda value, operand: value > operand),
    "$gte": _comparison(lambda value, operand: value >= operand),
    "$lt": _comparison(lambda value, operand: value < operand),
    "$lte": _comparison(lambda value, operand: value <= operand),
    "$regex": _matches,
}


def _seconds(operand: Any) -> Any:
    """Seconds since 1970 of an ISO 8601 text (UTC unless it says otherwise); numbers stay as they are."""
    if not isinstance(operand, str):
        return operand
    try:
        moment = datetime.fromisoformat(operand)
    except ValueError:
        raise Refusal(400, f"{operand!r} is not a time such as {iso(0.0)}") from None
    return moment.timestamp() if moment.tzinfo else datetime.fromisoformat(f"{operand}+00:00").timestamp()
