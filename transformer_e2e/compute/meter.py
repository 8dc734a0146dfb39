"""How quickly a training goes."""

from __future__ import annotations

import time


class Meter:
    """Tokens per second of the steps alone, without evaluations and checkpoints."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.tokens, self.seconds = 0, 0.0

    def __enter__(self) -> None:
        self.began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self.began

    def count(self, tokens: int) -> None:
        self.tokens += tokens

    @property
    def rate(self) -> float:
        return self.tokens / self.seconds if self.seconds else 0.0
