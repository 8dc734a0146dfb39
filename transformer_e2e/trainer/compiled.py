"""`--compile`: the loss and its gradients as machine code made for these shapes.

Only training is compiled: evaluation and sampling run the plain model, whose batches change in size, so
nothing is ever compiled twice in one process, and no name of a weight changes.
Measured for 5.3 M parameters in bf16 (16 x 128 tokens, one core with AMX): a step takes 180 to 220 ms instead
of 290 to 360; the first one 30 s, or 8 with the code in the cache, so that it pays from about 300 steps on.
"""

from __future__ import annotations

import os
import shutil
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from transformer_e2e.errors import ConfigError
from transformer_e2e.model.decoder import Decoder

CACHE = "compiled"  # folder below cache_dir
FOLDER = "TORCHINDUCTOR_CACHE_DIR"  # where torch looks for compiled code
Loss = Callable[[Tensor, Tensor], Tensor]  # (ids_BT, targets_BT) -> summed nats, as Decoder.loss

# Random numbers are torch's own, as in the plain model: the generators of a checkpoint cover them.
OPTIONS: dict[str, Any] = {"fallback_random": True}


def compiled_loss(model: Decoder) -> Loss:
    """`model.loss`, compiled at its first call.

    The code depends on shapes, thread count, processor and versions alone, so every attempt of a trial
    runs the same code, whether it finds it in the cache or compiles it anew.
    """
    loss: Loss = torch.compile(model.loss, fullgraph=True, dynamic=False, options=OPTIONS)
    return loss


def share_compiled_code(cache_dir: Path) -> None:
    """Keep what is compiled below `cache_dir`, where the next attempt finds it; an own
    TORCHINDUCTOR_CACHE_DIR wins. Safe for several processes: files are renamed into place."""
    os.environ.setdefault(FOLDER, str((cache_dir / CACHE).resolve()))


def compiled_code() -> str:
    """The folder that `share_compiled_code` chose."""
    return os.environ[FOLDER]


def check_compiler(device: torch.device) -> None:
    """Raise ConfigError if `--compile` cannot work here."""
    ConfigError.raise_if(missing_tools(device), "--compile cannot be used here; leave it out or provide:")


def missing_tools(device: torch.device) -> list[str]:
    if device.type == "cpu":
        compiler = os.environ.get("CXX", "g++")
        header = Path(sysconfig.get_path("include")) / "Python.h"
        needs = {
            f"a C++ compiler: {compiler} is not on PATH (install g++, or name yours in CXX)": shutil.which(
                compiler
            ),
            f"Python's C headers: {header} is not there (python3-dev or alike)": header.is_file(),
        }
        return [need for need, found in needs.items() if not found]
    if device.type == "cuda":
        from torch.utils._triton import has_triton

        return [] if has_triton() else ["Triton (pip install triton)"]
    return [f"--device cpu or cuda: compiled code for {device.type} was never tried"]
