"""Where a program's messages go: the console, and a log file if one is named."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path

from transformer_e2e.errors import ConfigError

LOGGER = "transformer_e2e"


def open_console(log_file: str | None = None) -> Callable[[str], None]:
    """Send this package's messages to standard output, and with times to `log_file` (appended).

    Returns the function that says something. Raises ConfigError if the file cannot be written.
    """
    logger = logging.getLogger(LOGGER)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    console = logging.StreamHandler(sys.stdout)
    console.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(console)
    if log_file:
        try:
            Path(log_file).parent.mkdir(parents=True, exist_ok=True)
            to_file = logging.FileHandler(log_file, encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                f"--log_file={log_file} cannot be written: {error.strerror}; name another file"
            ) from None
        to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logger.addHandler(to_file)
    return logger.info
