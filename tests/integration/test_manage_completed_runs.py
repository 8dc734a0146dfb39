"""What an operator types: list, status, clear; and a model used again after its local weights are gone."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.trial_driver import ToyProcess, Trials, wait_until
from tests.serving import REPOSITORY, ServerProcess
from tests.toy_trial import Toy
from tests.training import Workplace, offline
from tests.unit.test_runs_completion import record as done
from transformer_e2e.runs import completion
from transformer_e2e.runs.completion import Ending
from transformer_e2e.runs.identity import known_run_ids
from transformer_e2e.runs.tracker_connection import Connection
from transformer_e2e.runs.tracker_queries import RunView, find_runs

SMALL = {"max_steps": 6, "eval_interval": 3, "checkpoint_interval": 2}


def manage(
    root: Path, *arguments: str, exit_code: int = 0, env: dict[str, str] | None = None, answer_to_it: str = ""
) -> str:
    """What the script prints; it is run as a file, as people type it, and W&B is not asked without `env`."""
    answer = subprocess.run(
        [sys.executable, "scripts/manage_completed_runs.py", "--checkpoint_dir", str(root), *arguments],
        cwd=REPOSITORY,
        env=env or {**offline(root.parent), "COLUMNS": "200"},
        input=answer_to_it,
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
    assert "there is no folder" in manage(root, "list")
    killed = workplace.start_and_await(wandb_server.env, "trials", 4, **SMALL)
    wait_until(lambda: list(root.glob("*/step-00000002")), "a checkpoint, written meanwhile")
    killed.kill()
    killed.communicate()
    status = manage(root, "status", "single")
    assert "continue after step" in status and "not over, and nobody works on it" in status
    assert "max_steps 6" in status.split("as by default")[0] and "  killed" in status
    assert "not over: 1, 0 of them in training now" in manage(root, "list")

    workplace.finish(wandb_server.env, "trials", **SMALL)
    record = workplace.record("trials")
    assert record["run_id"] in manage(root, "list")
    listed = json.loads(manage(root, "list", "--json"))
    assert (listed["artifact"], listed["best"]) == (record["artifact"], True)
    assert listed["freed_bytes"] > 300_000 and listed["steps"] == 6 and "hours" in listed
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
    assert f"kept its artifact {record['artifact']}" in cleared and not trial.exists()
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


def test_a_trial_in_training_is_shown_and_not_cleared(tmp_path: Path) -> None:
    root = tmp_path / "trials"
    toy = ToyProcess(Toy(root=str(root), waits_at=12, steps=10_000, eval_interval=5), offline(tmp_path))
    try:
        wait_until(lambda: list(root.glob("*/step-00000010")), "the second checkpoint")
        (trial,) = (path.parent for path in root.glob("*/attempts.jsonl"))
        status = manage(root, "status", "toy")
        assert "in training now; step" in status and "works on it now" in status
        assert "would wait until the attempt" in status
        newest = json.loads(manage(root, "status", "toy", "--json"))["newest"]
        assert newest["step"] >= 5 and "eval/loss" in newest["metrics"] and len(newest["digest"]) == 64
        assert "1 of them in training now" in manage(root, "list")
        assert "is held by process" in manage(root, "clear", "toy", exit_code=2)
        assert "in training, so not touched: toy-" in manage(root, "clear", "--all", "--yes")
        assert (trial / "metrics.jsonl").exists() and toy.process.poll() is None
    finally:
        toy.process.kill()
        toy.end()


def test_a_trial_that_only_wandb_knows_is_found_there(tmp_path: Path, wandb_server: ServerProcess) -> None:
    trials = Trials(wandb_server, tmp_path / "elsewhere")
    toy = trials.toy(waits_at=12, steps=10_000, eval_interval=5)
    process = trials.start(toy)
    try:
        wait_until(lambda: trials.checkpoints(toy), "a save")
        wait_until(
            lambda: any(run.summary.get("checkpoint/step") for run in _runs(wandb_server)), "W&B hears of it"
        )
        here, project = tmp_path / "here", ("--project", "toys")
        found = manage(here, "status", "toy", *project, env=wandb_server.env)
        assert "running on W&B; not on this disk" in found and "local/toys/" in found
        assert "SHA-256" in found and "would train from step 0 on this machine" in found
        (run,) = json.loads(manage(here, "status", "toy", "--json", *project, env=wandb_server.env))
        assert run["config"]["steps"] == 10_000
        assert "has no run of it either" in manage(
            here, "status", "other", *project, env=wandb_server.env, exit_code=2
        )
    finally:
        process.process.kill()
        process.end()
    gone = {**wandb_server.env, "WANDB_BASE_URL": "http://127.0.0.1:9"}
    assert "W&B could not be asked" in manage(here, "status", "toy", env=gone, exit_code=2)
    assert "WANDB_MODE=offline" in manage(here, "status", "toy", exit_code=2)


def _runs(server: ServerProcess) -> list[RunView]:
    return find_runs("toy", project="toys", entity=None, connection=Connection(server.url, server.api_key))


def test_several_are_cleared_only_when_somebody_says_yes(tmp_path: Path) -> None:
    root = tmp_path / "trials"
    for name in ("bug-1", "bug-2", "killed-1"):
        (root / name).mkdir(parents=True)
        start, end = {"attempt": 1, "event": "start"}, {"attempt": 1, "event": "end", "exit_code": 1}
        lines = [start] if name == "killed-1" else [start, end]
        (root / name / "attempts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for name, outcome in (("good-1", Ending.FINISHED), ("bad-1", Ending.DIVERGED), ("torn-1", Ending.PRUNED)):
        completion.write(root, replace(done(name), outcome=outcome))
    completion.record_path(root, "torn-1").write_text("{")

    shown = manage(root, "clear", "--failed", "--dry_run")
    assert "4 trials" in shown and "would remove bad-1" in shown and "a record (damaged)" in shown
    assert "nobody can be asked here" in manage(root, "clear", "--failed", exit_code=2)
    assert len(known_run_ids(root)) == 6
    assert "nothing was removed" in on_a_terminal(root, "clear", "--failed", typed="n")
    assert len(known_run_ids(root)) == 6
    assert "removed bug-2" in on_a_terminal(root, "clear", "--failed", typed="y")
    assert known_run_ids(root) == ["good-1", "killed-1"]
    assert "removed good-1" in manage(root, "clear", "--all", "--yes")
    assert known_run_ids(root) == []


def on_a_terminal(root: Path, *arguments: str, typed: str) -> str:
    """What the script shows to somebody who types `typed` at it."""
    master, slave = pty.openpty()
    command = [sys.executable, "scripts/manage_completed_runs.py", "--checkpoint_dir", str(root), *arguments]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdin=slave, stdout=subprocess.PIPE, text=True)
    os.close(slave)
    os.write(master, f"{typed}\n".encode())
    output, _ = process.communicate(timeout=240)
    os.close(master)
    return output


@pytest.mark.parametrize("columns", [70, 80, 120])
def test_the_table_fits_the_terminal(tmp_path: Path, columns: int) -> None:
    root = tmp_path / "trials"
    for number, outcome in enumerate(Ending):
        name = f"single_bs8_cw128_lr4e-03-{number}7f3a2c91b0d"
        value = 5.0 - number
        completion.write(root, replace(done(name), outcome=outcome, best_metric=value, freed_bytes=10**7))
    output = manage(root, "list", env={**offline(tmp_path), "COLUMNS": str(columns)})
    lines = output.split("\n\n")[0].splitlines()
    assert max(len(line) for line in lines) <= columns
    assert lines[1].startswith("*") and "early_stopped" in lines[1]  # pruned and diverged ones are not best
    for line in lines[1:5]:  # what is shown of a run ID is enough to name it
        shown = manage(
            root, "status", line.lstrip("* ").split()[0], env={**offline(tmp_path), "COLUMNS": str(columns)}
        )
        assert "trial " in shown and "next start        would " in shown
        assert [text for text in shown.splitlines() if len(text) > columns and " " in text[18:]] == []


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://127.0.0.1:41857/local/p/runs/abc", "local/p/abc, on the embedded server"),
        ("https://wandb.ai/me/p/runs/abc", "https://wandb.ai/me/p/runs/abc"),
    ],
)
def test_no_link_is_shown_to_a_server_that_has_another_port_by_now(
    tmp_path: Path, url: str, shown: str
) -> None:
    completion.write(tmp_path, replace(done("toy-1"), wandb_run="local/p/abc", url=url))
    (line,) = [line for line in manage(tmp_path, "status", "toy").splitlines() if line.startswith("W&B run")]
    assert shown in line and "127.0.0.1" not in line


def test_a_stranger_is_told_how_to_begin(tmp_path: Path) -> None:
    listed = manage(tmp_path / "trials", "list")
    assert "there is no folder" in listed and "python -m transformer_e2e.scripts.train --config" in listed
    (tmp_path / "trials").mkdir()
    assert "python -m transformer_e2e.scripts.train --config" in manage(tmp_path / "trials", "list")


def test_the_folder_may_be_named_behind_the_command(tmp_path: Path) -> None:
    completion.write(tmp_path, done("toy-1"))
    command = [
        sys.executable,
        "scripts/manage_completed_runs.py",
        "status",
        "toy",
        "--checkpoint_dir",
        tmp_path,
    ]
    answer = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert answer.returncode == 0 and "toy-1" in answer.stdout, answer.stderr


def test_generating_without_a_model_says_what_to_do(tmp_path: Path) -> None:
    _, errors = generate(offline(tmp_path), tmp_path, exit_code=2)
    assert "train one first" in errors
    _, errors = generate(offline(tmp_path), tmp_path, "--run_id=a", "--artifact=b", exit_code=2)
    assert "exclude each other" in errors
