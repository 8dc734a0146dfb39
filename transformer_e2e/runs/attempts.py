"""The ledger of attempts: which process worked on a trial, when, where, and how it ended.

`attempts.jsonl` gets one line at the start and one at the end of each; a start without an end was killed.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from transformer_e2e.runs.durable import explain_full_disk

ATTEMPTS_NAME = "attempts.jsonl"


class Attempt:
    """This process's work on a trial. Only for the holder of the trial's lock."""

    def __init__(self, directory: Path, *, device: str | None) -> None:
        self._path = directory / ATTEMPTS_NAME
        self._began = time.monotonic()
        known = read_attempts(directory)
        self.number = 1 + sum(1 for line in known if line.get("event") == "start")
        self.before = _last_one(known)  # how the one before ended, for people; None: there was none
        self._append({"event": "start", "host": socket.gethostname(), "pid": os.getpid(), "device": device})

    @property
    def seconds(self) -> float:
        """Wall time since the start."""
        return time.monotonic() - self._began

    def end(self, outcome: str, *, exit_code: int, **facts: Any) -> None:
        """`facts`: what else is known, such as steps and device."""
        self._append(
            {
                "event": "end",
                "outcome": outcome,
                "exit_code": exit_code,
                "seconds": round(self.seconds, 3),
                **facts,
            }
        )

    def _append(self, line: dict[str, Any]) -> None:
        text = json.dumps({"attempt": self.number, "time": datetime.now(UTC).isoformat(), **line}) + "\n"
        with (
            explain_full_disk(self._path.parent, needed=len(text)),
            open(self._path, "a", encoding="utf-8") as file,
        ):
            if file.tell() and not _ends_in_newline(self._path):
                file.write("\n")  # a kill tore the last line
            file.write(text)


def read_attempts(directory: Path) -> list[dict[str, Any]]:
    """Every line that is whole, oldest first; none if there is no ledger."""
    try:
        lines = (directory / ATTEMPTS_NAME).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        try:
            found.append(json.loads(line))
        except ValueError:  # torn by a kill or a power cut
            continue
    return [line for line in found if isinstance(line, dict)]


def total_seconds(directory: Path) -> float:
    """Wall time of all attempts that ended by themselves."""
    return sum(
        float(line.get("seconds", 0)) for line in read_attempts(directory) if line.get("event") == "end"
    )


def _last_one(lines: Sequence[Mapping[str, Any]]) -> str | None:
    starts = [line for line in lines if line.get("event") == "start"]
    if not starts:
        return None
    number, place = starts[-1].get("attempt"), f"{starts[-1].get('host')}:{starts[-1].get('pid')}"
    for line in reversed(lines):
        if line.get("event") == "end" and line.get("attempt") == number:
            return (
                f"attempt {number} ({place}) ended: {line.get('outcome')}, exit code {line.get('exit_code')}"
            )
    return f"attempt {number} ({place}) was killed"


def _ends_in_newline(path: Path) -> bool:
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
