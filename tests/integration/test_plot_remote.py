"""Pictures of trials that ran on other machines: their curves come from W&B."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.serving import REPOSITORY, ServerProcess, begin_run, post, run_fields
from tests.training import TINY, Workplace
from transformer_e2e.launch.sweep import SweepPath, create_sweep
from transformer_e2e.launch.sweep_pictures import curves_of
from transformer_e2e.launch.trials import TrialRow, rows_of
from transformer_e2e.runs.tracker_connection import Connection
from transformer_e2e.runs.tracker_histories import history_rows, metric_curves
from transformer_e2e.runs.tracker_queries import sweep_state

PATH = SweepPath("local", "raw", "s")


def log(server: ServerProcess, run: str, rows: list[dict[str, float]]) -> None:
    """What the client's file stream sends."""
    config = json.dumps({"run_id": {"value": f"{run}-0123456789ab"}})
    begin_run(server, run, displayName=f"{run}-0123456789ab", config=config)
    lines = [json.dumps({"_step": n, "_timestamp": 100.0 + n, **row}) for n, row in enumerate(rows)]
    body = {"files": {"wandb-history.jsonl": {"offset": 0, "content": lines}}}
    status, answer = post(server, f"/files/local/raw/{run}/file_stream", body)
    assert status == 200, answer


def rows(count: int) -> list[dict[str, float]]:
    return [
        {"train/global_step": 10 * n, "train/loss": 4.0 / n, "eval/loss": 5.0 / n}
        for n in range(1, count + 1)
    ]


def curve(count: int) -> list[tuple[float, float]]:
    return [(10.0 * n, 5.0 / n) for n in range(1, count + 1)]


def test_curves_of_many_runs_are_read_and_those_missing_are_left_out(here: ServerProcess) -> None:
    for n in range(20):
        log(here, f"many{n}", rows(n + 1))
    names = [*(f"many{n}" for n in range(20)), "never-was"]
    found = metric_curves(Connection.configured(), names, "eval/loss", entity="local", project="raw")
    assert found == {f"many{n}": curve(n + 1) for n in range(20)}


def test_a_server_that_does_not_answer_costs_no_more_than_the_time_allowed() -> None:
    began = time.monotonic()
    dead = Connection("http://127.0.0.1:9", "key")
    assert metric_curves(dead, ["a", "b"], "eval/loss", entity="e", project="p", seconds=2.0) == {}
    assert time.monotonic() - began < 60  # not the client's minutes


def test_a_whole_local_journal_is_used_and_a_shorter_one_is_not(here: ServerProcess, tmp_path: Path) -> None:
    for run in ("whole", "short", "gone"):
        log(here, run, rows(3))
    for run, count in (("whole", 3), ("short", 2)):
        directory = tmp_path / f"{run}-id"
        directory.mkdir()
        lines = [
            {"step": 10 * n, "time": 0, "metrics": {"eval/loss": float(-n)}} for n in range(1, count + 1)
        ]
        (directory / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    trials = [
        TrialRow(
            run=run,
            run_id=f"{run}-id",
            outcome="finished",
            settings={"checkpoint_dir": str(tmp_path)},
            logged=3,
        )
        for run in ("whole", "short", "gone", "unknown")
    ]
    curves, unread = curves_of(PATH, trials, "eval/loss")
    assert curves == {"whole": [(10, -1), (20, -2), (30, -3)], "short": curve(3), "gone": curve(3)}
    assert unread == 1


def test_rows_of_a_run_are_those_of_a_journal(here: ServerProcess) -> None:
    log(here, "full", [{"train/global_step": 7, "train/loss": 1.5, "eval/loss": float("nan")}])
    found = history_rows(Connection.configured(), "full", entity="local", project="raw")
    assert found == [{"step": 7, "time": 100.0, "metrics": {"train/global_step": 7, "train/loss": 1.5}}]
    assert run_fields(here, "full", "historyLineCount")["historyLineCount"] == 1


def test_a_trial_that_is_only_on_wandb_is_drawn_by_its_name(here: ServerProcess, tmp_path: Path) -> None:
    log(here, "elsewhere", rows(30))

    def plot(name: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "transformer_e2e.scripts.plot", name, "--project", "raw"],
            cwd=tmp_path,
            env={**here.env, "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            timeout=240,
        )

    done = plot("elsewhere-01")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "training_plots" / "elsewhere-0123456789ab.png").exists(), done.stdout
    refused = plot("nobody")
    assert refused.returncode == 2 and "no trial or sweep of local/raw on W&B" in refused.stderr


@pytest.mark.slow
def test_the_curves_of_an_agent_on_another_machine_are_in_the_pictures(
    here: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workplace = Workplace(tmp_path).prepare()
    settings = {**TINY, "tokenizer": "bytes", "max_steps": 8, "warmup_steps": 1, "eval_interval": 2}
    settings |= {"dataset": str(tmp_path / "corpus.txt"), "cache_dir": str(workplace.folder / "cache")}
    spec = {
        "program": "transformer_e2e/scripts/train.py",
        "command": ["${env}", "${interpreter}", "-m", "transformer_e2e.scripts.train", "${args}"],
        "method": "grid",
        "metric": {"name": "eval/loss", "goal": "minimize"},
        "parameters": {name: {"value": value} for name, value in settings.items()}
        | {"seed": {"values": [1, 2]}},
    }
    env = {**here.env, "PYTHONPATH": str(REPOSITORY)}
    path = create_sweep(spec, env, project="machines", entity=None)
    machines = [tmp_path / "one", tmp_path / "other"]
    for machine in machines:
        machine.mkdir()
        agent = [sys.executable, "-m", "wandb", "agent", "--count", "1", str(path)]
        subprocess.run(agent, cwd=machine, env=env, check=True, timeout=240)
    assert all(
        len(list((machine / "model_checkpoints").glob("*/metrics.jsonl"))) == 1 for machine in machines
    )

    done = subprocess.run(
        [sys.executable, "-m", "transformer_e2e.scripts.plot", str(path)],
        cwd=machines[0],
        env=env,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0 and "warning" not in done.stderr, done.stderr
    page = (machines[0] / "training_plots" / path.id / "index.html").read_text()
    rows = rows_of(sweep_state(str(path)), "eval/loss")
    assert len(rows) == 2 and all(row.run_id in page for row in rows)
    monkeypatch.chdir(machines[0])
    curves, unread = curves_of(path, rows, "eval/loss")
    assert unread == 0
    for row in rows:
        (journal,) = tmp_path.glob(f"*/model_checkpoints/{row.run_id}/metrics.jsonl")
        logged = [json.loads(line) for line in journal.read_text().splitlines()]
        evaluated = [
            (line["step"], line["metrics"]["eval/loss"]) for line in logged if "eval/loss" in line["metrics"]
        ]
        assert curves[row.run] == evaluated and len(evaluated) == 4
