"""Passes the moments of the Trainer's loop on to the trainer itself."""

from __future__ import annotations

from typing import Any, Protocol

from transformers import TrainerCallback


class Course(Protocol):
    def begin(self) -> None: ...

    def begin_step(self) -> None: ...

    def end_micro_batch(self) -> None: ...

    def end_step(self) -> None: ...


class Moments(TrainerCallback):
    def __init__(self, course: Course) -> None:
        self.course = course

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.course.begin()

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.course.begin_step()

    def on_substep_end(self, *_: Any, **__: Any) -> None:
        self.course.end_micro_batch()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.course.end_step()
