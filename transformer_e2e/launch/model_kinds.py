"""The two kinds of models that there are to use, as the commands see them, and one of them in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from transformer_e2e.data.schema import SCHEMA
from transformer_e2e.errors import CheckpointError
from transformer_e2e.runs.completion import Record


@dataclass(kw_only=True)
class Found:
    """A model in memory, and where it comes from."""

    settings: dict[str, Any]  # those that decided the training, as far as they are known
    weights: str  # where they are, in words
    run_id: str | None = None  # None: a directory that does not say
    step: int | None = None
    hyperparameters: str = "the checkpoint"  # where they were read, in words
    notes: list[str] = field(default_factory=list)

    def describe(self) -> str:
        """One line for people."""
        step = "" if self.step is None else f", step {self.step}"
        return f"model: {self.run_id or 'unnamed'}{step}; {self.shape()}; weights: {self.weights}"

    def shape(self) -> str:
        """What kind of model it is, in words."""
        raise NotImplementedError


F = TypeVar("F", bound=Found)


@dataclass(frozen=True)
class Family:
    """The models of one of the two training programs, as the commands for the other ones see them."""

    name: str
    marker: str  # a file that their checkpoints have, and those of the other family have not
    has_schema: bool  # whether their completion records carry a schema
    training: str  # a command that makes one
    using: str  # the command that uses one

    def owns(self, record: Record) -> bool:
        return (record.schema is not None) is self.has_schema


FROM_SCRATCH = Family(
    name="a from-scratch decoder",
    marker="model.json",
    has_schema=False,
    training="python -m transformer_e2e.scripts.train --config transformer_e2e/configs/config.yml",
    using="python -m transformer_e2e.scripts.generate",
)
HUGGING_FACE = Family(
    name="a Hugging Face model",
    marker=SCHEMA,
    has_schema=True,
    training="python -m transformer_e2e.scripts.train_hf --task classification",
    using="python -m transformer_e2e.scripts.infer",
)


@dataclass(frozen=True)
class Kind(Generic[F]):
    """How the models of a family are loaded."""

    family: Family
    load: Callable[[Path, str, str], F]  # directory, device, weights in words -> model
    is_needed: Callable[[str], bool]  # whether a file belongs to the model, and not only to its training
    compared: bool  # whether its settings are compared with those that W&B has

    @property
    def other(self) -> Family:
        return FROM_SCRATCH if self.family is HUGGING_FACE else HUGGING_FACE


class OtherFamily(CheckpointError):
    """There is a model, but it is one for another command."""

    def __init__(self, which: str, flags: str, family: Family) -> None:
        super().__init__(f"{which} is {family.name}; use it with: {family.using} {flags}")
