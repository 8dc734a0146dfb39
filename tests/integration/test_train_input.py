"""Bad input changes nothing: a clear message, exit code 2, no run, no directory."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import REPOSITORY, ServerProcess
from tests.training import Workplace, offline


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path).prepare()


@pytest.mark.parametrize(
    ("settings", "messages"),
    [
        ({"learning_rte": 1}, ["unknown flag --learning_rte; did you mean --learning_rate?"]),
        (
            {"batch_size": 0, "model_dim": 30},
            ["--batch_size=0 must be at least 1", "next width that works is 32"],
        ),
        ({"context_window": 100_000}, ["--context_window=100000", "largest context_window that works is"]),
        ({"tokenizer": "bpe:10"}, ["the smallest that works is bpe:257"]),
        ({"dataset": "./corpus.tx"}, ["there is no such file or folder"]),
        ({"run_name": "../../x"}, ["'../../x' cannot be a run name"]),
        ({"device": "cuda"}, ["--device=cuda is not usable on this machine"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_bad_settings_are_refused_before_anything_is_made(
    workplace: Workplace, tmp_path: Path, settings: dict[str, object], messages: list[str]
) -> None:
    output = workplace.finish(offline(tmp_path), "none", exit_code=2, **settings)
    for message in messages:
        assert message in output
    assert "Traceback" not in output
    assert not (tmp_path / "none").exists()
    assert not (tmp_path / "wandb").exists()


def test_a_wrong_key_is_an_error_that_leaves_nothing(
    workplace: Workplace, wandb_server: ServerProcess
) -> None:
    env = {**wandb_server.env, "WANDB_API_KEY": "0" * 40}
    output = workplace.finish(env, "none", exit_code=2)
    assert "key" in output and "Traceback" not in output
    assert workplace.trial("none") is None


def test_a_corrupt_checkpoint_is_skipped_for_an_older_one(workplace: Workplace, tmp_path: Path) -> None:
    env = offline(tmp_path)
    workplace.finish(env, "whole")
    workplace.finish(env, "damaged")
    trial = workplace.trial("damaged")
    assert trial is not None
    (record,) = (tmp_path / "damaged" / "completion_tracking").iterdir()
    record.unlink()  # as if the kill had come just before it was written
    newest, *older = sorted(trial.glob("step-*"), reverse=True)
    assert older
    weights = newest / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    output = workplace.finish(env, "damaged")
    assert f"skipping checkpoint {newest}" in output and "resumed at step" in output
    assert workplace.rows("damaged") == workplace.rows("whole")
    whole = workplace.trial("whole")
    assert whole is not None
    repaired, reference = (path / newest.name / "model.safetensors" for path in (trial, whole))
    assert repaired.read_bytes() == reference.read_bytes()


def test_offline_nothing_is_uploaded_and_nothing_deleted(workplace: Workplace, tmp_path: Path) -> None:
    said = workplace.finish(offline(tmp_path), "offline", max_steps=6)
    record = workplace.record("offline")
    trial = workplace.trial("offline")
    assert trial is not None
    assert record["status"] == "trained" and record["artifact"] is None
    assert (trial / "best" / "model.safetensors").is_file()
    assert f"WANDB_MODE=offline: the model stays in {trial / 'best'}" in said


def test_memory_that_does_not_suffice_is_no_bug(workplace: Workplace, tmp_path: Path) -> None:
    command = shlex.join(workplace.command("trials", batch_size=2_000_000, gradient_accumulation=1))
    done = subprocess.run(
        ["bash", "-c", f"ulimit -v 6000000; exec {command}"],
        cwd=REPOSITORY,
        env=offline(tmp_path),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert "--batch_size 1000000 --gradient_accumulation 2 (as many sequences a step)" in done.stderr


def test_a_full_disk_is_said_and_loses_nothing(workplace: Workplace, tmp_path: Path) -> None:
    disk = tmp_path / "small"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(disk)], check=False)
    if mounted.returncode != 0:
        pytest.skip("mounting a small tmpfs needs root")
    try:
        output = workplace.finish(offline(tmp_path), "small", exit_code=1)
        assert "is full" in output and "give the same command again" in output
        assert "Traceback" not in output
        kept = [path for path in disk.rglob("step-*") if path.is_dir()]
        assert kept and all((path / "manifest.json").is_file() for path in kept)
        assert not list(disk.rglob(".staging-*"))
        subprocess.run(["mount", "-o", "remount,size=50m", str(disk)], check=True)
        assert "resumed at step" in workplace.finish(offline(tmp_path), "small")
        workplace.finish(offline(tmp_path), "whole")
        assert workplace.rows("small") == workplace.rows("whole")
    finally:
        subprocess.run(["umount", str(disk)], check=True)
        shutil.rmtree(disk)


@pytest.mark.parametrize("module", ["train", "generate", "sweep"])
def test_help_has_an_example_and_names_the_exit_codes(module: str) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", f"transformer_e2e.scripts.{module}", "--help"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"python -m transformer_e2e.scripts.{module}" in answer.stdout
    assert "example" in answer.stdout and "exit codes" in answer.stdout
