"""Run IDs of the Hugging Face program: what decides the result counts, and nothing else."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.unit.test_hf_parser import given
from transformer_e2e.compute.place import Place
from transformer_e2e.errors import ConfigError
from transformer_e2e.hf.identity import counted, deciding_metric, readable
from transformer_e2e.hf.precision import usable_precision
from transformer_e2e.hf.reporting import reporting
from transformer_e2e.hf.trial_settings import arguments_of, trial_spec
from transformer_e2e.runs.identity import canonical

MEASURED = ("loss", "accuracy", "f1", "mae", "perplexity", "exact_match")


def identity(*argv: str, processes: int = 1) -> Any:
    return canonical(counted(given(*argv).values, processes=processes))


@pytest.mark.parametrize(
    "argv",
    [
        ["--task=clm"],
        ["--lr=1e-4"],
        ["--bs=4"],
        ["--weight_decay=0.1"],
        ["--seed=1"],
        ["--fp16"],
        ["--max_train_samples=10"],
        ["--block_size=64"],
        ["--config_overrides=hidden_size=64"],
        ["--eval_steps=0.2"],
        ["--eval_strategy=epoch"],
        ["--early_stopping_patience=3"],
        ["--label_smoothing_factor=0.1"],  # counts because it is not at its default
        ["--metric_for_best_model=f1"],
        ["--dataset_revision=abc"],
        ["--per_device_eval_batch_size=4"],  # the mean loss of batches depends on it
        ['--deepspeed={"optimizer": {"type": "AdamW"}}'],
    ],
)
def test_what_changes_the_result_changes_the_identity(argv: list[str]) -> None:
    assert identity(*argv) != identity()


@pytest.mark.parametrize(
    "argv",
    [
        ["--device=cpu"],
        ["--checkpoint_dir=elsewhere"],
        ["--logging_steps=3"],
        ["--save_steps=7"],
        ["--save_total_limit=5"],
        ["--no_upload"],
        ["--run_name=other"],
        ["--project=other"],
        ["--report_to=none"],
        ["--activation_checkpointing"],
        ["--dataloader_num_workers=2"],
        ["--learning_rate=0.0005"],
        ["--learning_rate=5e-4"],
        ["--dataset_name=python-docs"],  # what the task takes anyhow
        ["--lr_scheduler_type=linear"],
        ["--force"],
    ],
)
def test_what_changes_nothing_of_the_result_does_not(argv: list[str]) -> None:
    assert identity(*argv) == identity()


def test_two_processes_with_half_the_batch_are_the_same_trial() -> None:
    assert identity("--bs=2", "--per_device_eval_batch_size=4", processes=2) == identity(
        "--bs=4", processes=1
    ) | {"eval_batch_size": 8}
    assert readable(given("--bs=2").values, processes=2, in_sweep=False) == "single_bs4_cw128_lr5e-04"


def test_how_deepspeed_is_spread_does_not_count(tmp_path: Path) -> None:
    files = []
    for stage in (2, 3):
        path = tmp_path / f"zero{stage}.json"
        path.write_text(json.dumps({"zero_optimization": {"stage": stage}, "fp16": {"enabled": "auto"}}))
        files.append(f"--deepspeed={path}")
    assert identity(files[0]) == identity(files[1]) != identity()
    with pytest.raises(ConfigError, match=r"zero9\.json cannot be read"):
        identity(f"--deepspeed={tmp_path}/zero9.json")


def test_the_readable_part() -> None:
    def name(*argv: str, in_sweep: bool = False) -> str:
        return readable(given(*argv).values, processes=1, in_sweep=in_sweep)

    assert name("--lr=5e-5", "--bs=16") == "single_bs16_cw128_lr5e-05"
    assert name("--task=classification", "--max_seq_length=64", "--lr=1e-4") == "single_bs8_cw64_lr1e-04"
    assert name("--task=generative_qa", "--lr=1e-5", in_sweep=True) == "tune_8_512_1e-05"
    assert name("--run_name=course") == "course"
    assert name("--run_prefix=night", "--lr=1e-4") == "night_bs8_cw128_lr1e-04"


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], ("eval/accuracy", "maximize")),
        (["--metric_for_best_model=f1"], ("eval/f1", "maximize")),
        (["--metric_for_best_model=eval_loss"], ("eval/loss", "minimize")),
        (["--metric_for_best_model=eval/loss"], ("eval/loss", "minimize")),
        (["--metric_for_best_model=f1", "--greater_is_better=false"], ("eval/f1", "minimize")),
    ],
)
def test_another_metric_can_decide(argv: list[str], expected: tuple[str, str]) -> None:
    assert (
        deciding_metric(given(*argv).values, metric="eval/accuracy", goal="maximize", known=MEASURED)
        == expected
    )


def test_a_metric_that_the_task_does_not_give_is_refused_with_those_that_it_does() -> None:
    for argv, text in (
        (
            ["--metric_for_best_model=rouge"],
            "=rouge is not measured by --task=mlm, which gives loss",
        ),
        (["--metric_for_best_model=eval_perplexty"], "did you mean perplexity?"),
        (
            ["--prediction_loss_only"],
            "--task=mlm with --prediction_loss_only, which gives loss",
        ),
    ):
        with pytest.raises(ConfigError, match=re.escape(text)):
            deciding_metric(given(*argv).values, metric="eval/accuracy", goal="maximize", known=MEASURED)
    values = given("--prediction_loss_only", "--metric_for_best_model=loss").values
    assert deciding_metric(values, metric="eval/f1", goal="maximize", known=MEASURED)[0] == "eval/loss"


def report(*argv: str, **environment: str) -> Any:
    found = given(*argv)
    return reporting(found.values, found.sources, environment)


def test_report_to_selects_our_bridge_or_nothing() -> None:
    for argv in ([], ["--report_to=wandb"], ["--report_to", "all"]):
        assert (report(*argv).silent, report(*argv).upload) == (False, True)
    assert (report("--report_to=none").silent, report("--report_to=none").upload) == (True, False)
    assert report(WANDB_DISABLED="true").silent
    assert not report("--report_to=wandb", WANDB_DISABLED="true").silent


def test_the_courses_variables() -> None:
    assert report(WANDB_LOG_MODEL="false").upload is False
    assert report("--upload", WANDB_LOG_MODEL="false").upload is True
    for word in ("end", "checkpoint", "true", ""):
        assert report(WANDB_LOG_MODEL=word).upload is True and not report(WANDB_LOG_MODEL=word).notes
    assert report(WANDB_WATCH="false").notes == []
    assert "WANDB_WATCH=all has no effect" in report(WANDB_WATCH="all").notes[0]
    assert report().project is None
    assert report(WANDB_PROJECT="course").project == "course"
    assert report(WANDB_PROJECT="huggingface").project == "huggingface"  # the course's own name for it
    assert report("--project=flag", WANDB_PROJECT="course").project == "flag"


def test_fp16_becomes_what_the_device_can() -> None:
    wish = given("--fp16").values
    assert usable_precision(wish, torch.device("cuda")) == (
        {"fp16": True, "bf16": False, "fp16_full_eval": False, "bf16_full_eval": False},
        [],
    )
    found, notes = usable_precision(wish, torch.device("mps"))
    assert not any(found.values()) and notes == ["fp16 needs CUDA; on this mps it is fp32 instead"]
    found, notes = usable_precision(wish, torch.device("cpu"))
    assert not found["fp16"] and notes[0].startswith("fp16 needs CUDA; on this cpu it is ")
    assert found["bf16"] == notes[0].endswith("bf16 instead")


def test_the_arguments_that_the_parts_get(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DS_ACCELERATOR", raising=False)
    found = given("--task=clm", "--device=cpu", "--fp16", "--report_to=wandb", "--load_best_model_at_end")
    arguments, notes = arguments_of(found, tmp_path / "trial", Place())
    training = arguments.training
    assert (arguments.task, arguments.seed, len(notes)) == ("clm", 42, 1)
    assert os.environ["DS_ACCELERATOR"] == "cpu"  # else a warning that no GPU is found, at every start
    assert training.report_to == [] and training.fp16 is False and training.use_cpu
    assert training.output_dir == str(tmp_path / "trial") and not (tmp_path / "trial").exists()
    assert not training.load_best_model_at_end and not training.logging_nan_inf_filter
    with pytest.raises(ConfigError, match=r"cannot be used: .*lr_scheduler_type greedy requires"):
        arguments_of(given("--lr_scheduler_type=greedy", "--eval_strategy=no"), tmp_path, Place())
    with pytest.raises(ConfigError, match="--device=mps is not usable"):
        arguments_of(given("--device=mps"), tmp_path, Place(size=2))


def test_a_secret_never_reaches_wandb() -> None:
    found = given("--hub_token=hf_secret")
    spec = trial_spec(
        found,
        reporting(found.values, found.sources, {}),
        metric=("eval/loss", "minimize"),
        project="p",
        entity=None,
        rerun_command="",
        processes=1,
    )
    assert "hf_secret" not in json.dumps([spec.settings, spec.counted])
    json.dumps(spec.settings, allow_nan=False)
