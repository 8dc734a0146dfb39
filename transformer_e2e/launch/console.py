"""Where a program's messages go: the console, and a log file if one is named.

`say("warning: ...")` is a warning. Warnings and errors go to standard error, everything else to standard
output; the log file gets all of it, with times, levels and process numbers.
"""

from __future__ import annotations

import logging
import os
import re
import shlex
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from transformer_e2e.errors import LOGGER, ConfigError

_WARNING = "warning: "
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def open_console(log_file: str | None = None) -> Callable[[str], None]:
    """Send this package's messages to the console and, appended, to `log_file`, which begins with a line
    that says when, where and by which command it was opened; an uncaught exception ends up there too.

    Returns the function that says something. Raises ConfigError if the file cannot be written.
    """
    logger = logging.getLogger(LOGGER)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    logger.addHandler(_Console())
    if log_file:
        handler = _opened(log_file)
        logger.addHandler(handler)
        first = f"==== begins on {socket.gethostname()}, process {os.getpid()}: {shlex.join(sys.orig_argv)}"
        handler.handle(logging.LogRecord(LOGGER, logging.INFO, __file__, 0, first, None, None))
    sys.excepthook = _log_crash

    def say(text: str) -> None:
        if text.startswith(_WARNING):
            logger.warning("%s", text.removeprefix(_WARNING))
        else:
            logger.info("%s", text)

    return say


def say_aside(text: str) -> None:
    """On standard error: for a program whose standard output is its result."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """For a block that writes to standard output: quiet when the reader has enough (`| head -1`)."""
    try:
        yield
        sys.stdout.flush()  # what is still in the buffer would be refused when the interpreter ends
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Console(logging.Handler):
    """Looks its stream up each time: a progress bar puts its own there, so that messages appear above it."""

    def emit(self, record: logging.LogRecord) -> None:
        urgent = record.levelno >= logging.WARNING
        text = f"{record.levelname.lower()}: {self.format(record)}" if urgent else self.format(record)
        try:
            print(text, file=sys.stderr if urgent else sys.stdout, flush=True)
        except OSError:  # `... | head`, or a terminal that was closed: the training is worth more
            return


class _LogFile(logging.FileHandler):
    """Gives up with one warning when the file cannot be written any more; the program goes on."""

    def handleError(self, record: logging.LogRecord) -> None:
        logging.getLogger(LOGGER).removeHandler(self)
        logging.getLogger(LOGGER).warning(
            "the log file %s cannot be written any more (%s); messages only go to the console from here on. "
            "Make room, or name another LOG_FILE for the next start",
            self.baseFilename,
            sys.exc_info()[1],
        )


class _Lines(logging.Formatter):
    """Further lines of a message are indented, so that each record begins at the margin; no colours."""

    def format(self, record: logging.LogRecord) -> str:
        return re.sub(r" *\n", "\n    ", _COLOUR.sub("", super().format(record))).rstrip()

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = record.message.lstrip("\n")  # an empty line before it is for the console
        return super().formatMessage(record)


def _opened(log_file: str) -> logging.Handler:
    try:
        Path(log_file).parent.mkdir(parents=True, exist_ok=True)
        handler = _LogFile(log_file, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"--log_file={log_file} cannot be written ({error.strerror}): name a file in a folder that you "
            f"may write to, such as logs/train.log"
        ) from None
    handler.setFormatter(
        _Lines("%(asctime)s %(levelname)-7s [%(process)d] %(message)s", "%Y-%m-%dT%H:%M:%S%z")
    )
    return handler


def _log_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """For what no entry point catches: a bug."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logging.getLogger(LOGGER).error("this program ended by a bug", exc_info=(kind, error, trace))
