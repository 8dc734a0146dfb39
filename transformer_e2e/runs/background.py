"""A call into a library that may block for ever, with an end to the waiting."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_POLL_SECONDS = 0.2
_abandoned: list[threading.Thread] = []


def is_stuck() -> bool:
    """Whether a call that nobody waits for any more goes on: the library would not let the process end."""
    return any(thread.is_alive() for thread in _abandoned)


class Overdue(Exception):
    """The call did not come back in time; its thread is left to itself."""


def in_background(call: Callable[[], T], *, seconds: float, poll: Callable[[], None] = lambda: None) -> T:
    """`call()` in a thread: its result, what it raises, or Overdue after `seconds`.

    `poll` runs about five times a second in the caller's thread, where signals arrive; what it raises ends
    the waiting. The thread cannot be ended; it dies with the process.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(call())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    deadline = time.monotonic() + seconds
    try:
        while thread.is_alive():
            poll()
            left = deadline - time.monotonic()
            if left <= 0:
                raise Overdue(f"it was not done within {seconds:.0f} s")
            thread.join(min(_POLL_SECONDS, left))
    except BaseException:
        _abandoned.append(thread)
        raise
    if errors:
        raise errors[0]
    return results[0]
