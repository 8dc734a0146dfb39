"""Errors that a user can act on. Anything else that escapes is a bug and keeps its traceback."""

from __future__ import annotations

import difflib
import logging
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence

WRONG_INPUT = 2  # exit code
INTERRUPTED = 130  # exit code: 128 + SIGINT
LOGGER = "transformer_e2e"  # above the logger of every module; launch/console.py gives it its handlers


class UserError(Exception):
    """A mistake in the input or in the surroundings; entry points print the message and exit 2.

    A message holds what was given, the rule, and the nearest thing that works.
    """


class ConfigError(UserError):
    """Settings, a config file or a sweep spec that cannot be used."""

    problems: tuple[str, ...] = ()  # one by one, where there were several to tell

    @classmethod
    def raise_if(cls, problems: Sequence[str], title: str = "invalid configuration") -> None:
        """Report every problem at once; a sweep should not fail five times for five typos."""
        if problems:
            raise cls.of(problems, title)

    @classmethod
    def of(cls, problems: Sequence[str], title: str = "invalid configuration") -> ConfigError:
        error = cls("\n".join([f"{title}:", *(f"  - {problem}" for problem in problems)]))
        error.problems = tuple(problems)
        return error


class CheckpointError(UserError):
    """A checkpoint or a trial's directory that cannot be used."""


class DataError(UserError):
    """A corpus, data set or tokenizer that cannot be loaded."""


class TrackerError(UserError):
    """W&B refused or cannot be reached at a moment where the program cannot go on without it."""


class LaunchError(UserError):
    """A process (server, agent, launcher) that cannot be started."""


class PeerLost(Exception):
    """Another process of the same training is gone, and this one cannot go on alone. No user's mistake."""


def nearest(given: str, known: Iterable[str]) -> str:
    """`; did you mean X?` for the known word closest to `given`, or an empty string."""
    close = difflib.get_close_matches(given, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def complain(problem: object, *, with_traceback: bool = False) -> None:
    """Say what went wrong on standard error, and in the log file if one is open.

    `with_traceback`: with that of the exception that is being handled.
    """
    logger = logging.getLogger(LOGGER)
    if logger.handlers:
        logger.error("%s", problem, exc_info=with_traceback)
        return
    print(f"error: {problem}", file=sys.stderr, flush=True)
    if with_traceback:
        traceback.print_exc()


def exit_code_of(action: Callable[[], int]) -> int:
    """What `action()` returns; for entry points. A UserError is printed and becomes 2, Ctrl-C becomes 130."""
    try:
        return action()
    except UserError as error:
        complain(error)
        return WRONG_INPUT
    except KeyboardInterrupt:
        return INTERRUPTED
