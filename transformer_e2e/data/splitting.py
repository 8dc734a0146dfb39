"""Which documents are held out for validation, and what keeps their text out of training.

Everything here is a function of the documents alone: no random generator, no order of files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from transformer_e2e.data.snapshots import fingerprint

SHARED_RUN = 8  # words; measured on python-docs: 8 costs 0.6 % of the training text, 6 costs 1.5 % for idioms

PARAGRAPH_END = re.compile(r"\n[^\S\n]*\n")


def unique(documents: Iterable[str]) -> tuple[str, ...]:
    """The documents in their order, without empty ones and without the second copy of any."""
    return tuple(dict.fromkeys(document for document in documents if document.strip()))


def split(documents: Sequence[str], fraction: float) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(train, validation): whole documents, chosen in the order of their hashes, up to `fraction` of all
    characters.

    Each document's place depends on its own text, so a document added later moves few others. Where whole
    documents cannot come near the share (there is one, or a few large ones), the end of the longest is cut
    off at a paragraph instead. Both sides keep the order of `documents`, which must be distinct.
    """
    wanted = fraction * sum(map(len, documents))
    held: set[str] = set()
    size = 0
    for document in sorted(documents, key=lambda text: fingerprint([text])):
        if size + len(document) <= wanted:
            held.add(document)
            size += len(document)
    if size < wanted / 2:
        return _cut(documents, round(wanted))
    train = tuple(document for document in documents if document not in held)
    return train, tuple(document for document in documents if document in held)


def without_shared_text(train: Sequence[str], validation: Sequence[str]) -> tuple[str, ...]:
    """The training documents without the paragraphs that share a run of SHARED_RUN words with validation.

    Words are what whitespace separates, so another line width hides nothing. Source of the idea: Brown et al.
    2020, appendix C (13 words there, against contamination of a far larger corpus).
    """
    known = {run for document in validation for run in _runs(document.split())}
    return unique(_cleaned(document, known) for document in train)


def shared_runs(train: Iterable[str], validation: Iterable[str]) -> set[tuple[str, ...]]:
    """Every run of SHARED_RUN words that is found on both sides."""
    known = {run for document in validation for run in _runs(document.split())}
    return {run for document in train for run in _runs(document.split()) if run in known}


def sharing(documents: Sequence[str], others: Iterable[str]) -> list[bool]:
    """Of each document: does it share a run of SHARED_RUN words with `others`, or, if shorter, equal one?"""
    known = {run for other in others for run in _runs_or_all(other)}
    return [any(run in known for run in _runs_or_all(document)) for document in documents]


def _runs_or_all(document: str) -> Iterable[tuple[str, ...]]:
    words = document.split()
    return _runs(words) if len(words) >= SHARED_RUN else [tuple(words)]


def _runs(words: Sequence[str]) -> Iterable[tuple[str, ...]]:
    return zip(*(words[start:] for start in range(SHARED_RUN)), strict=False)


def _cleaned(document: str, known: set[tuple[str, ...]]) -> str:
    paragraphs = PARAGRAPH_END.split(document)
    while True:
        words: list[str] = []
        owners: list[int] = []  # of each word: the paragraph it stands in
        for number, paragraph in enumerate(paragraphs):
            found = paragraph.split()
            words += found
            owners += [number] * len(found)
        shared = {
            owner
            for start, run in enumerate(_runs(words))
            if run in known
            for owner in owners[start : start + SHARED_RUN]
        }
        if not shared:
            return "\n\n".join(paragraphs)
        # Again afterwards: paragraphs that have become neighbours can form a new run.
        paragraphs = [paragraph for number, paragraph in enumerate(paragraphs) if number not in shared]


def _cut(documents: Sequence[str], wanted: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    longest = max(documents, key=len)
    place = cut_place(longest, len(longest) - wanted)
    head, tail = longest[:place], longest[place:]
    train = tuple(head if document is longest else document for document in documents)
    return train, (tail,)


def cut_place(text: str, near: int) -> int:
    """The last end of a paragraph, else line, else word, in the last tenth of the text before `near`."""
    lowest = near - near // 10
    for separator in ("\n\n", "\n", " "):
        found = text.rfind(separator, lowest, near)
        if found > 0:
            return found + len(separator)
    return near
