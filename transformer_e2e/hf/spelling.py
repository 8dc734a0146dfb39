"""Other words for the settings of the Hugging Face program: short ones, and those of older material."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

ALIASES = {
    "lr": "learning_rate",
    "bs": "per_device_train_batch_size",
    "wd": "weight_decay",
    "batch_size": "per_device_train_batch_size",
    "epochs": "num_train_epochs",
}
OLD = {
    "evaluation_strategy": "eval_strategy",
    "output_dir": "checkpoint_dir",
    "per_gpu_train_batch_size": "per_device_train_batch_size",
    "per_gpu_eval_batch_size": "per_device_eval_batch_size",
    "train_batch_size": "per_device_train_batch_size",
    "eval_batch_size": "per_device_eval_batch_size",
    "warmup_ratio": "warmup_steps",
    "no_cuda": "use_cpu",
    "model_name": "model_name_or_path",
    "max_val_samples": "max_eval_samples",
    "max_length": "max_seq_length",
    "dataset_config": "dataset_config_name",
    "gradient_checkpointing": "activation_checkpointing",
    "gradient_checkpointing_kwargs": "activation_checkpointing_kwargs",
}
# Accepted and without effect, with the reason.
GONE = {
    "overwrite_output_dir": "the same command continues a trial that was interrupted and skips one that is "
    "done; --force trains it again from step 0",
    "resume_from_checkpoint": "the same command continues from the newest complete checkpoint by itself; "
    "--model_name_or_path begins with other weights",
    "load_best_model_at_end": "the best model is always kept, and it is the one that is uploaded",
    "save_safetensors": "weights are always safetensors",
    "do_predict": "transformer_e2e.scripts.infer predicts",
    "logging_dir": "rows are in metrics.jsonl of the trial's folder and on W&B",
    "logging_nan_inf_filter": "a loss that is not finite is always shown, and ends the training as diverged",
    "disable_tqdm": "the progress bar shows on a terminal only",
    "use_fast_tokenizer": "tokenizers are always the fast ones",
    "pad_to_max_length": "batches are padded as their task needs it",
    "local_rank": "torchrun says it by the environment",
    "skip_memory_metrics": "memory is logged as perf/",
}
# Not accepted, with what works instead.
REFUSED = {
    "push_to_hub": "the model is uploaded to W&B as an artifact; push that one",
    "save_only_model": "a checkpoint without its optimizer could not be continued exactly",
    "ignore_data_skip": "a trial that begins its data anew after a kill is another trial",
    "auto_find_batch_size": "the batch size decides the result; choose --per_device_train_batch_size, and "
    "--gradient_accumulation_steps for what does not fit",
    "fsdp": "--deepspeed=transformer_e2e/configs/deepspeed/zero3.json spreads the weights over processes",
    "enable_jit_checkpoint": "a stop signal always makes a checkpoint first",
}


# What every example command says, and what is done here anyhow.
ALWAYS = ("do_train", "do_eval")


def known_words() -> Iterator[str]:
    """Every other word, for the parser to accept."""
    yield from (*ALIASES, *OLD, *GONE, *REFUSED, *ALWAYS)


def in_own_words(given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str], list[str]]:
    """`given` by the settings' own names, notes on what was old or has no effect, and problems."""
    settings: dict[str, Any] = {}
    said_as: dict[str, str] = {}
    notes: list[str] = []
    problems: list[str] = []
    for name, value in given.items():
        if name in GONE or name in REFUSED or name in ALWAYS:
            _take_without_effect(name, _is_set(value), notes, problems)
            continue
        own = ALIASES.get(name) or OLD.get(name) or name
        if own in settings:
            problems.append(f"--{name} and --{said_as[own]} are two names of --{own}; keep one of them")
        if name in OLD:
            notes.append(f"--{name} is understood as --{own}")
        settings[own], said_as[own] = value, name
    return settings, notes, problems


def _take_without_effect(name: str, is_set: bool, notes: list[str], problems: list[str]) -> None:
    if name == "do_train" and not is_set:
        problems.append(
            "--do_train=false: this program trains; python -m transformer_e2e.scripts.evaluate only measures"
        )
    elif name in REFUSED and is_set:
        problems.append(f"--{name} is not possible here: {REFUSED[name]}")
    elif name in GONE and is_set and name not in ALWAYS:
        notes.append(f"--{name} has no effect here: {GONE[name]}")


def _is_set(value: Any) -> bool:
    return str(value).strip().lower() not in ("false", "no", "off", "0", "none", "null", "")
