"""The Hugging Face program under torchrun: rank 0 alone lives the trial, and the others follow it."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.hf_training import HfWorkplace
from tests.ranks import HISTORY, await_end, ended_as_wrong_input, rank_pid
from tests.serving import ServerProcess, run_client
from tests.training import END_SECONDS, offline

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.fixture
def pair(tmp_path: Path) -> HfWorkplace:
    return HfWorkplace(tmp_path, processes=2).prepare()


def test_rank_0_alone_logs_saves_uploads_and_talks(pair: HfWorkplace, wandb_server: ServerProcess) -> None:
    output = pair.finish(wandb_server.env, "pair", project="pair")
    assert "2 processes on cpu" in output
    assert output.count("starting at step 0") == output.count("next: python") == 1
    record = pair.record("pair")
    assert record["status"] == "cleaned" and record["artifact"]
    assert record["counted"]["train_batch_size"] == 8  # of both
    (history,) = json.loads(run_client(wandb_server, HISTORY, "pair"))
    assert [row["_step"] for row in history] == list(range(len(pair.rows("pair"))))

    again = pair.finish(wandb_server.env, "pair", project="pair")
    assert "Run was previously completed" in again and "--nproc_per_node=2" in again
    assert len(json.loads(run_client(wandb_server, HISTORY, "pair"))) == 1


def test_a_killed_rank_and_a_signal_leave_a_trial_that_goes_on_exactly(pair: HfWorkplace) -> None:
    env = offline(pair.folder) | {"OMP_NUM_THREADS": "1"}
    pair.finish(env, "whole")
    process = pair.start_and_await(env, "killed", rows=8)
    pids = [rank_pid(process.pid, rank) for rank in range(2)]
    os.kill(pids[1], signal.SIGKILL)
    pair.let_go("killed")
    output, _ = process.communicate(timeout=END_SECONDS)
    assert process.returncode == 1
    assert "another process of this training has died" in output
    await_end(pids[0])
    stopped = pair.start_and_await(env, "killed", rows=14)
    stopped.send_signal(signal.SIGTERM)
    output, _ = stopped.communicate(timeout=END_SECONDS)
    assert "stopped (terminated)" in output
    assert "resumed at step" in pair.finish(env, "killed")
    assert pair.rows("killed") == pair.rows("whole")
    assert pair.digests("killed") == pair.digests("whole")


def test_bad_input_is_told_once(pair: HfWorkplace) -> None:
    env = offline(pair.folder)
    wrong = pair.finish(env, "wrong", exit_code=1, learning_rate="high")
    assert wrong.count("--learning_rate=high") == 1 and ended_as_wrong_input(wrong)
    missing = pair.finish(env, "wrong", exit_code=1, train_file=str(pair.folder / "nothing.csv"))
    assert missing.count("error: ") == 1 and ended_as_wrong_input(missing)
    assert not (pair.folder / "wrong").exists()
