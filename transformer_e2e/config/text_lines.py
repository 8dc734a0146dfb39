"""Texts from a file or from standard input, one a line."""

from __future__ import annotations

import sys
from pathlib import Path

from transformer_e2e.errors import ConfigError

STANDARD_INPUT = "-"


def text_lines(file: str, flag: str, word: str) -> list[str]:
    """The lines of a UTF-8 file (`-`: standard input) that hold more than blanks, each to the letter.

    `word` is what one line is called. Raises ConfigError: unreadable, no text, nothing in it.
    """
    name = "standard input" if file == STANDARD_INPUT else f"{flag}={file}"
    try:
        content = sys.stdin.buffer.read() if file == STANDARD_INPUT else Path(file).read_bytes()
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(
            f"{name} cannot be read: {error.strerror}; it is a text file with one {word} a line"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name} is no UTF-8 text (byte {error.start}); convert it first") from None
    lines = [line.removesuffix("\r") for line in text.split("\n") if line.strip()]
    if not lines:
        raise ConfigError(f"{name} holds no {word}; write one a line")
    return lines
