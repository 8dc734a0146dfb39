"""Which settings decide the result of a trial of the Hugging Face program, and what the trial is called."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from transformers.training_args import TrainingArguments

from transformer_e2e.config.hf_settings import DataArguments, ModelArguments, RunArguments, length_setting
from transformer_e2e.config.option import is_counted
from transformer_e2e.data.table_sources import DEFAULTS
from transformer_e2e.errors import ConfigError, nearest
from transformer_e2e.runs.identity import readable_name

# These count with whatever value they have; every other field of TrainingArguments counts if it is not at
# its default, so that a field that a later version of the library adds changes no run ID.
ALWAYS_COUNTED = (
    "num_train_epochs",
    "max_steps",
    "learning_rate",
    "lr_scheduler_type",
    "warmup_steps",
    "optim",
    "weight_decay",
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "gradient_accumulation_steps",
    "max_grad_norm",
    "fp16",
    "bf16",
    "seed",
    "eval_strategy",
)
# By their beginning: where and how a trial runs, what is shown of it and kept; nothing of its result.
NEVER_COUNTED = (
    "output_dir",
    "per_device_",  # counted as the batch of all processes together
    "logging_",
    "log_",
    "disable_tqdm",
    "report_to",
    "run_name",
    "project",
    "trackio_",
    "save_",
    "hub_",
    "dataloader_num_workers",
    "dataloader_pin_memory",
    "dataloader_persistent_workers",
    "dataloader_prefetch_factor",
    "dataloader_multiprocessing_context",
    "use_cpu",
    "ddp_",
    "debug",
    "deepspeed",  # its content counts, without how it is spread over processes
    "fsdp",
    "gradient_checkpointing",
    "activation_checkpointing",
    "torch_empty_cache_steps",
    "eval_accumulation_steps",
    "eval_use_gather_object",
    "full_determinism",
    "include_num_input_tokens_seen",
    "restore_callback_states",
    "eval_steps",  # counted with eval_strategy=steps
)
SPREAD = ("zero_optimization", "checkpoint", "steps_per_print", "wall_clock_breakdown", "communication_data")


def counted(values: Mapping[str, Any], *, processes: int) -> dict[str, Any]:
    """The settings that decide the result, flat, by name; plain JSON values. Raises ConfigError."""
    found: dict[str, Any] = {"program": "train_hf"}
    for group in (ModelArguments, DataArguments, RunArguments):
        found |= {item.name: values[item.name] for item in fields(group) if is_counted(item)}
    if not values["dataset_name"] and not values["train_file"]:
        found["dataset_name"] = DEFAULTS[values["task"]]
    defaults = {item.name: item.default for item in fields(TrainingArguments)}
    for name, default in defaults.items():
        value = values[name]
        if name in ALWAYS_COUNTED or not (name.startswith(NEVER_COUNTED) or not value or value == default):
            found[name] = value
    found["train_batch_size"] = values["per_device_train_batch_size"] * processes
    found["eval_batch_size"] = values["per_device_eval_batch_size"] * processes
    if values["eval_strategy"] == "steps":
        found["eval_steps"] = values["eval_steps"]
    if values["deepspeed"]:
        content = deepspeed_content(values["deepspeed"])
        found["deepspeed"] = {name: part for name, part in content.items() if not name.startswith(SPREAD)}
    return found


def readable(values: Mapping[str, Any], *, processes: int, in_sweep: bool) -> str:
    """`single_bs16_cw128_lr5e-05`; in a sweep `tune_16_128_5e-05`; `run_name` replaces it."""
    return readable_name(
        {
            "batch_size": values["per_device_train_batch_size"] * processes,
            "context_window": values[length_setting(values["task"])],
            "learning_rate": values["learning_rate"],
        },
        in_sweep=in_sweep,
        prefix=values["run_prefix"],
        run_name=values["run_name"],
    )


def deepspeed_content(given: Any) -> dict[str, Any]:
    """DeepSpeed's configuration, from its file or given as JSON. Raises ConfigError."""
    if isinstance(given, Mapping):
        return dict(given)
    path = Path(given)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        known = "transformer_e2e/configs/deepspeed/zero2.json"
        raise ConfigError(
            f"--deepspeed={given} cannot be read ({error}); {known} is one that works"
        ) from None
    if not isinstance(content, dict):
        raise ConfigError(f"--deepspeed={given} holds no JSON object")
    return content


def deciding_metric(
    values: Mapping[str, Any], *, metric: str, goal: str, known: Sequence[str]
) -> tuple[str, str]:
    """(name, goal) of the metric that decides which checkpoint is best: the task's own, unless
    --metric_for_best_model names another one of the `known`, as Hugging Face's examples do (`f1`, `eval_f1`,
    `eval/f1`). Raises ConfigError."""
    given = values["metric_for_best_model"]
    if values["prediction_loss_only"]:
        known = ("loss",)
    require_measured(given or metric, known, f"--task={values['task']}{_alone(values)}")
    if not given:
        return metric, goal
    plain = _plain(given)
    greater = values["greater_is_better"]
    if greater is None:
        greater = not plain.endswith(("loss", "perplexity", "mse", "mae"))
    return f"eval/{plain}", "maximize" if greater else "minimize"


def require_measured(metric: str | None, known: Sequence[str], what: str) -> None:
    """Raises ConfigError if an evaluation of `what` does not give `metric`; None is the task's own choice."""
    if metric and (plain := _plain(metric)) not in known:
        raise ConfigError(
            f"--metric_for_best_model={metric} is not measured by {what}, which gives {', '.join(known)}"
            f"{nearest(plain, known)}"
        )


def _alone(values: Mapping[str, Any]) -> str:
    return " with --prediction_loss_only" if values["prediction_loss_only"] else ""


def _plain(metric: str) -> str:
    return metric.removeprefix("eval_").removeprefix("eval/")
