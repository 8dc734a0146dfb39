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
    "answer_column": "label_column_name",
    "shuffle_seed": "data_seed",
    "torchdynamo": "torch_compile_backend",
}
# Switches that, when they are on, mean a value of another setting.
SWITCHES = {
    "group_by_length": ("train_sampling_strategy", "group_by_length"),
    "adafactor": ("optim", "adafactor"),
    "do_regression": ("problem_type", "regression"),
    "use_mps_device": ("device", "mps"),
}
_TO_WANDB = "rows and models go to W&B"
_DROPPED = "the library no longer has it"
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
    "local_rank": "torchrun says it by the environment",
    "skip_memory_metrics": "memory is logged as perf/",
    "dataloader_persistent_workers": "workers begin anew with each epoch, as they must after a kill",
    "label_names": "each task knows its labels; --label_column_name names their column",
    "remove_unused_columns": "each task knows which columns it needs",
    "restore_callback_states_from_checkpoint": "a checkpoint always holds all of the training's state",
    "save_on_each_node": "rank 0 alone saves",
    "log_on_each_node": "rank 0 alone logs",
    "include_for_metrics": "each task knows what its metrics need",
    **dict.fromkeys(("hub_model_id", "hub_strategy", "hub_private_repo", "hub_always_push"), _TO_WANDB),
    **dict.fromkeys(("hub_revision", "hub_token"), _TO_WANDB),
    **dict.fromkeys(("trackio_space_id", "trackio_bucket_id", "trackio_static_space_id"), _TO_WANDB),
    "low_cpu_mem_usage": "the library loads weights as it thinks best",
    "torch_dtype": "weights are kept in fp32; --bf16 or --fp16 computes in less",
    "dtype": "weights are kept in fp32; --bf16 or --fp16 computes in less",
    "attn_implementation": "the library chooses the fastest one that the model has",
    "ignore_mismatched_sizes": "a classification head of another shape is always made anew",
    "overwrite_cache": "prepared data is kept by the hash of its content, so it is never stale",
    "keep_linebreaks": "line breaks are always kept",
    "shuffle_train_dataset": "training examples always come in an order drawn from --data_seed, or --seed",
    "max_predict_samples": "transformer_e2e.scripts.evaluate and infer take other examples",
    "predict_with_generate": "generative_qa always measures what the model writes",
    "metric_name": "all metrics of the task are measured; --metric_for_best_model names the one that decides",
    "n_best_size": "every span is looked at",
    "version_2_with_negative": "questions without an answer are found in the data",
    "null_score_diff_threshold": "no answer is given where it is likelier than the best span",
    "text_column_delimiter": "two texts are given to the model as a pair",
    "remove_splits": "only the splits train, validation and test are read",
    "include_tokens_per_second": "perf/tokens_per_second is always logged",
    "evaluate_during_training": "--eval_strategy says when to evaluate",
    "fp16_opt_level": _DROPPED,
    "fp16_backend": _DROPPED,
    "half_precision_backend": _DROPPED,
    "tpu_num_cores": _DROPPED,
    "tpu_metrics_debug": _DROPPED,
    "past_index": _DROPPED,
    "mp_parameters": _DROPPED,
    "ray_scope": _DROPPED,
    "xpu_backend": _DROPPED,
    "jit_mode_eval": _DROPPED,
    "use_ipex": _DROPPED,
    "include_inputs_for_metrics": _DROPPED,
    "push_to_hub_model_id": _DROPPED,
    "push_to_hub_organization": _DROPPED,
    "push_to_hub_token": _DROPPED,
}
_SPLITS = "splits are found by their names: train, validation (or valid, val, dev), test"
_SHARES = "--deepspeed=transformer_e2e/configs/deepspeed/zero3.json spreads the weights over processes"
# Not accepted, with what works instead.
REFUSED = {
    "push_to_hub": "the model is uploaded to W&B as an artifact; push that one",
    "save_only_model": "a checkpoint without its optimizer could not be continued exactly",
    "ignore_data_skip": "a trial that begins its data anew after a kill is another trial",
    "auto_find_batch_size": "the batch size decides the result; choose --per_device_train_batch_size, and "
    "--gradient_accumulation_steps for what does not fit",
    "fsdp": _SHARES,
    "fsdp_config": _SHARES,
    "optim_target_modules": "it is for optimizers whose state could not be resumed exactly",
    "sharded_ddp": _SHARES,
    "accelerator_config": "how examples are ordered, divided and summed up decides the result, and whether a "
    "trial goes on exactly; the batch size, --gradient_accumulation_steps and --dataloader_drop_last choose",
    "debug": "train/grad_norm is logged, and one that is not finite ends the trial as diverged",
    "enable_jit_checkpoint": "a stop signal always makes a checkpoint first",
    "trust_remote_code": "code from the hub is never run; architectures that transformers itself has work",
    "token": "set HF_TOKEN or run `hf auth login`; a command line is seen by others, and kept",
    "use_auth_token": "set HF_TOKEN or run `hf auth login`; a command line is seen by others, and kept",
    "streaming": "a trial that goes on needs its data at any place; --max_train_samples takes a part of it",
    "line_by_line": "texts are joined and cut into blocks of --block_size tokens",
    "task_name": "--dataset_name=nyu-mll/glue --dataset_config_name=sst2 names one of GLUE's; "
    "columns are inferred",
    "train_split_name": _SPLITS,
    "validation_split_name": _SPLITS,
    "test_split_name": _SPLITS,
    "num_beams": "an answer is written with the likeliest token each time",
    "question_column": "--text_column_names=question,context names both columns",
    "context_column": "--text_column_names=question,context names both columns",
}


# What every example command says, and what is done here anyhow.
ALWAYS = ("do_train", "do_eval")


def known_words() -> Iterator[str]:
    """Every other word, for the parser to accept."""
    yield from (*ALIASES, *OLD, *SWITCHES, *GONE, *REFUSED, *ALWAYS)


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
        if name in SWITCHES and not _is_set(value):
            continue
        own, value = SWITCHES.get(name) or (ALIASES.get(name) or OLD.get(name) or name, value)
        if own in settings:
            problems.append(f"--{name} and --{said_as[own]} are two names of --{own}; keep one of them")
        if name in OLD or name in SWITCHES:
            notes.append(f"--{name} is understood as --{own}" + (f"={value}" if name in SWITCHES else ""))
        settings[own], said_as[own] = value, name
    return settings, notes, problems


def _take_without_effect(name: str, is_set: bool, notes: list[str], problems: list[str]) -> None:
    if name == "do_train" and not is_set:
        problems.append(
            "--do_train=false: this program trains; python -m transformer_e2e.scripts.evaluate only measures"
        )
    elif name == "do_eval" and not is_set:
        notes.append("--do_eval=false has no effect here: --eval_strategy=no leaves all but the last one out")
    elif name in REFUSED and is_set:
        problems.append(f"--{name} is not possible here: {REFUSED[name]}")
    elif name in GONE and is_set and name not in ALWAYS:
        notes.append(f"--{name} has no effect here: {GONE[name]}")


def _is_set(value: Any) -> bool:
    return str(value).strip().lower() not in ("false", "no", "off", "0", "none", "null", "")
