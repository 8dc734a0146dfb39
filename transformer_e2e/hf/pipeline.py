"""What it takes to use a model of a task; each task says what it does with one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from transformer_e2e.data.schema import Schema

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """A model with the tokenizer that makes its inputs, and with what it knows of its examples."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    schema: Schema
