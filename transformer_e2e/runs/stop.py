"""Signals that ask a trial to stop, and when they are acted on.

Until training listens (imports, data, waiting for a lock) a signal ends the program at once, by raising
`StopNow`; from then on it only sets a flag, and the loop saves a checkpoint first. `wandb agent` follows its
SIGTERM with a SIGKILL 30 seconds later.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from enum import Enum
from types import FrameType, TracebackType
from typing import Any

from transformer_e2e.runs.outcome import ExitCode


class Reason(Enum):
    """Who asked, and the exit code if nothing else is found out."""

    TERMINATED = ExitCode.TERMINATED  # SIGTERM: a prune, a cancelled sweep, or somebody's kill
    INTERRUPTED = ExitCode.INTERRUPTED  # SIGINT: Ctrl-C
    PREEMPTED = ExitCode.PREEMPTED  # SIGUSR2: the cluster wants the machine back (Slurm's warning)

    @property
    def exit_code(self) -> int:
        return int(self.value)


_REASONS = {
    signal.SIGTERM: Reason.TERMINATED,
    signal.SIGINT: Reason.INTERRUPTED,
    signal.SIGUSR2: Reason.PREEMPTED,
}


class StopNow(BaseException):
    """Raised out of whatever runs, as KeyboardInterrupt would be; no `except Exception` may catch it."""


class StopRequest:
    """Listens for the signals while it is entered; the first one counts. Main thread only.

    A second Ctrl-C ends the process at once, without clean-up: every file is complete or absent anyway.
    `tell`: the first one is answered on standard error, for what follows takes seconds.
    """

    def __init__(self, *, tell: bool = False) -> None:
        self._tell = tell
        self._reason: Reason | None = None
        self._polled = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopRequest:
        for number in _REASONS:
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def reason(self) -> Reason | None:
        """None: nobody asked."""
        return self._reason

    def poll_from_now(self) -> None:
        """Whoever calls this looks at `reason` from now on, and leaves in an orderly way."""
        self._polled = True

    def ask(self, reason: Reason) -> None:
        """As a signal would, from another thread (W&B's own stop button); needs somebody who polls."""
        self._reason = self._reason or reason

    def check(self) -> None:
        """Raise StopNow if somebody asked."""
        if self._reason:
            raise StopNow

    def _handle(self, number: int, frame: FrameType | None) -> None:
        reason = _REASONS[signal.Signals(number)]
        if reason is Reason.INTERRUPTED and self._reason is Reason.INTERRUPTED:
            _write("\nsecond Ctrl-C: leaving at once\n")
            os._exit(ExitCode.INTERRUPTED)
        first = self._reason is None
        if first and self._tell and self._polled and reason is Reason.INTERRUPTED:
            _write("\nCtrl-C: ending in order, with a checkpoint; a second one leaves at once\n")
        self._reason = self._reason or reason
        if first and not self._polled and threading.current_thread() is threading.main_thread():
            raise StopNow


def _write(text: str) -> None:
    """Past Python's buffers: a signal may come while something else writes to them."""
    with contextlib.suppress(OSError):
        os.write(sys.stderr.fileno(), text.encode())
