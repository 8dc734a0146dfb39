"""A Hugging Face model in memory, and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass, fields
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from transformer_e2e.config.hf_settings import DataArguments
from transformer_e2e.launch.model_kinds import HUGGING_FACE, Found, Kind

if TYPE_CHECKING:
    from transformer_e2e.hf.pipeline import Pipeline

# What a checkpoint holds besides its model, to go on with the training; whatever else it holds is verified.
TRAINING_FILES = ("optimizer*", "rng*", "trainer_state.json", "state.json", "deepspeed/*")


@dataclass(kw_only=True)
class HfModel(Found):
    pipeline: Pipeline

    def shape(self) -> str:
        schema, model = self.pipeline.schema, self.pipeline.model
        labels = f" ({len(schema.labels)} labels)" if schema.labels else ""
        millions = model.num_parameters() / 1e6
        return f"{schema.task}{labels}; {type(model).__name__}, {millions:.1f} M parameters"

    def trained_on(self) -> DataArguments:
        """The data set of its training, as far as that is known."""
        known = {
            item.name: self.settings[item.name]
            for item in fields(DataArguments)
            if item.name in self.settings
        }
        if not (known.get("dataset_name") or known.get("train_file")):
            known["dataset_name"] = self.pipeline.schema.data_name
        return DataArguments(**{**known, "task": self.pipeline.schema.task})


def is_needed(name: str) -> bool:
    return not any(fnmatch(name, pattern) for pattern in TRAINING_FILES)


def load(directory: Path, device: str, weights: str) -> HfModel:
    from transformer_e2e.hf.loading import load_pipeline

    return HfModel(pipeline=load_pipeline(directory, device), settings={}, weights=weights)


HF_MODEL = Kind(HUGGING_FACE, load, is_needed, compared=False)
