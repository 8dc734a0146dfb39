"""Text from ids that come one at a time: each piece as soon as it can no longer change."""

from __future__ import annotations

from collections.abc import Sequence

from transformer_e2e.data.tokenizer import Tokenizer

UNFINISHED = "\N{REPLACEMENT CHARACTER}"  # what part of a character's bytes decodes to


class TextStream:
    """The pieces of `push` and `finish`, joined, are the text of all ids, cut before the first stop text.

    The last character waits while it may be half of one, and so does what may be the beginning of a stop
    text. With tokenizers of bytes the work is the same for each id, however long the text; others decode by
    context, so there all ids are decoded every time.
    """

    def __init__(self, tokenizer: Tokenizer, prompt_ids: Sequence[int], stop: Sequence[str] = ()) -> None:
        """Empty stop texts are left out."""
        self._tokenizer = tokenizer
        self._stop = [text for text in stop if text]
        self._ids = [] if tokenizer.byte_level else list(prompt_ids)
        self._taken = len(tokenizer.decode(self._ids))  # characters of the text of `_ids` already taken
        self._held = ""  # may begin a stop text
        self.text = ""  # all that was returned
        self.stopped = False  # a stop text came: the text is over

    def push(self, token: int) -> str:
        """What can be shown after one more id; often one token's text, sometimes nothing."""
        self._ids.append(token)
        text = self._tokenizer.decode(self._ids)
        final = len(text) - 1 if text.endswith(UNFINISHED) else len(text)
        new = text[self._taken : final]
        self._taken = max(self._taken, final)
        if self._tokenizer.byte_level and final == len(text):
            self._ids, self._taken = [], 0
        return self._show(new, last=False)

    def finish(self) -> str:
        """What was held back, when no more ids come."""
        return self._show(self._tokenizer.decode(self._ids)[self._taken :], last=True)

    def _show(self, new: str, *, last: bool) -> str:
        if self.stopped:
            return ""
        held = self._held + new
        found = [place for stop in self._stop if (place := held.find(stop)) >= 0]
        self.stopped = bool(found)
        waiting = 0 if last or found else self._beginning(held)
        shown = held[: min(found, default=len(held) - waiting)]
        self._held = held[len(shown) :]
        self.text += shown
        return shown

    def _beginning(self, text: str) -> int:
        """Length of the longest end of `text` with which a stop text begins."""
        longest = max((len(stop) for stop in self._stop), default=1) - 1
        lengths = range(min(longest, len(text)), 0, -1)
        return next((n for n in lengths if any(stop.startswith(text[-n:]) for stop in self._stop)), 0)
