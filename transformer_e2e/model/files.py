"""A model on disk: its weights as safetensors, its shape as JSON. Nothing in it can run code."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from transformer_e2e.errors import CheckpointError
from transformer_e2e.model.decoder import Decoder
from transformer_e2e.model.shape import ModelShape

WEIGHTS = "model.safetensors"
SHAPE = "model.json"
MODEL_FILES = (WEIGHTS, SHAPE)


def save_model(model: Decoder, directory: Path) -> None:
    """Write model.safetensors and model.json into `directory`, which nobody else may be reading yet."""
    write_tensors(cpu_tensors(model.state_dict()), directory / WEIGHTS)
    save_shape(model.shape, directory)


def save_shape(shape: ModelShape, directory: Path) -> None:
    (directory / SHAPE).write_text(json.dumps(shape.to_json(), indent=2) + "\n", encoding="utf-8")


def load_model(directory: Path, device: torch.device | str = "cpu") -> Decoder:
    """The model that `save_model` wrote, in evaluation mode. Draws no random number.

    Raises CheckpointError if a file is missing or unreadable, or if shape and weights do not belong together.
    """
    shape = read_shape(directory)
    weights = read_tensors(directory / WEIGHTS)
    with torch.device("meta"):  # initial weights would be drawn only to be overwritten
        model = Decoder(shape)
    require_same_tensors(model.state_dict(), weights, directory / WEIGHTS)
    model.load_state_dict(weights, assign=True)
    model.fill_tables()
    return model.to(device).eval()


def read_shape(directory: Path) -> ModelShape:
    """The shape in model.json. Raises CheckpointError."""
    path = directory / SHAPE
    try:
        return ModelShape.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of a safetensors file, on the CPU. Raises CheckpointError."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error


def write_tensors(tensors: dict[str, torch.Tensor], path: Path) -> None:
    """A safetensors file with the rights that new files have; that of `save_file` is its owner's alone."""
    path.write_bytes(save(tensors))


def require_same_tensors(wanted: dict[str, torch.Tensor], given: dict[str, torch.Tensor], path: Path) -> None:
    """Raises CheckpointError, naming every tensor that is missing, unknown, or of another shape or type."""
    problems = [f"{name} is missing" for name in wanted if name not in given]
    problems += [f"{name} is unknown" for name in given if name not in wanted]
    problems += [
        f"{name} is {tuple(given[name].shape)} {given[name].dtype}, not {tuple(tensor.shape)} {tensor.dtype}"
        for name, tensor in wanted.items()
        if name in given and (given[name].shape != tensor.shape or given[name].dtype != tensor.dtype)
    ]
    if problems:
        raise CheckpointError(
            "\n".join([f"{path} belongs to another model:", *(f"  - {p}" for p in problems)])
        )


def cpu_tensors(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
