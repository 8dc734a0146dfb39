"""Interrupts a real training command in every way that this machine can, at moments drawn from a seed."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.serving import ServerProcess
from tests.training import Workplace

# What the command answers; by itself it may have ended (0) a moment before the signal.
EXIT_CODES = {
    "kill": {-signal.SIGKILL, 0},
    "term": {143, -signal.SIGTERM, 0},  # before Python has a handler, the kernel ends the process
    "int": {130, -signal.SIGINT, 0},
    "int_twice": {130, -signal.SIGINT, 0},
}
KILLED_PYTHON = "KeyboardInterrupt"  # Ctrl-C before Python has read our first line: its exit code is 1
WAIT_SECONDS = 400.0  # for a moment, or for an end; a start alone took 60 s on two very busy cores


@dataclass(frozen=True)
class Interruption:
    kind: str  # a key of EXIT_CODES, or what happens to W&B: server_blink, server_gone, client
    # "start": after the command was given; "rows": after row `rows`, and one row of that process's own; or a
    # status of the record
    when: str
    rows: int
    delay: float  # seconds after that

    def __str__(self) -> str:
        place = f"row {self.rows}" if self.when == "rows" else self.when
        return f"{self.kind} {self.delay:.3f} s after {place}"


def draw(seed: int, *, rows: int) -> list[Interruption]:
    """Twenty interruptions in the order in which a trial of `rows` rows meets them.

    Most hit the training; others the imports before it, the upload, and the moment between record and delete.
    """
    random_ = random.Random(seed)
    kinds = ["kill"] * 5 + ["term"] * 4 + ["int"] * 3 + ["int_twice"]
    kinds += ["server_blink"] * 2 + ["client"] * 2
    random_.shuffle(kinds)
    kinds.insert(1, "server_gone")  # during an upload: the trial goes on to its end without it
    plan = [Interruption(kinds.pop(), "start", 0, random_.uniform(0.0, 5.0)) for _ in range(2)]
    moments = sorted(random_.randrange(1, rows) for _ in range(13))
    plan += [Interruption(kinds.pop(), "rows", row, random_.uniform(0.0, 0.2)) for row in moments]
    plan.insert(8, Interruption("kill", "start", 0, random_.uniform(0.0, 1.0)))
    plan += [Interruption(kinds.pop(), "trained", 0, random_.uniform(0.0, 1.5)) for _ in range(3)]
    plan.append(Interruption("kill", "uploaded", 0, 0.0))
    return plan


@dataclass
class Victim:
    """A training command that is given again whenever it has ended, until its trial is done."""

    workplace: Workplace
    server: ServerProcess
    checkpoints: str
    settings: dict[str, Any]
    process: subprocess.Popen[str] | None = None
    rows_before: int = 0  # those that it found at its start
    story: list[str] = field(default_factory=list)  # what was done and printed, for a failing test

    def meet(self, interruption: Interruption) -> None:
        """Bring the command to the moment, starting it if need be, and interrupt it there."""
        if interruption.when == "start":
            self.give_up()
        if not self.runs:
            self.end(expected={0})
            self.start()
        self._wait_for(interruption)
        time.sleep(interruption.delay)
        self.story.append(f"--- {interruption} (at row {len(self.workplace.rows(self.checkpoints))})")
        getattr(self, f"_{interruption.kind}")()
        if interruption.kind in EXIT_CODES:
            self.end(expected=EXIT_CODES[interruption.kind])

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        self.rows_before = len(self.workplace.rows(self.checkpoints))
        self.process = self.workplace.start(self.server.env, self.checkpoints, **self.settings)

    def end(self, expected: set[int]) -> None:
        """Wait for the command to end by itself."""
        if self.process is None:
            return
        try:
            output, _ = self.process.communicate(timeout=WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            output, _ = self.process.communicate()
            self.story.append(output)
            raise AssertionError("the command did not end") from None
        self.story.append(f"{output.strip()}\n[exit code {self.process.returncode}]")
        code = self.process.returncode
        if code == 1 and KILLED_PYTHON in output and -signal.SIGINT in expected:
            code = -signal.SIGINT
        assert code in expected, f"exit code {code}"
        self.process = None

    def give_up(self) -> None:
        """Leave no process behind."""
        if self.runs:
            self._kill()
            self.end(expected={-signal.SIGKILL})

    def _wait_for(self, interruption: Interruption) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while self.runs and not self._reached(interruption):
            assert time.monotonic() < deadline, f"waited in vain for {interruption}"
            time.sleep(0.005)

    def _reached(self, interruption: Interruption) -> bool:
        if interruption.when == "start":
            return True
        if interruption.when == "rows":
            return len(self.workplace.rows(self.checkpoints)) >= max(interruption.rows, self.rows_before + 1)
        with contextlib.suppress(ValueError):  # no record yet
            status = self.workplace.record(self.checkpoints)["status"]
            return status != "trained" or interruption.when == "trained"
        return False

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    def _kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _term(self) -> None:
        self._signal(signal.SIGTERM)

    def _int(self) -> None:
        self._signal(signal.SIGINT)

    def _int_twice(self) -> None:
        self._signal(signal.SIGINT)
        time.sleep(0.1)
        self._signal(signal.SIGINT)

    def _server_blink(self) -> None:
        self.server.restart()

    def _server_gone(self) -> None:
        """Back only when the command has ended without it."""
        self.server.kill()
        self.end(expected={0, 2})
        self.server.start()

    def _client(self) -> None:
        assert self.process is not None
        for pid in client_helpers(self.process.pid):
            with contextlib.suppress(ProcessLookupError):  # it was just ending
                os.kill(pid, signal.SIGKILL)


def client_helpers(pid: int) -> list[int]:
    """The processes that W&B's client has started for process `pid`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            name, _, rest = (entry / "stat").read_text().partition("(")[2].rpartition(")")
            if name.startswith("wandb-core") and int(rest.split()[1]) == pid:
                found.append(int(entry.name))
    return found
