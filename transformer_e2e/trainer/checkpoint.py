"""A training state on disk, exact to the bit: safetensors and JSON, no pickle.

model.safetensors model.json   weights and shape (what `model.files` writes)
optimizer.safetensors          moments, momenta and step counters, by parameter name
rng.safetensors                torch's generators
state.json                     counters, Python's and numpy's generators, the certificate
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transformer_e2e.compute import generators
from transformer_e2e.compute.certificate import differences, digest_ids, digest_json, digest_tensors
from transformer_e2e.compute.device import threads_each
from transformer_e2e.compute.generators import Generators
from transformer_e2e.compute.tensor_file import TensorFile
from transformer_e2e.errors import CheckpointError
from transformer_e2e.model.files import (
    WEIGHTS,
    read_shape,
    read_tensors,
    require_same_tensors,
    save_shape,
    write_tensors,
)
from transformer_e2e.model.shape import ModelShape
from transformer_e2e.runs.manifest import file_digest
from transformer_e2e.trainer.optimizer import fresh_state, named_state, set_named_state
from transformer_e2e.trainer.state import TrainState

OPTIMIZER = "optimizer.safetensors"
RNG = "rng.safetensors"
STATE = "state.json"
FORMAT = 2  # its certificate holds the digests of whole files
READ_FORMATS = (1, 2)

NextBatch = Callable[[int], np.ndarray]  # a step -> the ids that the update after it sees first


@dataclass(frozen=True)
class Saved:
    """One checkpoint in memory: all that is written, or has been read."""

    shape: ModelShape
    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    generators: Generators
    progress: dict[str, Any]
    following: str | None = None  # digest of the batch that the next update sees first; None: not certified


def view_of(state: TrainState, next_batch: NextBatch | None = None) -> Saved:
    """The state now, between two steps. The tensors are the state's own and change with its next step."""
    return Saved(
        shape=state.model.shape,
        weights=state.model.state_dict(),
        optimizer=named_state(state.model, state.optimizer),
        generators=generators.capture(),
        progress=progress_of(state),
        following=None if next_batch is None else digest_ids(next_batch(state.step)),
    )


def write_saved(saved: Saved, weights: TensorFile, optimizer: TensorFile, directory: Path) -> dict[str, str]:
    """Write everything a new process needs to go on as if it had never stopped.

    `weights` and `optimizer` hold the tensors; those of `saved` are not looked at, they may have changed
    since. `directory` exists, is empty, and is read by nobody yet. Returns the SHA-256 of the files that
    the certificate covers, by name: each byte of them is hashed once, for the certificate and whoever asks.
    """
    save_shape(saved.shape, directory)
    write_tensors(saved.generators.tensors, directory / RNG)
    digests = {
        WEIGHTS: weights.write(directory / WEIGHTS),
        OPTIMIZER: optimizer.write(directory / OPTIMIZER),
        RNG: file_digest(directory / RNG),
    }
    document = {
        "format": FORMAT,
        "progress": saved.progress,
        "generators": saved.generators.plain,
        "certificate": certificate(saved, digests),
    }
    (directory / STATE).write_text(json.dumps(document) + "\n", encoding="utf-8")
    return digests


def write_state(state: TrainState, directory: Path, next_batch: NextBatch | None = None) -> None:
    """`write_saved` of the state now. The certificate covers the next batch if `next_batch` is given."""
    saved = view_of(state, next_batch)
    weights, optimizer = TensorFile(saved.weights), TensorFile(saved.optimizer)
    weights.take(saved.weights)
    optimizer.take(saved.optimizer)
    write_saved(saved, weights, optimizer, directory)


def read_state(state: TrainState, directory: Path, next_batch: NextBatch | None = None) -> None:
    """Make `state` and every generator what they were when `directory` was written.

    The CPU thread count is taken over, too: it can change the last bits of a sum. It is counted over all
    ranks, so another number of them shares the same cores. `next_batch` must give the batch that was
    certified. Raises CheckpointError, with `state` and the generators
    untouched, if a file is missing or unreadable, belongs to another model, or is not what was certified.
    """
    saved, document = read_saved(state, directory)
    recorded = document["certificate"]
    if next_batch is not None and "next_batch" in recorded:
        saved = replace(saved, following=digest_ids(next_batch(saved.progress["step"])))
    digests = {name: file_digest(directory / name) for name in (WEIGHTS, OPTIMIZER, RNG)}
    found = certificate(saved, digests) if document["format"] == FORMAT else certificate_1(saved)
    wrong = differences(recorded, found)
    if wrong:
        raise CheckpointError(
            f"{directory} is not the state that was saved: {', '.join(wrong)} differ from its certificate"
            + ("; was the data changed?" if wrong == ["next_batch"] else "")
        )
    state.model.load_state_dict(saved.weights)
    set_named_state(state.model, state.optimizer, saved.optimizer)
    set_progress(state, saved.progress)
    generators.restore(saved.generators)  # last: what comes before might draw


def share_state(state: TrainState) -> None:
    """Make the state of every rank that of rank 0. The generators stay each rank's own."""
    world = state.world
    if world.size == 1:
        return
    weights = world.broadcast_tensors(state.model.state_dict())
    optimizer = world.broadcast_tensors(named_state(state.model, state.optimizer))
    progress = world.broadcast(progress_of(state))
    if not world.is_main:
        state.model.load_state_dict(weights)
        set_named_state(state.model, state.optimizer, optimizer)
        set_progress(state, progress)


def read_saved(state: TrainState, directory: Path) -> tuple[Saved, dict[str, Any]]:
    """The checkpoint and its state.json, checked to fit `state` but not yet against the certificate."""
    document = read_document(directory / STATE)
    shape = read_shape(directory)
    if shape != state.model.shape:
        raise CheckpointError(f"{directory} holds a model of {shape}, not of {state.model.shape}")
    weights, optimizer = read_tensors(directory / WEIGHTS), read_tensors(directory / OPTIMIZER)
    require_same_tensors(state.model.state_dict(), weights, directory / WEIGHTS)
    if optimizer:  # empty before the first step
        require_same_tensors(fresh_state(state.model, state.optimizer), optimizer, directory / OPTIMIZER)
    drawn = Generators(document["generators"], read_tensors(directory / RNG))
    return Saved(shape, weights, optimizer, drawn, document["progress"]), document


def certificate(saved: Saved, digests: Mapping[str, str]) -> dict[str, str]:
    """A digest of each part; `digests` are those of the files that hold its tensors."""
    parts = {
        "weights": digests[WEIGHTS],
        "optimizer": digests[OPTIMIZER],
        "generators": digests[RNG] + digest_json(saved.generators.plain),
        "progress": digest_json(saved.progress),
    }
    return parts if saved.following is None else parts | {"next_batch": saved.following}


def certificate_1(saved: Saved) -> dict[str, str]:
    """The certificate of format 1, which hashed the tensors apart from their files."""
    return certificate(
        saved,
        {
            WEIGHTS: digest_tensors(saved.weights),
            OPTIMIZER: digest_tensors(saved.optimizer),
            RNG: digest_tensors(saved.generators.tensors),
        },
    )


def read_document(path: Path) -> dict[str, Any]:
    """state.json. Raises CheckpointError if it cannot be read or has another format."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    wanted = {"format", "progress", "generators", "certificate"}
    if not isinstance(document, dict) or set(document) != wanted or document["format"] not in READ_FORMATS:
        raise CheckpointError(
            f"{path} is not a training state of format {' or '.join(map(str, READ_FORMATS))}"
        )
    return document


def progress_of(state: TrainState) -> dict[str, Any]:
    return {
        "step": state.step,
        "best_loss": state.best_loss if math.isfinite(state.best_loss) else None,
        "evals_since_best": state.evals_since_best,
        "tokens_seen": state.tokens_seen,
        "evaluated_step": state.evaluated_step,
        "unlogged": state.unlogged,
        "threads": torch.get_num_threads() * state.world.size,
    }


def set_progress(state: TrainState, progress: dict[str, Any]) -> None:
    state.step = progress["step"]
    state.best_loss = math.inf if progress["best_loss"] is None else progress["best_loss"]
    state.evals_since_best = progress["evals_since_best"]
    state.tokens_seen = progress["tokens_seen"]
    state.evaluated_step = progress["evaluated_step"]
    state.unlogged = dict(progress["unlogged"])
    torch.set_num_threads(threads_each(progress["threads"], state.world.size))
