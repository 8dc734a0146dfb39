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
from transformers import PreTrainedModel, TrainerState
from transformers.modeling_utils import remove_tied_weights_from_state_dict

from transformer_e2e.compute.generators import Generators
from transformer_e2e.errors import CheckpointError
from transformer_e2e.hf.optimizer_state import OptimizerState
from transformer_e2e.hf.pipeline import Pipeline
from transformer_e2e.hf.standing import Standing
from transformer_e2e.model.files import read_tensors, require_same_tensors

WEIGHTS = "model.safetensors"
OPTIMIZER = "optimizer.safetensors"
RNG = "rng.safetensors"
TRAINER_STATE = "trainer_state.json"  # the name that the Trainer reads
STATE = "state.json"
TRAINING_FILES = (OPTIMIZER, RNG, TRAINER_STATE, STATE)  # no part of the model
FORMAT = 1


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


def describe_model(pipeline: Pipeline, directory: Path) -> None:
    """What `from_pretrained` reads besides the weights, and schema.json."""
    pipeline.model.save_pretrained(directory, state_dict={})
    pipeline.tokenizer.save_pretrained(directory)
    pipeline.schema.save(directory)


def model_tensors(model: PreTrainedModel, whole: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
    """The weights that are saved, by the names that a resume finds in `state_dict`; tied ones once, by the
    name that `from_pretrained` expects. `whole`: the weights, where the model has a share of them."""
    unwanted = model._keys_to_ignore_on_save or ()
    tensors = {name: tensor for name, tensor in (whole or model.state_dict()).items() if name not in unwanted}
    return dict(remove_tied_weights_from_state_dict(tensors, model))


def documents_of(saved: Saved, state: TrainerState) -> dict[str, str]:
    """The texts of the JSON files, by name."""
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
    trainer = json.dumps(asdict(state), indent=2, sort_keys=True)
    return {STATE: json.dumps(document) + "\n", TRAINER_STATE: trainer + "\n"}


def read_training(directory: Path) -> Saved:
    """What a snapshot wrote besides the model. Raises CheckpointError."""
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
