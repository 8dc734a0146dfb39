"""A copy of a training in memory, which is written while the training itself goes on."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor
from transformers import TrainerState

from transformer_e2e.compute.tensor_file import TensorFile, copied
from transformer_e2e.hf.checkpoint import (
    OPTIMIZER,
    RNG,
    WEIGHTS,
    Saved,
    describe_model,
    documents_of,
    model_tensors,
)
from transformer_e2e.hf.pipeline import Pipeline
from transformer_e2e.model.files import write_tensors

_ABOUT = {"format": "pt"}  # what save_pretrained says of its weights, and older readers ask for


class Snapshot:
    """Room for one copy, kept from save to save: fresh memory costs a page fault for every 4 KiB."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._weights = self._optimizer = TensorFile({})
        self._rng: dict[str, Tensor] = {}
        self._documents: dict[str, str] = {}

    def take(self, present: Saved, state: TrainerState, whole: dict[str, Tensor] | None = None) -> None:
        """Copy the model and `present`, over the copy before. Between two steps.

        `whole`: the weights, where the model has a share of them.
        """
        weights = model_tensors(self._pipeline.model, whole)
        self._weights = copied(weights, self._weights, _ABOUT)
        self._optimizer = copied(present.optimizer.tensors, self._optimizer)
        self._rng = present.generators.tensors
        self._documents = documents_of(present, state)

    def fill(self, directory: Path) -> dict[str, str]:
        """Write a checkpoint's files. Returns the SHA-256 of the large ones, by name. On any thread."""
        describe_model(self._pipeline, directory)
        write_tensors(self._rng, directory / RNG)
        for name, text in self._documents.items():
            (directory / name).write_text(text, encoding="utf-8")
        return {
            WEIGHTS: self._weights.write(directory / WEIGHTS),
            OPTIMIZER: self._optimizer.write(directory / OPTIMIZER),
        }
