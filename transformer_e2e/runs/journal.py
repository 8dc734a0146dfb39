"""`metrics.jsonl`: the truth about what a trial logged. Row i of it is W&B's `_step` i.

A row is strict JSON: `{"step": optimizer steps, "time": seconds since 1970, "metrics": {name: number}}`;
a number that JSON lacks is one of the texts NaN, Infinity, -Infinity.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from transformer_e2e.runs.durable import explain_full_disk, fsync

JOURNAL_NAME = "metrics.jsonl"
NOT_COMPARED = "perf/"  # speed differs between two runs of the same arithmetic
_NAMED = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}

Metrics = dict[str, float]


class Journal:
    """Append-only rows of one trial. Only for the holder of the trial's lock."""

    def __init__(self, directory: Path) -> None:
        """Opens or makes the file; a last line that a kill or a power cut tore is cut off."""
        self.path = directory / JOURNAL_NAME
        self.count = _cut_torn_end(self.path) if self.path.exists() else 0
        self.differences: list[str] = []  # what a replay did otherwise than the first time
        self._replay: deque[tuple[int, dict[str, Any]]] = deque()  # (step, encoded metrics) to come again
        self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        fsync(directory)  # its name must be there before any checkpoint that counts its rows

    def rewind(self, rows: int) -> None:
        """Training continues from a checkpoint made when `rows` were logged: expect the later ones again.

        A journal that lost rows gets empty ones in their place, so that row i stays W&B's `_step` i.
        """
        for _ in range(self.count, rows):
            self._write({"step": 0, "time": time.time(), "metrics": {}})
        tail = list(_lines(self.path))[rows:]
        self._replay = deque((row["step"], row["metrics"]) for row in tail)

    def append(self, step: int, metrics: Mapping[str, float]) -> int | None:
        """Write the row and return its number; None if an earlier attempt wrote this row already.

        A replayed row that differs (another device, another logging interval) is noted in `differences`.
        Raises DiskFull; the file then ends in the row before.
        """
        encoded = {name: _encode(value) for name, value in metrics.items()}
        while self._replay and self._replay[0][0] < step:
            self.differences.append(f"step {self._replay.popleft()[0]} was logged before, and now is not")
        if self._replay:
            known_step, known = self._replay[0]
            if known_step > step:
                self.differences.append(f"step {step} was not logged before, and now is")
            else:
                self._replay.popleft()
                self.differences += _differences(step, known, encoded)
            return None
        self._write({"step": step, "time": time.time(), "metrics": encoded})
        return self.count - 1

    @property
    def position(self) -> int:
        """Rows logged up to now in the training's own time: those still to be replayed do not count."""
        return self.count - len(self._replay)

    def sync(self) -> None:
        """Flush to disk; before a checkpoint that counts these rows is published."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)

    def rows_from(self, first: int) -> Iterator[tuple[int, Metrics]]:
        """(row number, metrics) of row `first` and later, without the empty ones that stand for lost rows."""
        for number, row in enumerate(_lines(self.path)):
            if number >= first and row["metrics"]:
                yield number, _decode(row["metrics"])

    def best(self, name: str, *, minimize: bool) -> float | None:
        """The best value of one metric in all rows; None if there is none."""
        values = [metrics[name] for _, metrics in self.rows_from(0) if name in metrics]
        values = [value for value in values if not math.isnan(value)]
        if not values:
            return None
        return min(values) if minimize else max(values)

    def _write(self, row: dict[str, Any]) -> None:
        line = (json.dumps(row, allow_nan=False) + "\n").encode()
        end = os.fstat(self._descriptor).st_size
        try:
            with explain_full_disk(self.path.parent, needed=len(line)):
                written = 0
                while written < len(line):  # a nearly full disk takes a part first, and then fails
                    written += os.write(self._descriptor, line[written:])
        except BaseException:
            os.ftruncate(self._descriptor, end)
            raise
        self.count += 1


def read_journal(directory: Path) -> list[dict[str, Any]]:
    """Rows as `{"step", "time", "metrics"}` with numbers decoded, oldest first; for reports and plots."""
    path = directory / JOURNAL_NAME
    if not path.exists():
        return []
    return [{**row, "metrics": _decode(row["metrics"])} for row in _lines(path)]


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.endswith("\n"):  # another process may be writing the last one
                yield json.loads(line)


def _cut_torn_end(path: Path) -> int:
    """Truncate after the last whole row; return the number of rows."""
    good = rows = 0
    with open(path, "rb+") as file:
        for line in file:
            if not line.endswith(b"\n") or not _is_row(line):
                break
            good += len(line)
            rows += 1
        if good != path.stat().st_size:
            file.truncate(good)
    fsync(path)
    return rows


def _is_row(line: bytes) -> bool:
    try:
        row = json.loads(line)
    except ValueError:
        return False
    return isinstance(row, dict) and isinstance(row.get("step"), int) and isinstance(row.get("metrics"), dict)


def _encode(value: float) -> float | int | str:
    if isinstance(value, bool | int):
        return int(value)
    number = float(value)
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def _decode(metrics: Mapping[str, Any]) -> Metrics:
    return {name: _NAMED[value] if isinstance(value, str) else value for name, value in metrics.items()}


def _differences(step: int, before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    names = sorted(name for name in {*before, *now} if not name.startswith(NOT_COMPARED))
    return [
        f"step {step}: {name} was {before.get(name, 'absent')}, now {now.get(name, 'absent')}"
        for name in names
        if before.get(name) != now.get(name)
    ]
