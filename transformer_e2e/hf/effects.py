"""Settings that the task or another setting leaves without effect: nobody should believe that they count."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from transformer_e2e.config.hf_settings import RUNNING_TEXT

ANSWERING = ("extractive_qa", "generative_qa")
OF_TASKS = {  # setting -> the tasks that use it
    "block_size": RUNNING_TEXT,
    "max_seq_length": ("classification", *ANSWERING),
    "mlm_probability": ("mlm",),
    "doc_stride": ("extractive_qa",),
    "max_answer_length": ANSWERING,
    "pad_to_max_length": ANSWERING,
    "label_column_name": ("classification", *ANSWERING),
    "problem_type": ("classification",),
    "drop_unlabeled": ("classification",),
    "label_smoothing_factor": (*RUNNING_TEXT, "classification", "generative_qa"),
}
INTERVALS = {  # setting -> the one that must be "steps"
    "logging_steps": "logging_strategy",
    "eval_steps": "eval_strategy",
    "save_steps": "save_strategy",
}


def length_of_blocks(
    values: dict[str, Any], given: Collection[str], defaults: Mapping[str, Any]
) -> list[str]:
    """Hugging Face's run_mlm calls the length of a block max_seq_length; a note if it was taken so.

    `given`: names of the settings that have a value from outside.
    """
    if values["task"] not in RUNNING_TEXT or "max_seq_length" not in given or "block_size" in given:
        return []
    values["block_size"], values["max_seq_length"] = values["max_seq_length"], defaults["max_seq_length"]
    return [f"--max_seq_length is understood as --block_size with --task={values['task']}"]


def without_effect(
    values: Mapping[str, Any], given: Collection[str], defaults: Mapping[str, Any]
) -> list[str]:
    """Notes on settings that were given another value than their default, and do nothing with it."""
    changed = {name for name in given if values[name] != defaults[name]}
    task = values["task"]
    notes = [
        f"--{name} has no effect with --task={task}"
        for name, tasks in OF_TASKS.items()
        if name in changed and task not in tasks
    ]
    notes += [
        f"--{name} has no effect with --{strategy}={values[strategy]}"
        for name, strategy in INTERVALS.items()
        if name in changed and values[strategy] != "steps"
    ]
    if "num_train_epochs" in changed and values["max_steps"] > 0:
        notes.append(f"--num_train_epochs has no effect with --max_steps={values['max_steps']}")
    if "greater_is_better" in changed and not values["metric_for_best_model"]:
        notes.append("--greater_is_better has no effect without --metric_for_best_model")
    return notes
