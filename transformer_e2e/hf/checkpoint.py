"""A Hugging Face training on disk, exact to the bit: safetensors and JSON, no pickle.

At the top lies what `from_pretrained` reads and schema.json: the model. Beside it the state of the training:

optimizer.safetensors   moments and step counters, by parameter name
rng.safetensors         torch's generators
trainer_state.json      the Trainer's own counters
state.json              the bridge's counters, Python's and numpy's generators, the schedule, a digest of
                        the data
global_step<N>/ latest  with DeepSpeed: weights and optimizer once more, in its own format (`hf.deepspeed`)
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerState

from transformer_e2e.compute.generators import Generators
from transformer_e2e.data.schema import Schema
from transformer_e2e.errors import CheckpointError
from transformer_e2e.hf.optimizer_state import OptimizerState
from transformer_e2e.hf.standing import Standing
from transformer_e2e.model.files import read_tensors, require_same_tensors, write_tensors

WEIGHTS = "model.safetensors"
OPTIMIZER = "optimizer.safetensors"
RNG = "rng.safetensors"
TRAINER_STATE = "trainer_state.json"  # the name that the Trainer reads
STATE = "state.json"
TRAINING_FILES = (OPTIMIZER, RNG, TRAINER_STATE, STATE)  # no part of the model
FORMAT = 1
_ONE_FILE = "1TB"  # larger than any model here: the weights are never split


@dataclass(frozen=True)
class Saved:
    """The training besides the weights: all that is written, or has been read."""

    optimizer: OptimizerState
    generators: Generators
    standing: Standing
    accumulated: dict[str, float]  # losses that the Trainer sums up and does not keep
    threads: int  # of the CPU; their number can change the last bits of a sum
    data: str  # digest of the examples
    scaler: dict[str, Any] | None = None  # of fp16's gradients


def write_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    schema: Schema,
    directory: Path,
    weights: dict[str, Tensor] | None = None,
) -> None:
    """What `from_pretrained` reads, and schema.json. Names are those of `state_dict`, so that a resume finds
    them. `weights`: None for the model's own."""
    model.save_pretrained(directory, state_dict=weights, max_shard_size=_ONE_FILE, save_original_format=False)
    tokenizer.save_pretrained(directory)
    schema.save(directory)
    # safetensors makes files that only their owner may read.
    (directory / WEIGHTS).chmod((directory / "config.json").stat().st_mode)


def write_training(saved: Saved, state: TrainerState, directory: Path) -> None:
    """Everything besides the model that a new process needs to go on as if it had never stopped."""
    write_tensors(_writable(saved.optimizer.tensors), directory / OPTIMIZER)
    write_tensors(saved.generators.tensors, directory / RNG)
    state.save_to_json(str(directory / TRAINER_STATE))
    document = {
        "format": FORMAT,
        "standing": asdict(saved.standing),
        "accumulated": saved.accumulated,
        "threads": saved.threads,
        "data": saved.data,
        "generators": saved.generators.plain,
        "scaler": saved.scaler,
        "optimizer": {
            "plain": saved.optimizer.plain,
            "groups": saved.optimizer.groups,
            "given": saved.optimizer.given,
            "schedule": saved.optimizer.schedule,
        },
    }
    (directory / STATE).write_text(json.dumps(document) + "\n", encoding="utf-8")


def read_training(directory: Path) -> Saved:
    """What `write_training` wrote. Raises CheckpointError."""
    try:
        document = json.loads((directory / STATE).read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise CheckpointError(f"{directory / STATE} has format {document['format']}, not {FORMAT}")
        return Saved(
            optimizer=OptimizerState(read_tensors(directory / OPTIMIZER), **document["optimizer"]),
            generators=Generators(document["generators"], read_tensors(directory / RNG)),
            standing=Standing(**document["standing"]),
            accumulated=document["accumulated"],
            threads=document["threads"],
            data=document["data"],
            scaler=document["scaler"],
        )
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{directory} holds no training state that can be used: {error}") from error


def read_weights(model: PreTrainedModel, directory: Path) -> dict[str, Tensor]:
    """The weights in `directory`, checked to fit `model`. Tied tensors are there once.

    Raises CheckpointError if a file is missing or unreadable, or belongs to another model.
    """
    path = directory / WEIGHTS
    weights = read_tensors(path)
    own = model.state_dict()
    written = {own[name].data_ptr() for name in weights if name in own}
    wanted = {
        name: tensor for name, tensor in own.items() if name in weights or tensor.data_ptr() not in written
    }
    for name in model._keys_to_ignore_on_save or ():
        wanted.pop(name, None)
    require_same_tensors(wanted, weights, path)
    return weights


def _writable(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
