"""A Hugging Face model in memory, with its tokenizer and what it knows of its examples."""

from __future__ import annotations

from dataclasses import dataclass, fields
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from transformer_e2e.config.hf_settings import TASKS, DataArguments
from transformer_e2e.data.schema import SCHEMA, Schema
from transformer_e2e.errors import CheckpointError
from transformer_e2e.launch.open_model import HUGGING_FACE, Found, Kind

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# What a checkpoint holds besides its model, to go on with the training; whatever else it holds is verified.
TRAINING_FILES = ("optimizer*", "rng*", "trainer_state.json", "state.json", "deepspeed/*")


@dataclass(kw_only=True)
class HfModel(Found):
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    schema: Schema

    def shape(self) -> str:
        schema = self.schema
        labels = f" ({len(schema.labels)} labels)" if schema.labels else ""
        millions = self.model.num_parameters() / 1e6
        return f"{schema.task}{labels}; {type(self.model).__name__}, {millions:.1f} M parameters"

    def trained_on(self) -> DataArguments:
        """The data set of its training, as far as that is known."""
        known = {
            item.name: self.settings[item.name]
            for item in fields(DataArguments)
            if item.name in self.settings
        }
        if not (known.get("dataset_name") or known.get("train_file")):
            known["dataset_name"] = self.schema.data_name
        return DataArguments(**{**known, "task": self.schema.task})


def is_needed(name: str) -> bool:
    return not any(fnmatch(name, pattern) for pattern in TRAINING_FILES)


def load(directory: Path, device: str, weights: str) -> HfModel:
    from transformer_e2e.hf.saved import load_saved

    schema = Schema.load(directory)
    if schema.task not in TASKS:
        raise CheckpointError(f"{directory / SCHEMA} is of task {schema.task}; known are {', '.join(TASKS)}")
    model, tokenizer = load_saved(directory, schema.task, device)
    return HfModel(model=model, tokenizer=tokenizer, schema=schema, settings={}, weights=weights)


HF_MODEL = Kind(HUGGING_FACE, load, is_needed, compared=False)
