"""Trials that are done as a table: which were best, what they cost, where their models are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from transformer_e2e.runs.completion import Ending, Record
from transformer_e2e.runs.durable import in_words
from transformer_e2e.runs.times import local_time

_GAP = "  "
_ALWAYS, _SELDOM = 4, 8  # columns that stay in the narrowest table; those from here on go first
_SHORTEST_HASH = 4  # digits of the hash that stay when a run ID is shortened
_PLACES = {Ending.FINISHED: 0, Ending.EARLY_STOPPED: 0, Ending.PRUNED: 1, Ending.DIVERGED: 2}


@dataclass(frozen=True)
class _Column:
    title: str
    cell: Callable[[Record], str]
    right: bool = True


def _by_metric(record: Record) -> tuple[object, ...]:
    """Trained ones before pruned before diverged ones, in each the best first, those without a value last."""
    value = record.best_metric
    signed = 0.0 if value is None else value if record.goal == "minimize" else -value
    return (record.metric_name, _PLACES[record.outcome], value is None, signed, record.run_id)


ORDERS: dict[str, Callable[[Record], tuple[object, ...]]] = {
    "metric": _by_metric,
    "ended": lambda record: (record.created_at, record.run_id),
    "hours": lambda record: (-record.seconds, record.run_id),
    "steps": lambda record: (-(record.steps or 0), record.run_id),
    "freed": lambda record: (-record.freed_bytes, record.run_id),
    "name": lambda record: (record.run_id,),
}


def ordered(records: Iterable[Record], by: str) -> list[Record]:
    """`by` is one of ORDERS: the best first, the oldest first, or the largest first."""
    return sorted(records, key=ORDERS[by])


def best_run_ids(records: Iterable[Record]) -> set[str]:
    """The trial with the best value of each metric, among those that were not pruned and did not diverge."""
    first: dict[tuple[str, str], str] = {}
    for record in sorted(records, key=_by_metric):
        if _PLACES[record.outcome] == 0 and record.best_metric is not None:
            first.setdefault((record.metric_name, record.goal), record.run_id)
    return set(first.values())


def table(records: Sequence[Record], *, best: set[str], width: int | None) -> list[str]:
    """One line a record under a heading, in the given order; those in `best` marked by a star.

    `width` [characters]; None: as wide as it gets. Where it is too narrow, columns go, named in a last line,
    and run IDs become beginnings that are still unique.
    """
    columns, hidden = _columns(records, best), []
    while width is not None and _wide(columns, records) > width:
        if len(columns) > _SELDOM:
            hidden.append(columns.pop().title)
        elif columns[1].title == "run ID":
            columns[1] = _short_ids(records)
        elif len(columns) > _ALWAYS:
            hidden.append(columns.pop().title)
        else:
            break
    rows = [[column.title for column in columns], *([column.cell(r) for column in columns] for r in records)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(columns))]
    lines = []
    for row in rows:
        cells = [
            f"{cell:>{size}}" if column.right else f"{cell:<{size}}"
            for cell, size, column in zip(row, widths, columns, strict=True)
        ]
        lines.append(_GAP.join(cells).rstrip())
    if hidden:
        lines.append(f"(hidden: {', '.join(reversed(hidden))}; see --json)")
    return lines


def totals(records: Sequence[Record], best: set[str]) -> list[str]:
    """What the table adds up to, and what its signs mean."""
    counts = {ending: sum(record.outcome is ending for record in records) for ending in Ending}
    ends = ", ".join(f"{count} {ending}" for ending, count in counts.items() if count)
    hours = sum(record.seconds for record in records) / 3600
    freed = sum(record.freed_bytes for record in records)
    lines = [f"{ends}; {hours:.2f} hours of training, {in_words(freed)} freed"]
    metrics = sorted({f"{r.metric_name} ({r.goal})" for r in records if r.run_id in best})
    if metrics:
        lines.append(f"* best {', '.join(metrics)}; artifact v0 of a trial is model-<run ID>:v0")
    return lines


def _columns(records: Sequence[Record], best: set[str]) -> list[_Column]:
    """The most important first: the last ones go first where there is no room."""
    names = {record.metric_name for record in records}
    return [
        _Column("", lambda record: "*" if record.run_id in best else "", right=False),
        _Column("run ID", lambda record: record.run_id, right=False),
        _Column("outcome", lambda record: str(record.outcome), right=False),
        _Column(names.pop(), _value) if len(names) == 1 else _Column("metric", _named_value),
        _Column("steps", lambda record: "-" if record.steps is None else str(record.steps)),
        _Column("artifact", _artifact, right=False),
        _Column("hours", lambda record: f"{record.seconds / 3600:.3f}"),
        _Column("freed", lambda record: in_words(record.freed_bytes) if record.freed_bytes else "-"),
        _Column("weights", lambda record: str(record.status), right=False),
        _Column("ended", lambda record: local_time(record.created_at), right=False),
    ]


def _wide(columns: Sequence[_Column], records: Sequence[Record]) -> int:
    widths = [max(len(column.title), *(len(column.cell(r)) for r in records)) for column in columns]
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _short_ids(records: Sequence[Record]) -> _Column:
    ids = sorted(record.run_id for record in records)
    short = {}
    for i, run_id in enumerate(ids):
        same = max((_common(run_id, other) for other in (*ids[i - 1 : i], *ids[i + 1 : i + 2])), default=0)
        readable = run_id.rfind("-") + 1
        short[run_id] = run_id[: max(same + 1, readable + _SHORTEST_HASH)]
    return _Column("run ID...", lambda record: short[record.run_id], right=False)


def _common(one: str, other: str) -> int:
    """Length of the common beginning."""
    return next(
        (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )


def _value(record: Record) -> str:
    return "-" if record.best_metric is None else f"{record.best_metric:.5g}"


def _named_value(record: Record) -> str:
    return f"{record.metric_name} {_value(record)}"


def _artifact(record: Record) -> str:
    name, _, version = (record.artifact or "-").rpartition("/")[2].rpartition(":")
    return version if name in ("", f"model-{record.run_id}") else f"{name}:{version}"
