"""What is due at which step."""

from __future__ import annotations

from typing import Any

import pytest
from transformers.training_args import TrainingArguments

from transformer_e2e.hf.timetable import Timetable

STEPS = list(range(11))
NOTHING = {"logging_strategy": "no", "eval_strategy": "no", "save_strategy": "no"}


@pytest.mark.parametrize(
    ("changes", "logs", "evaluates", "saves"),
    [
        ({}, [], [10], []),
        ({"logging_strategy": "steps", "logging_steps": 4}, [4, 8, 10], [10], []),
        (
            {"logging_strategy": "steps", "logging_steps": 0.3, "logging_first_step": True},
            [1, 3, 6, 9, 10],
            [10],
            [],
        ),
        ({"logging_strategy": "epoch"}, [4, 8, 10], [10], []),
        ({"eval_strategy": "steps", "eval_steps": 3}, [], [3, 6, 9, 10], []),
        ({"eval_strategy": "steps", "eval_steps": 0.25, "eval_delay": 5}, [], [6, 9, 10], []),
        ({"eval_strategy": "epoch", "eval_on_start": True}, [], [0, 4, 8, 10], []),
        ({"eval_strategy": "epoch", "eval_delay": 2}, [], [8, 10], []),
        ({"save_strategy": "steps", "save_steps": 5}, [], [10], [5, 10]),
        ({"save_strategy": "epoch"}, [], [10], [4, 8]),
        ({"save_strategy": "best", "eval_strategy": "epoch"}, [], [4, 8, 10], []),
    ],
)
def test_what_is_due(
    changes: dict[str, Any], logs: list[int], evaluates: list[int], saves: list[int]
) -> None:
    best = {"load_best_model_at_end": False, "metric_for_best_model": "loss"}
    args = TrainingArguments(output_dir="unused", use_cpu=True, report_to=[], **(NOTHING | best | changes))
    table = Timetable(args, max_steps=10, steps_per_epoch=4, at_start=args.eval_on_start)
    assert [step for step in STEPS if table.logs(step)] == logs
    assert [step for step in STEPS if table.evaluates(step)] == evaluates
    assert [step for step in STEPS if table.saves(step)] == saves
