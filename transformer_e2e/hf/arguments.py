"""All that one command of the Hugging Face program says, parsed and checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from transformer_e2e.config.hf_settings import DataArguments, ModelArguments, RunArguments

if TYPE_CHECKING:
    from transformers import TrainingArguments


@dataclass(frozen=True)
class Arguments:
    model: ModelArguments
    data: DataArguments
    run: RunArguments
    training: TrainingArguments

    @property
    def task(self) -> str:
        return self.data.task

    @property
    def seed(self) -> int:
        return int(self.training.seed)
