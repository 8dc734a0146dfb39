"""Settings of text generation: which model, what to continue, how to sample."""

from __future__ import annotations

from dataclasses import dataclass

from transformer_e2e.config.option import option
from transformer_e2e.config.settings import DEVICES


@dataclass(frozen=True, kw_only=True)
class GenerationSettings:
    """One generation. At most one of run_id, checkpoint and artifact is given; without one the newest
    finished trial is used."""

    run_id: str | None = option(None, "any unique beginning of a run ID", counts=False)
    checkpoint: str | None = option(None, "a checkpoint directory", counts=False)
    artifact: str | None = option(None, "an artifact, e.g. model-<run_id>:best", counts=False)
    prompt: str = option("Return a", "text to continue", counts=False)
    max_new_tokens: int = option(120, "tokens to generate", counts=False, minimum=1, maximum=100_000)
    temperature: float = option(0.8, "of the softmax; 0: always the likeliest token", counts=False, minimum=0)
    top_k: int = option(50, "sample among this many likeliest tokens; 0: all", counts=False, minimum=0)
    top_p: float = option(0.95, "sample among the likeliest tokens that hold this mass", above=0, maximum=1)
    seed: int = option(1, "same seed, same text", counts=False, minimum=0, maximum=2**31 - 1)
    device: str = option("auto", "auto takes cuda, then mps, then cpu", counts=False, choices=DEVICES)
    checkpoint_dir: str = option("model_checkpoints", "folder of trials and records", counts=False)
