"""What an operator types: list, status, clear; and a model used again after its local weights are gone."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import REPOSITORY, ServerProcess
from tests.training import Workplace, offline

SMALL = {"max_steps": 6, "eval_interval": 3, "checkpoint_interval": 2}


def manage(root: Path, *arguments: str, exit_code: int = 0) -> str:
    """What the script prints; it is run as a file, as people type it."""
    answer = subprocess.run(
        [sys.executable, "scripts/manage_completed_runs.py", "--checkpoint_dir", str(root), *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == exit_code, answer.stdout + answer.stderr
    return answer.stdout + answer.stderr


def generate(env: dict[str, str], root: Path, *arguments: str, exit_code: int = 0) -> tuple[str, str]:
    answer = subprocess.run(
        [sys.executable, "-m", "transformer_e2e.scripts.generate", "--checkpoint_dir", str(root), *arguments],
        cwd=REPOSITORY,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == exit_code, answer.stdout + answer.stderr
    return answer.stdout, answer.stderr


def test_the_life_of_a_trial_as_the_operator_sees_it(tmp_path: Path, wandb_server: ServerProcess) -> None:
    workplace = Workplace(tmp_path).prepare()
    root = tmp_path / "trials"
    assert "is done yet" in manage(root, "list")
    workplace.stop_at_row(wandb_server.env, "trials", 4, signal.SIGKILL, **SMALL)
    status = manage(root, "status", "single")
    assert "continue after step" in status and "not finished" in status

    workplace.finish(wandb_server.env, "trials", **SMALL)
    record = workplace.record("trials")
    assert record["run_id"] in manage(root, "list")
    assert json.loads(manage(root, "list", "--json"))["artifact"] == record["artifact"]
    assert json.loads(manage(root, "status", "single_bs4", "--json"))["record"]["status"] == "cleaned"
    trial = workplace.trial("trials")
    assert trial is not None and not list(trial.rglob("*.safetensors"))

    text, source = generate(wandb_server.env, root, "--run_id=single", "--prompt=word1", "--max_new_tokens=9")
    assert text.startswith("word1") and record["artifact"] in source
    again, _ = generate(wandb_server.env, root, "--run_id=single", "--prompt=word1", "--max_new_tokens=9")
    assert again == text
    other, _ = generate(
        wandb_server.env, root, "--run_id=single", "--prompt=word1", "--max_new_tokens=9", "--seed=2"
    )
    assert other != text

    cleared = manage(root, "clear", "single")
    assert "kept the artifact" in cleared and not trial.exists()
    assert "no trial below" in manage(root, "status", "single", exit_code=2)
    assert "starting at step 0" in workplace.finish(wandb_server.env, "trials", **SMALL)


@pytest.mark.parametrize("command", ["status", "clear"])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("../../x", "cannot be a run name"),
        ("single", "begins 2 run IDs"),
        ("sngle_bs4", "the nearest is single"),
    ],
)
def test_what_names_no_single_trial_is_refused(
    tmp_path: Path, command: str, given: str, message: str
) -> None:
    root = tmp_path / "trials"
    for name in ("single_bs4_cw16_lr1e-03-aaaaaaaaaaaa", "single_bs8_cw16_lr1e-03-bbbbbbbbbbbb"):
        (root / name).mkdir(parents=True)
    assert message in manage(root, command, given, exit_code=2)
    assert len(list(root.iterdir())) == 2


def test_a_trial_in_training_is_not_cleared(tmp_path: Path) -> None:
    workplace = Workplace(tmp_path).prepare()
    process = workplace.start(offline(tmp_path), "trials", max_steps=100_000)
    try:
        while not workplace.rows("trials"):
            assert process.poll() is None
        assert "is held by process" in manage(tmp_path / "trials", "clear", "single", exit_code=2)
        assert workplace.rows("trials")
    finally:
        process.kill()
        process.communicate()


def test_generating_without_a_model_says_what_to_do(tmp_path: Path) -> None:
    _, errors = generate(offline(tmp_path), tmp_path, exit_code=2)
    assert "train one first" in errors
    _, errors = generate(offline(tmp_path), tmp_path, "--run_id=a", "--artifact=b", exit_code=2)
    assert "name two models" in errors
