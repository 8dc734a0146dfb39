"""Real torchrun processes train one trial together: as one process would, and as safely."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.ranks import HISTORY, await_end, ended_as_wrong_input, rank_pid
from tests.serving import REPOSITORY, ServerProcess, run_client
from tests.training import END_SECONDS, Workplace, offline

pytestmark = pytest.mark.timeout(1500)  # up to five processes at a time, each of which imports torch

SAME = {"dropout": 0.0, "max_steps": 24, "eval_interval": 6, "learning_rate": 5e-3}
LONG = {"max_steps": 160, "eval_interval": 40}  # so that it is still training when a signal comes
MOVED = {**LONG, "dropout": 0.0, "learning_rate": 2e-3}
TOLERANCE = 1e-5  # fp32: sums in another order


@pytest.fixture
def alone(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path).prepare()


@pytest.fixture
def pair(alone: Workplace) -> Workplace:
    return replace(alone, processes=2)


def assert_same_curve(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert [row["step"] for row in found] == [row["step"] for row in expected]
    for row, other in zip(found, expected, strict=True):
        assert set(row["metrics"]) == set(other["metrics"])
        for name in {"train/loss", "eval/loss"} & set(row["metrics"]):
            assert row["metrics"][name] == pytest.approx(other["metrics"][name], abs=TOLERANCE), row["step"]


def weights(workplace: Workplace, checkpoints: str) -> str:
    """SHA-256 of the best model, uploaded or still here."""
    trial = workplace.trial(checkpoints)
    assert trial is not None
    if (trial / "best").exists():
        return hashlib.sha256((trial / "best" / "model.safetensors").read_bytes()).hexdigest()
    digest: str = workplace.record(checkpoints)["digests"]["model.safetensors"]
    return digest


def test_two_processes_train_one_trial_as_one_process_does(
    alone: Workplace, pair: Workplace, wandb_server: ServerProcess
) -> None:
    alone.finish(offline(alone.folder), "alone", gradient_accumulation=1, **SAME)
    output = pair.finish(wandb_server.env, "pair", gradient_accumulation=1, project="pair", **SAME)
    assert "on 2 processes on cpu" in output
    assert output.count("starting at step 0") == output.count("next: python") == 1  # rank 0 alone talks
    assert_same_curve(pair.rows("pair"), alone.rows("alone"))
    assert weights(pair, "pair") != weights(alone, "alone")  # so each rank did take its own share
    (history,) = json.loads(run_client(wandb_server, HISTORY, "pair"))
    assert [row["_step"] for row in history] == list(range(24))

    again = pair.finish(wandb_server.env, "pair", gradient_accumulation=1, project="pair", **SAME)
    assert "Run was previously completed" in again and "--nproc_per_node=2" in again
    assert len(json.loads(run_client(wandb_server, HISTORY, "pair"))) == 1


def test_a_killed_rank_ends_all_and_the_same_command_goes_on_exactly(pair: Workplace) -> None:
    env = offline(pair.folder)
    pair.finish(env, "whole", **LONG)
    process = pair.start_and_await(env, "killed", rows=17, **LONG)
    pids = [rank_pid(process.pid, rank) for rank in range(2)]
    os.kill(pids[1], signal.SIGKILL)
    pair.let_go("killed")
    output, _ = process.communicate(timeout=END_SECONDS)
    assert process.returncode == 1
    assert "another process of this training has died" in output
    await_end(pids[0])
    resumed = pair.finish(env, "killed", **LONG)
    assert "resumed at step" in resumed
    assert weights(pair, "killed") == weights(pair, "whole")  # dropout on both ranks
    assert pair.rows("killed") == pair.rows("whole")


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2), (3, 2)])
def test_another_number_of_processes_continues_the_curve(alone: Workplace, before: int, after: int) -> None:
    env = offline(alone.folder)
    alone.finish(env, "whole", **MOVED)
    first, second = replace(alone, processes=before), replace(alone, processes=after)
    process = first.start_and_await(env, "moved", rows=10, **MOVED)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=END_SECONDS)
    assert "resumed at step" in second.finish(env, "moved", **MOVED)
    assert_same_curve(second.rows("moved"), alone.rows("whole"))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_torchrun_leaves_a_checkpoint_to_go_on_from(
    pair: Workplace, wandb_server: ServerProcess, number: signal.Signals
) -> None:
    process = pair.start_and_await(wandb_server.env, "stopped", rows=10, project="stopped", **LONG)
    pids = [rank_pid(process.pid, rank) for rank in range(2)]
    process.send_signal(number)
    output, _ = process.communicate(timeout=END_SECONDS)
    assert process.returncode != 0
    for pid in pids:
        await_end(pid)
    reason = {signal.SIGTERM: "terminated", signal.SIGINT: "interrupted"}[number]
    assert f"stopped ({reason})" in output
    assert "resumed at step" in pair.finish(wandb_server.env, "stopped", project="stopped", **LONG)
    pair.finish(offline(pair.folder), "whole", **LONG)
    assert weights(pair, "stopped") == weights(pair, "whole")
    assert pair.rows("stopped") == pair.rows("whole")
    (history,) = json.loads(run_client(wandb_server, HISTORY, "stopped"))
    assert [row["_step"] for row in history] == list(range(160))


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_stop_of_one_rank_is_a_stop_of_all(pair: Workplace, rank: int) -> None:
    env = offline(pair.folder)
    process = pair.start_and_await(env, "stopped", rows=10, **LONG)
    os.kill(rank_pid(process.pid, rank), signal.SIGTERM)
    pair.let_go("stopped")
    output, _ = process.communicate(timeout=END_SECONDS)
    assert process.returncode == 1
    assert "exitcode  : 143" in output and "stopped (terminated)" in output
    pair.finish(env, "stopped", **LONG)
    pair.finish(env, "whole", **LONG)
    assert weights(pair, "stopped") == weights(pair, "whole")


@pytest.mark.slow
def test_a_killed_main_rank_ends_the_others_and_the_trial_goes_on(pair: Workplace) -> None:
    env = offline(pair.folder)
    process = pair.start_and_await(env, "killed", rows=17, **LONG)
    pids = [rank_pid(process.pid, rank) for rank in range(2)]
    os.kill(pids[0], signal.SIGKILL)
    output, _ = process.communicate(timeout=END_SECONDS)
    assert process.returncode == 1
    assert "error: rank 1: another process of this training has died" in output
    await_end(pids[1])
    pair.finish(env, "killed", **LONG)
    pair.finish(env, "whole", **LONG)
    assert weights(pair, "killed") == weights(pair, "whole")


@pytest.mark.slow
def test_bad_input_is_told_once(pair: Workplace) -> None:
    env = offline(pair.folder)
    wrong = pair.finish(env, "wrong", exit_code=1, learning_rate="high")
    assert wrong.count("--learning_rate=high") == 1 and ended_as_wrong_input(wrong)
    missing = pair.finish(env, "wrong", exit_code=1, dataset=str(pair.folder / "nothing"))
    assert missing.count("error: ") == 1 and ended_as_wrong_input(missing)
    few = replace(pair, processes=3).finish(env, "wrong", exit_code=1, batch_size=1)
    assert few.count("at most --nproc_per_node=2 works") == 1
    assert not (pair.folder / "wrong").exists()


@pytest.mark.slow
def test_processes_wait_together_for_a_trial_that_is_held(alone: Workplace, pair: Workplace) -> None:
    env = offline(alone.folder)
    holder = alone.start_and_await(env, "held", rows=5, **LONG)
    refused = pair.finish(env, "held", exit_code=1, no_wait=True, **LONG)
    waiting = pair.start(env, "held", **LONG)
    assert waiting.stdout and any("waiting for it" in line for line in waiting.stdout)
    alone.let_go("held")
    assert "is held by" in refused and "exitcode  : 75" in refused
    output, _ = waiting.communicate(timeout=END_SECONDS)
    holder.communicate(timeout=END_SECONDS)
    assert (holder.returncode, waiting.returncode) == (0, 0), output
    assert "Run was previously completed" in output


@pytest.mark.slow
def test_an_agent_starts_torchrun_for_each_trial_of_a_sweep(
    alone: Workplace, wandb_server: ServerProcess
) -> None:
    spec = yaml.safe_load((REPOSITORY / "sweeps" / "lm_grid_torchrun.yaml").read_text())
    config = spec["command"].index("--config")
    del spec["command"][config : config + 2]  # TINY instead
    tiny = {name: {"value": value} for name, value in alone.settings("trials", **SAME).items()}
    spec["parameters"] = tiny | {"learning_rate": {"values": [1e-3, 3e-3]}}
    (alone.folder / "spec.yaml").write_text(yaml.safe_dump(spec))

    def wandb(*arguments: str) -> str:
        done = subprocess.run(
            ["wandb", *arguments], cwd=REPOSITORY, env=wandb_server.env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    created = wandb("sweep", "--project", "pairs", str(alone.folder / "spec.yaml"))
    (agent,) = [line.split()[-1] for line in created.splitlines() if "wandb agent" in line]
    assert wandb("agent", agent).count("on 2 processes on cpu") == 2
    histories = json.loads(run_client(wandb_server, HISTORY, "pairs"))
    assert [len(history) for history in histories] == [24, 24]
