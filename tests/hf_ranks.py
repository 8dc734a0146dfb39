"""One rank of a small Hugging Face training, for tests: `torchrun -m tests.hf_ranks '{"folder": ...}'`.

Rank 0 prints a line of JSON: how it ended, the rows that it logged, and which engine trained.
"""

from __future__ import annotations

import faulthandler
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from tests import hf_case
from tests.unit.training_case import DirectoryTrial
from transformer_e2e.compute.place import place
from transformer_e2e.hf import deepspeed
from transformer_e2e.hf.training import train
from transformer_e2e.hf.trial_trainer import TrialTrainer
from transformer_e2e.launch.ending import end_with
from transformer_e2e.trainer.follower import Follower

GLOBAL_BATCH = 8
engines: list[str] = []


class SeenTrainer:
    """Notes what has trained."""

    original = TrialTrainer.work

    def work(self: Any) -> Any:
        try:
            return SeenTrainer.original(self)
        finally:
            engines.append(type(self.model_wrapped).__name__)


def main(
    folder: str, *, stop_at: float = float("inf"), dropout: float = 0.0, count: int = 48, **training: Any
) -> int:
    here = place()
    TrialTrainer.work = SeenTrainer.work  # type: ignore[method-assign]
    if "deepspeed" in training:
        deepspeed.make_ready(on_cpu=True)
    each = GLOBAL_BATCH // here.size
    sizes = {"per_device_train_batch_size": each, "per_device_eval_batch_size": each}
    arguments = hf_case.arguments(
        Path(folder) / "unused", **{"gradient_accumulation_steps": 1, "logging_steps": 1} | sizes | training
    )
    prepared = replace(hf_case.prepared(count=count), evaluation=hf_case.examples(16, 2))
    for module in prepared.model.modules():
        if isinstance(module, nn.Dropout):
            module.p = dropout
    trial = DirectoryTrial(Path(folder), stop_at=stop_at) if here.is_main else Follower(lambda: False)
    said: list[str] = []
    result = train(trial, prepared, arguments, say=said.append, metric_name="eval/loss", goal="minimize")
    if isinstance(trial, DirectoryTrial):
        facts = {"outcome": result.outcome, "steps": result.steps, "rows": trial.rows, "engine": engines[0]}
        print(json.dumps(facts | {"said": said}))
    return 0


if __name__ == "__main__":
    # A collective that not all take part in; DeepSpeed's first use compiles for minutes.
    faulthandler.dump_traceback_later(1000, exit=True)
    end_with(lambda: main(**json.loads(sys.argv[1])))
