"""From the values of a command to a trial: who it is, and the arguments that its parts are given."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from transformers.training_args import TrainingArguments

from transformer_e2e.compute.device import resolve_device
from transformer_e2e.compute.place import Place
from transformer_e2e.config.hf_settings import DataArguments, ModelArguments, RunArguments
from transformer_e2e.errors import ConfigError
from transformer_e2e.hf import build_locks, deepspeed
from transformer_e2e.hf.arguments import Arguments
from transformer_e2e.hf.identity import counted, readable
from transformer_e2e.hf.parser import Given, in_sweep
from transformer_e2e.hf.precision import usable_precision
from transformer_e2e.hf.reporting import Reporting
from transformer_e2e.runs.identity import run_id
from transformer_e2e.runs.spec import TrialSpec

# What from_pretrained and `infer` need; the rest of a checkpoint is for going on with its training.
MODEL_FILES = ("*config.json", "model*", "tokenizer*", "schema.json")
SECRET = ("hub_token",)


def trial_spec(
    given: Given,
    reporting: Reporting,
    *,
    metric: tuple[str, str],
    project: str,
    entity: str | None,
    rerun_command: str,
    processes: int,
) -> TrialSpec:
    """Who the trial is, where it lives, and what becomes of its model. Raises ConfigError."""
    values = given.values
    decisive = counted(values, processes=processes)
    name, goal = metric
    return TrialSpec(
        run_id=run_id(decisive, readable=readable(values, processes=processes, in_sweep=in_sweep())),
        counted=decisive,
        settings={name: value for name, value in values.items() if name not in SECRET},
        root=Path(values["checkpoint_dir"]),
        project=reporting.project or project,
        entity=values["entity"] or entity,
        upload=reporting.upload,
        upload_pruned=values["upload_pruned"],
        keep_local=values["keep_local"],
        force=values["force"],
        no_wait=values["no_wait"],
        keep_checkpoints=values["save_total_limit"] or 1,
        disk_budget=round(values["disk_budget"] * 1e9),
        metric_name=name,
        goal="maximize" if goal == "maximize" else "minimize",
        artifact_files=MODEL_FILES,
        rerun_command=rerun_command,
    )


def arguments_of(given: Given, directory: Path, place: Place) -> tuple[Arguments, list[str]]:
    """The arguments of a training in `directory` on this process's device, and notes on what was changed.

    Raises ConfigError for a device that is not there, or for arguments that exclude each other.
    """
    from transformer_e2e.hf.rehearsal import training_problems  # imports the Trainer: 4 seconds

    values = given.values
    device = resolve_device("cpu" if values["use_cpu"] else values["device"], place)
    precision, notes = usable_precision(values, device)
    if device.type == "cpu":  # DeepSpeed, which the Trainer imports, would warn that it finds nothing else
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    if values["deepspeed"]:
        deepspeed.make_ready(on_cpu=device.type == "cpu")
        if place.local_rank == 0:
            notes += build_locks.free_stale()
    own: dict[str, Any] = {
        "output_dir": str(directory),
        "report_to": "none",  # only our bridge logs
        "use_cpu": device.type == "cpu",
        "disable_tqdm": True,
        "logging_nan_inf_filter": False,
        "dataloader_pin_memory": values["dataloader_pin_memory"] and device.type == "cuda",
    }
    try:
        training = TrainingArguments(**{**given.group(TrainingArguments), **precision, **own})
    except (ValueError, TypeError, OSError, ImportError) as error:
        raise ConfigError(f"these training arguments cannot be used: {error}") from None
    ConfigError.raise_if(training_problems(training))
    if training.n_gpu > 1:  # Trainer would multiply the batch size, which the run ID names
        notes.append(f"one of {training.n_gpu} GPUs is used; torchrun --nproc_per_node uses more")
        training._n_gpu = 1
    return Arguments(
        model=ModelArguments(**given.group(ModelArguments)),
        data=DataArguments(**given.group(DataArguments)),
        run=RunArguments(**given.group(RunArguments)),
        training=training,
    ), notes
