"""Signals, with and without the server's intent: the checkpoint, the exit code, the state, the record."""

from __future__ import annotations

import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faulty_proxy import FaultyProxy
from tests.integration.sweep_driver import PROJECT, Sweep, ask
from tests.integration.trial_driver import ToyProcess, Trials, wait_until
from tests.serving import ServerProcess
from tests.toy_trial import Toy, sum_after

SWEEP = {
    "method": "random",
    "metric": {"name": "eval/loss", "goal": "minimize"},
    "parameters": {"seed": {"min": 1, "max": 1000}},
    "command": ["true"],
}


@pytest.fixture
def trials(shared_server: ServerProcess, tmp_path: Path) -> Trials:
    return Trials(shared_server, tmp_path / "model_checkpoints")


def start_training(trials: Trials, toy: Toy, **env: str) -> ToyProcess:
    """A process that has taken two steps and, by then or soon, waits for a stop."""
    process = trials.start(replace(toy, waits_at=3), **env)
    wait_until(lambda: len(trials.journal(toy)) >= 2 or process.process.poll() is not None, "it trains")
    return process


class SweepTrial:
    """A sweep whose only trial we start ourselves, as its agent would."""

    def __init__(self, trials: Trials, toy: Toy) -> None:
        self.sweep = Sweep(trials.server, SWEEP)
        self.agent = self.sweep.agent()
        (command,) = self.agent.beat()
        self.run: str = command["run_id"]
        self.env = {
            "WANDB_RUN_ID": self.run,
            "WANDB_SWEEP_ID": self.sweep.name,
            "WANDB_PROJECT": PROJECT,
            "WANDB_ENTITY": "local",
        }
        self.process = start_training(trials, toy, **self.env)

    @property
    def state(self) -> str:
        return self.sweep.state(self.run)

    def request_stop(self, trials: Trials) -> None:
        """As W&B's stop button does."""
        answer = ask(
            trials.server,
            "query R($run: String!, $project: String!) { project(name: $project) { run(name: $run) { id }}}",
            run=self.run,
            project=PROJECT,
        )
        stopped = ask(
            trials.server,
            "mutation S($id: ID!) { stopRun(input: {id: $id}) { success } }",
            id=answer["project"]["run"]["id"],
        )
        assert not stopped.errors, stopped.errors


@pytest.mark.parametrize(
    ("number", "code", "outcome"),
    [
        (signal.SIGTERM, 143, "terminated"),
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGUSR2, 140, "preempted"),
    ],
)
def test_a_stopped_trial_keeps_a_checkpoint_of_its_last_step_and_continues_exactly(
    trials: Trials, number: signal.Signals, code: int, outcome: str
) -> None:
    toy = trials.toy(seed=number + 100)
    process = start_training(trials, toy)
    process.signal(number)
    assert process.end() == code, process.errors
    assert ("Ctrl-C: " in process.errors) is (number == signal.SIGINT)
    (end,) = trials.ends(toy)
    assert (end["outcome"], end["exit_code"]) == (outcome, code)
    assert trials.checkpoints(toy)[0] == f"step-{end['steps']:08d}"
    assert trials.record(toy) is None
    trials.run(toy, code=0)
    record = trials.record(toy)
    assert record is not None
    assert record.metrics["sum"] == sum_after(toy.seed, 8)
    trials.assert_each_row_once(toy)


def test_a_second_ctrl_c_ends_the_process_at_once(trials: Trials) -> None:
    toy = trials.toy(seed=200, hangs_at=2)
    process = trials.start(toy)
    process.says("this step never ends")
    presses = 0
    while process.process.poll() is None:  # two that come too fast are one to the kernel
        process.signal(signal.SIGINT)
        presses += 1
        assert presses < 60, "a step that never ends is left by a second Ctrl-C only"
        time.sleep(0.5)
    assert presses > 1 and process.end() == 130
    assert "second Ctrl-C: leaving at once" in process.errors and trials.ends(toy) == []


def test_a_trial_pruned_by_its_sweep_exits_0_without_weights_and_is_trained_anew(trials: Trials) -> None:
    toy = trials.toy(seed=201)
    trial = SweepTrial(trials, toy)
    trial.request_stop(trials)
    trial.process.signal(signal.SIGTERM)
    assert trial.process.end() == 0, trial.process.errors
    record = trials.record(toy)
    assert record is not None and (record.outcome, record.status) == ("pruned", "cleaned")
    assert trials.checkpoints(toy) == []
    assert trial.state == "killed"
    again = trials.run(toy, code=0)
    assert "pruned before" in again.out
    record = trials.record(toy)
    assert record is not None and (record.outcome, record.steps) == ("finished", 8)
    assert [row["train/global_step"] for row in trials.journal(toy)] == list(range(1, 9))


def test_a_trial_of_a_cancelled_sweep_is_not_pruned(trials: Trials) -> None:
    toy = trials.toy(seed=202)
    trial = SweepTrial(trials, toy)
    trial.sweep.set(state="CANCELED")
    trial.process.signal(signal.SIGTERM)
    assert trial.process.end() == 143, trial.process.errors
    assert trials.record(toy) is None and trials.checkpoints(toy)
    assert trial.state == "killed"


def test_a_trial_of_a_sweep_that_nobody_asked_to_stop_is_handed_back(trials: Trials) -> None:
    toy = trials.toy(seed=203)
    trial = SweepTrial(trials, toy)
    trial.process.signal(signal.SIGTERM)
    assert trial.process.end() == 143, trial.process.errors
    assert trials.record(toy) is None and trials.checkpoints(toy)
    assert trial.state == "preempted"
    trials.run(toy, code=0, **trial.env)
    assert trial.state == "finished"


def test_sigterm_is_judged_without_a_server_too(wandb_server: ServerProcess, tmp_path: Path) -> None:
    trials = Trials(wandb_server, tmp_path / "model_checkpoints")
    toy = trials.toy(seed=204)
    process = start_training(trials, toy)
    wandb_server.kill()
    process.signal(signal.SIGTERM)
    began = time.monotonic()
    assert process.end() == 143, process.errors
    assert time.monotonic() - began < 29  # the agent's SIGKILL comes after 30
    assert trials.checkpoints(toy)


def test_a_signal_during_imports_and_data_ends_the_trial_at_once(trials: Trials) -> None:
    toy = trials.toy(seed=206, slow_start=3600.0)
    process = trials.start(toy)
    wait_until(lambda: trials.directory(toy).joinpath("attempts.jsonl").exists(), "the work begins")
    time.sleep(0.5)
    process.signal(signal.SIGTERM)
    assert process.end() == 143, process.errors
    assert trials.record(toy) is None


def test_a_signal_during_the_upload_leaves_it_to_the_next_start(trials: Trials) -> None:
    toy = trials.toy(seed=207)

    def hang(method: str, path: str) -> str | None:
        return "hang" if method == "PUT" and path.startswith("/blobs/") else None

    with FaultyProxy(trials.server.url, hang) as proxy:
        process = trials.start(toy, WANDB_BASE_URL=proxy.url)
        wait_until(lambda: trials.record(toy) is not None and proxy.injected, "the upload hangs")
        process.signal(signal.SIGTERM)
        began = time.monotonic()
        assert process.end() == 143, process.errors
        assert time.monotonic() - began < 25
    record = trials.record(toy)
    assert record is not None and record.status == "trained" and trials.checkpoints(toy)
    trials.run(toy, code=0)
    record = trials.record(toy)
    assert record is not None and record.status == "cleaned"
    trials.assert_each_row_once(toy)


@pytest.mark.slow
def test_the_stop_button_alone_reaches_a_trial(trials: Trials) -> None:
    toy = trials.toy(seed=208)
    trial = SweepTrial(trials, toy)
    trial.request_stop(trials)
    assert trial.process.end() == 0, trial.process.errors
    record = trials.record(toy)
    assert record is not None and record.outcome == "pruned"
    assert trial.state == "killed"


def test_a_signal_before_training_leaves_nothing_half_made(trials: Trials, tmp_path: Path) -> None:
    holder = trials.toy(seed=205, gate=str(tmp_path / "gate"))
    first = start_training(trials, holder)
    waiting = trials.start(holder)
    waiting.says("waiting for it")
    waiting.signal(signal.SIGTERM)
    assert waiting.end() == 143
    (tmp_path / "gate").touch()
    assert first.end() == 0
    assert [end["attempt"] for end in trials.ends(holder)] == [1]
