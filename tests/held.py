"""Runs a program whose training stays after one row of its metrics: a test meets it there at any speed.

    HELD_AT_ROW=17 HELD_NOTE=folder/note python -m tests.held transformer_e2e.scripts.train --max_steps=48

The note is there from then on. Training goes on when somebody removes it, or when a signal that asks for a
stop has reached this very process.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import time
from pathlib import Path
from typing import Any

from transformer_e2e.runs.journal import Journal
from transformer_e2e.runs.stop import StopRequest


def hold(row: int, note: Path) -> None:
    write, answer = Journal._write, StopRequest._handle
    asked: list[int] = []

    def handle(stop: StopRequest, number: int, frame: Any) -> None:
        asked.append(number)
        answer(stop, number, frame)

    def write_and_stay(journal: Journal, content: dict[str, Any]) -> None:
        write(journal, content)
        if journal.count == row:
            note.touch()
            parent = os.getppid()
            while note.exists() and not asked:
                if os.getppid() != parent:  # a test that has died removes no note
                    os.kill(os.getpid(), signal.SIGKILL)
                time.sleep(0.005)

    StopRequest._handle = handle  # type: ignore[method-assign]
    Journal._write = write_and_stay  # type: ignore[method-assign]


if __name__ == "__main__":
    hold(int(os.environ["HELD_AT_ROW"]), Path(os.environ["HELD_NOTE"]))
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
