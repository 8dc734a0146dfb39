"""Ctrl-C, a kill and a closed terminal, counted instead of raised: agents end before their server does."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any

PATIENCE = 4


class Interrupts:
    """Counts SIGINT, SIGTERM and SIGHUP while it is entered. Main thread only.

    A signal that was ignored before (`nohup`) stays ignored. After `PATIENCE` signals the next one does what
    it did before: a way out of whatever hangs.
    """

    def __init__(self) -> None:
        self.count = 0
        self.first: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupts:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    @property
    def exit_code(self) -> int:
        """128 + the first signal, as shells count; 0 if there was none."""
        return 0 if self.first is None else 128 + self.first

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.first = self.first or signal.Signals(number)
        self.count += 1
        if self.count == PATIENCE:
            self._restore()
