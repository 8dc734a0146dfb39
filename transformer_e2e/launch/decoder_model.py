"""A from-scratch decoder in memory, with its tokenizer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformer_e2e.config.wording import several
from transformer_e2e.errors import DataError
from transformer_e2e.launch.model_kinds import FROM_SCRATCH, Found, Kind

if TYPE_CHECKING:
    from transformer_e2e.data.tokenizer import Tokenizer
    from transformer_e2e.model.decoder import Decoder

# What a model needs to be used again; the rest of a checkpoint is only for going on with its training.
ARTIFACT_FILES = ("model.safetensors", "model.json", "tokenizer/*", "settings.json")


@dataclass(kw_only=True)
class DecoderModel(Found):
    model: Decoder
    tokenizer: Tokenizer

    def shape(self) -> str:
        shape = self.model.shape
        return (
            f"{several(shape.num_layers, 'layer')}, width {shape.model_dim}, context {shape.context_window}; "
            f"hyperparameters: {self.hyperparameters}"
        )


def is_needed(name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in ARTIFACT_FILES)


def load(directory: Path, device: str, weights: str) -> DecoderModel:
    from transformer_e2e.data.open_tokenizer import load_tokenizer
    from transformer_e2e.model.files import load_model

    model, tokenizer = load_model(directory, device), load_tokenizer(directory / "tokenizer")
    if tokenizer.vocab_size != model.shape.vocab_size:
        raise DataError(
            f"{directory}: the tokenizer has {tokenizer.vocab_size} ids and the model "
            f"{model.shape.vocab_size}; they belong to different trainings"
        )
    tokenizer.encode("a")  # reads what some tokenizers leave for later, while the files are there
    settings = _settings(directory / "settings.json")
    return DecoderModel(model=model, tokenizer=tokenizer, settings=settings, weights=weights)


def _settings(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))["settings"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return content if isinstance(content, dict) else {}


DECODER = Kind(FROM_SCRATCH, load, is_needed, compared=True)
