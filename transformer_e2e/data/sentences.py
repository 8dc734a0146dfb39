"""Where the sentences of a docstring begin and end."""

from __future__ import annotations

import re
from collections.abc import Iterator

# A full stop ends a sentence unless a lower-case letter follows, as after "e.g."; a blank line always ends
# one, and so does a line that begins an item of a list, a field or an example.
END = re.compile(
    r"[.!?][)\"'`]*(?=\s+[^\sa-z])|\s*\n\s*\n|\s*\n(?=\s*(?:[-*•]\s|\d+[.)]\s|>>>|[:@]\w))|\s*\Z"
)


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of each sentence, without white space around it and without empty ones."""
    start = 0
    for match in END.finditer(text):
        piece = text[start : match.end()]
        inside = piece.strip()
        if inside:
            first = start + piece.index(inside)
            yield first, first + len(inside)
        start = match.end()


def first_sentence(text: str) -> str:
    """The first sentence, or nothing of a text that has none."""
    return next((text[start:end] for start, end in sentences(text)), "")
