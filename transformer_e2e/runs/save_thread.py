"""Saves in the background: one at a time, out of the way of whatever computes meanwhile."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
# Above the process's own, so about a tenth of a core that a computing thread wants, too. Measured on two busy
# cores: with 19, a save of 64 MB takes over 2 s, and the next one has to wait for it.
_NICER = 10
_NICEST = 19


class SaveThread(Generic[T]):
    """Does one piece of work at a time in a thread of its own. For one owner, which asks from one thread.

    The thread is no daemon: an interpreter that ends, by a bug's traceback too, ends after the work. It is
    slow while the processors are busy: who waits for it should have nothing else to compute.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._results: list[T] = []
        self._errors: list[BaseException] = []

    def start(self, work: Callable[[], T]) -> None:
        """Begin `work()` and return at once. Waits for the work before, and raises what that raised."""
        self.wait()
        self._thread = threading.Thread(target=self._do, args=(work,), name="save")
        self._thread.start()

    @property
    def done(self) -> bool:
        """There is a result or an error that nobody has fetched yet."""
        return self._thread is not None and not self._thread.is_alive()

    def wait(self) -> T | None:
        """The result of the work under way, once; None if there is none. Raises, once, what it raised."""
        if self._thread is None:
            return None
        self._thread.join()
        self._thread = None
        results, errors = self._results, self._errors
        self._results, self._errors = [], []
        if errors:
            raise errors[0]
        return results[0]

    def _do(self, work: Callable[[], T]) -> None:
        try:
            # The main thread answers signals, and only one delivered to it wakes it from a wait.
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            step_back()
            self._results.append(work())
        except BaseException as error:
            self._errors.append(error)


def step_back() -> None:
    """Give the calling thread a low priority, where the system knows priorities of threads (Linux)."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        own = os.getpriority(os.PRIO_PROCESS, thread)
        os.setpriority(os.PRIO_PROCESS, thread, min(own + _NICER, _NICEST))
