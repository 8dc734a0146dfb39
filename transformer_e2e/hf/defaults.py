"""Where this program's defaults and rules differ from those of Hugging Face's TrainingArguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformer_e2e.config.option import Rule

# Intervals below 1 are shares of all steps (transformers' own rule), which suit a training of any length.
DEFAULTS: dict[str, Any] = {
    "logging_steps": 10,
    "eval_strategy": "steps",
    "eval_steps": 0.1,
    "save_steps": 0.1,
    "save_total_limit": 2,
    "report_to": ["wandb"],
    "project": None,
}
# A model that begins with random weights wants larger steps, and a warm-up of a tenth of them.
FROM_SCRATCH: dict[str, Any] = {"learning_rate": 5e-4, "warmup_steps": 0.1}

TRACKERS = ("wandb", "all", "none")

# The state of any other is of a form, or in a package, with which an exact resume was never seen.
OPTIMIZERS = ("adamw_torch", "adamw_torch_fused", "adafactor", "sgd", "adagrad", "rmsprop")

# What `--help` says of a setting where the library's own words are wrong here, or name no value.
HELP = {
    "optim": f"optimizer: {', '.join(OPTIMIZERS)}",
    "report_to": "wandb; or none: nothing goes to W&B",
    "project": "W&B project (None: WANDB_PROJECT, else transformer-e2e)",
    "run_name": "replaces the readable part of the run ID",
    "save_total_limit": "checkpoints that are kept besides the best one",
    "metric_for_best_model": "metric that decides which checkpoint is the best, e.g. loss, accuracy, f1, "
    "exact_match (None: f1 for extractive_qa, else loss)",
    "optim_args": 'arguments of the optimizer, e.g. "momentum=0.9" of sgd',
}
RULES = {
    "optim": Rule(choices=OPTIMIZERS),
    "per_device_train_batch_size": Rule(minimum=1),
    "per_device_eval_batch_size": Rule(minimum=1),
    "gradient_accumulation_steps": Rule(minimum=1),
    "num_train_epochs": Rule(above=0),
    "learning_rate": Rule(minimum=0),
    "weight_decay": Rule(minimum=0),
    "warmup_steps": Rule(minimum=0),
    "adam_beta1": Rule(minimum=0, below=1),
    "adam_beta2": Rule(minimum=0, below=1),
    "adam_epsilon": Rule(above=0),
    "max_grad_norm": Rule(minimum=0),
    "label_smoothing_factor": Rule(minimum=0, below=1),
    "logging_steps": Rule(above=0),
    "eval_steps": Rule(above=0),
    "save_steps": Rule(above=0),
    "save_total_limit": Rule(minimum=1),
    "seed": Rule(minimum=0, maximum=2**31 - 1),
    "data_seed": Rule(minimum=0, maximum=2**31 - 1),
}


def conflicts(values: Mapping[str, Any]) -> list[str]:
    """The rules over several settings that are broken, one sentence each."""
    found = []
    for suffix in ("", "_full_eval"):
        if values[f"fp16{suffix}"] and values[f"bf16{suffix}"]:
            found.append(f"--fp16{suffix} and --bf16{suffix} exclude each other; keep one of them")
    if values["max_steps"] != -1 and values["max_steps"] < 1:
        steps = values["max_steps"]
        found.append(f"--max_steps={steps} must be at least 1; -1: as many as --num_train_epochs says")
    if values["use_cpu"] and values["device"] not in ("auto", "cpu"):
        found.append(f"--use_cpu and --device={values['device']} exclude each other; keep one of them")
    if not values["dataloader_in_order"]:
        found.append("--dataloader_in_order=false is not possible here: a trial's batches come in one order")
    if not values["eval_do_concat_batches"]:
        found.append("--eval_do_concat_batches=false is not possible here: metrics are of all examples")
    if values["batch_eval_metrics"]:
        found.append(
            "--batch_eval_metrics is not possible here: F1 and correlations are of all examples together; "
            "--eval_accumulation_steps saves the accelerator's memory"
        )
    if values["train_sampling_strategy"] == "batch_rebalance":
        found.append("--train_sampling_strategy=batch_rebalance is not possible here; group_by_length is")
    if values["early_stopping_patience"] and values["eval_strategy"] == "no":
        found.append("--early_stopping_patience needs evaluations: --eval_strategy=epoch or steps")
    unknown = [name for name in values["report_to"] or [] if name not in TRACKERS]
    if unknown:
        found.append(
            f"--report_to={','.join(unknown)} is not possible here; wandb works, or none (metrics.jsonl in "
            f"the trial's folder has every row)"
        )
    if values["validation_file"] and not values["train_file"] and not values["dataset_name"]:
        found.append("--validation_file needs a --train_file")
    return found
