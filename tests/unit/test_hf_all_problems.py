"""Flags, files, columns, model and device: what is wrong with them is told in one report."""

from __future__ import annotations

from pathlib import Path

import pytest

from transformer_e2e.scripts import train_hf


def refused(folder: Path, capsys: pytest.CaptureFixture[str], **settings: object) -> str:
    """What the command says on standard error; it leaves nothing behind."""
    fixed = {"checkpoint_dir": folder / "trials", "cache_dir": folder / "cache", "log_file": folder / "log"}
    argv = [f"--{name}={value}" for name, value in {**fixed, **settings}.items()]
    assert train_hf.main(argv) == 2
    assert not (folder / "trials").exists()
    return capsys.readouterr().err


def table(folder: Path) -> Path:
    path = folder / "train.csv"
    path.write_text("texte,sorte\n" + "".join(f"some words {n},{n % 2}\n" for n in range(40)))
    return path


def test_wrong_flags_and_a_missing_file_are_one_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = {"learning_rate": "high", "weight_dekay": 1, "train_file": tmp_path / "trian.csv"}
    told = refused(tmp_path, capsys, task="classification", **wrong)
    assert told.count("error: ") == 1
    for problem in (
        "--learning_rate=high",
        "unknown flag --weight_dekay",
        "trian.csv: there is no such file",
    ):
        assert told.count(problem) == 1, told


def test_wrong_flags_and_wrong_columns_are_one_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = {"learning_rate": "high", "label_column_name": "kind", "train_file": table(tmp_path)}
    told = refused(tmp_path, capsys, task="classification", model_type="birt", **wrong)
    for problem in ("--learning_rate=high", "kind", "birt"):
        assert problem in told, told
    assert told.count("error: ") == 1


def test_what_is_found_after_the_flags_is_one_report_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = {"deepspeed": tmp_path / "zero9.json", "train_file": tmp_path / "gone.csv", "device": "mps"}
    told = refused(tmp_path, capsys, task="classification", model_type="birt", **wrong)
    for problem in ("zero9.json cannot be read", "gone.csv: there is no such file", "birt", "--device=mps"):
        assert told.count(problem) == 1, told


def test_of_an_unknown_task_no_examples_are_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = refused(tmp_path, capsys, task="clasification", train_file=tmp_path / "gone.csv")
    assert "--task=clasification" in told and "gone.csv" not in told
