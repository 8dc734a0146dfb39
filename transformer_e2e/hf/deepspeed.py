"""DeepSpeed's part of a trial: how it is started, and its part of a checkpoint.

global_step<N>/ latest   weights and optimizer, each process its own share, in DeepSpeed's own format. It
                         pickles: the one exception to safetensors and JSON, for whoever passes --deepspeed.

DeepSpeed reads such a share only with as many processes as wrote it. For another number the checkpoint is
first converted to its universal format, beside the checkpoint, which stays as it is.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from transformer_e2e.compute.world import World
from transformer_e2e.errors import CheckpointError, ConfigError
from transformer_e2e.runs.durable import STAGING_PREFIX, remove

ENGINE = "DeepSpeedEngine"
_TAG = "global_step{}"  # the name that Trainer looks for
_SHARES = "global_step*/*_optim_states.pt"
_SPREAD_WEIGHTS = "global_step*/zero_pp_rank_*_model_states.pt"
_LAUNCHER = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def make_ready(*, on_cpu: bool) -> None:
    """Before DeepSpeed's arguments are made: what it needs in the environment, of this process and on.

    One process without a launcher counts as torchrun's only one. Raises ConfigError without a C++ compiler
    on a CPU, where DeepSpeed compiles its communication when it is first used.
    """
    own = str(Path(sys.executable).parent)  # another `ninja` than the one beside it would compile all anew
    os.environ["PATH"] = os.pathsep.join([own, os.environ.get("PATH", os.defpath)])
    compiler = os.environ.get("CXX", "g++")
    if on_cpu and not shutil.which(compiler):
        raise ConfigError(
            f"--deepspeed on a CPU compiles a part of DeepSpeed when it is first used, and there is no "
            f"{compiler}; install g++, or leave --deepspeed out"
        )
    if "RANK" not in os.environ:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        os.environ |= dict(zip(_LAUNCHER, ("0", "0", "1", "1", "127.0.0.1", str(port)), strict=True))


def require_engine(model: Any) -> Any:
    """The engine. Raises ConfigError if Trainer has made something else of the model, which it does silently
    where the environment says so (ACCELERATE_USE_CPU)."""
    if type(model).__name__ != ENGINE:
        raise ConfigError(
            f"--deepspeed was given and {type(model).__name__} trains; unset the variables of the "
            f"environment that begin with ACCELERATE_"
        )
    return model


def write_share(engine: Any, directory: Path, step: int) -> None:
    """By every process, at the same time: its share of the state. Returns when all shares are there."""
    engine.save_checkpoint(str(directory), tag=_TAG.format(step))


def share_count(directory: Path) -> int:
    """How many processes wrote the checkpoint. Raises CheckpointError if it has no part of DeepSpeed's."""
    count = len(list(directory.glob(_SHARES)))
    if count == 0:
        raise CheckpointError(f"{directory} has no state of DeepSpeed's")
    return count


def ask_for_universal(config: dict[str, Any]) -> None:
    """In DeepSpeed's configuration, before the engine is made: it will load the universal format."""
    config["checkpoint"] = {**config.get("checkpoint", {}), "load_universal": True}


def load(engine: Any, directory: Path, world: World) -> None:
    """By every process, at the same time: become what was saved. Raises CheckpointError."""
    _require_same_kind(engine.zero_optimization_stage(), directory)
    if not engine.load_universal_checkpoint():
        _load(engine, directory)
        return
    with _universal(directory, world) as converted:
        _load(engine, converted)
        _give_each_its_own_count(engine.optimizer.optimizer)
        world.agree(True)  # all have read it


def _give_each_its_own_count(optimizer: torch.optim.Optimizer) -> None:
    """DeepSpeed 0.19's ZeRO-3 gives all tensors one count of steps when it loads its universal format: it
    then grows with each of them, and Adam corrects its moments for too many."""
    for state in optimizer.state.values():
        if isinstance(count := state.get("step"), torch.Tensor):
            state["step"] = count.clone()


def _require_same_kind(stage: int, directory: Path) -> None:
    """Stage 3 spreads the weights, too, and neither reads what the other wrote."""
    if any(directory.glob(_SPREAD_WEIGHTS)) != (stage == 3):
        other = "zero1 or zero2" if stage == 3 else "zero3"
        raise CheckpointError(
            f"{directory} cannot be continued with ZeRO-{stage}; --deepspeed with {other} can, and "
            f"--force begins anew"
        )


def _load(engine: Any, directory: Path) -> None:
    found, _ = engine.load_checkpoint(str(directory), load_lr_scheduler_states=False)
    if found is None:
        raise CheckpointError(f"DeepSpeed cannot load its part of {directory}")


@contextmanager
def _universal(directory: Path, world: World) -> Iterator[Path]:
    """The same state, but for any number of processes, for the time of the block."""
    scratch = directory.parent / f"{STAGING_PREFIX}universal"  # a kill leaves it to the next attempt
    problem = None
    if world.is_main:
        remove(scratch)
        problem = _convert(directory, scratch)
    if problem := world.broadcast(problem):
        raise CheckpointError(problem)
    try:
        yield scratch
    finally:
        if world.is_main:
            remove(scratch)


def _convert(directory: Path, scratch: Path) -> str | None:
    """What went wrong, or None."""
    tag = (directory / "latest").read_text(encoding="utf-8").strip()
    command = [sys.executable, "-m", "deepspeed.checkpoint.ds_to_universal", "--inject_missing_state"]
    scratch.mkdir()
    done = subprocess.run(
        [*command, "--input_folder", str(directory / tag), "--output_folder", str(scratch / tag)],
        env={name: value for name, value in os.environ.items() if name not in _LAUNCHER},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode == 0:
        return None
    return f"{directory} cannot be converted for another number of processes:\n{done.stdout[-2000:]}"
