"""What the Trainer could not make of its arguments is told before a trial begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests import hf_case
from transformer_e2e.hf.defaults import OPTIMIZERS
from transformer_e2e.hf.rehearsal import training_problems


def problems(folder: Path, **changes: Any) -> list[str]:
    return training_problems(hf_case.arguments(folder, **changes).training)


@pytest.mark.parametrize(
    "changes",
    [
        *({"optim": name} for name in OPTIMIZERS),
        {"optim": "sgd", "optim_args": "momentum=0.9"},
        {"lr_scheduler_type": "cosine_with_restarts", "lr_scheduler_kwargs": {"num_cycles": 2}},
        {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr_rate": 0.1}},
        {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr": 1e-6}},
        {"lr_scheduler_type": "cosine_warmup_with_min_lr", "lr_scheduler_kwargs": {"min_lr_rate": 0.1}},
        {"lr_scheduler_type": "warmup_stable_decay", "lr_scheduler_kwargs": {"num_decay_steps": 100}},
        {"lr_scheduler_type": "polynomial", "learning_rate": 0.0},
        {"lr_scheduler_type": "reduce_lr_on_plateau", "lr_scheduler_kwargs": {"patience": 1}},
    ],
    ids=lambda changes: " ".join(map(str, changes.values())),
)
def test_what_works_is_no_problem(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert problems(tmp_path, **changes) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"optim_args": "foo=1"},
            "--optim_args=foo=1 cannot be used: it has no such",
        ),
        ({"use_liger_kernel": True}, "which is not installed"),
        ({"optim_args": "foo"}, "--optim_args=foo cannot be used"),
        (
            {"lr_scheduler_type": "warmup_stable_decay"},
            '--lr_scheduler_kwargs={"num_decay_steps": 100} works',
        ),
        ({"lr_scheduler_type": "cosine_with_min_lr"}, '--lr_scheduler_kwargs={"min_lr_rate": 0.1} works'),
        (
            {"lr_scheduler_kwargs": {"cycles": 2}},
            "--lr_scheduler_type=linear --lr_scheduler_kwargs={'cycles': 2}",
        ),
    ],
)
def test_what_does_not_is_told_with_what_does(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    (problem,) = problems(tmp_path, **changes)
    assert expected in problem
