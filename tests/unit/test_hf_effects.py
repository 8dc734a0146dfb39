"""A setting that does nothing is said to do nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.test_hf_parser import given, problems


def test_run_mlms_word_for_the_length_of_a_block_is_taken() -> None:
    found = given("--task=mlm", "--max_seq_length=64")
    assert found.values["block_size"] == 64
    assert found.notes == ["--max_seq_length is understood as --block_size with --task=mlm"]
    plain = given("--task=mlm", "--block_size=64")
    assert found.values == plain.values and plain.notes == []
    both = given("--task=mlm", "--block_size=64", "--max_seq_length=32")
    assert both.values["block_size"] == 64
    assert both.notes == ["--max_seq_length has no effect with --task=mlm"]


@pytest.mark.parametrize(
    ("argv", "note"),
    [
        (
            ["--task=classification", "--block_size=64"],
            "--block_size has no effect with --task=classification",
        ),
        (
            ["--task=extractive_qa", "--label_smoothing_factor=0.1"],
            "--label_smoothing_factor has no effect with --task=extractive_qa",
        ),
        (["--task=clm", "--mlm_probability=0.2"], "--mlm_probability has no effect with --task=clm"),
        (
            ["--eval_strategy=epoch", "--eval_steps=50"],
            "--eval_steps has no effect with --eval_strategy=epoch",
        ),
        (["--max_steps=5", "--epochs=9"], "--num_train_epochs has no effect with --max_steps=5"),
        (["--greater_is_better"], "--greater_is_better has no effect without --metric_for_best_model"),
    ],
)
def test_what_has_no_effect_is_said(argv: list[str], note: str) -> None:
    assert given(*argv).notes == [note]


@pytest.mark.parametrize("flag", ["--fp16", "--overwrite_output_dir", "--report_to wandb", "--do_train"])
def test_no_flag_swallows_an_argument_file(tmp_path: Path, flag: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("learning_rate: 0.125")
    assert given(*flag.split(), str(path)).values["learning_rate"] == 0.125
    assert given("--deepspeed", "zero2.json").values["deepspeed"] == "zero2.json"


def test_two_devices_are_a_problem() -> None:
    assert "--use_cpu and --device=cuda exclude each other" in problems("--no_cuda", "--device=cuda")
    assert given("--use_cpu", "--device=cpu").values["use_cpu"] is True


def test_what_is_at_its_default_earns_no_note() -> None:
    argv = ("--task=classification", "--block_size=128", "--eval_strategy=epoch", "--eval_steps=0.1")
    assert given(*argv).notes == []
    assert given("--task=extractive_qa", "--doc_stride=32", "--max_seq_length=128").notes == []
