"""The sweep command as a person uses it: real server, real `wandb sweep`, real agents, real signals."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serving import REPOSITORY, ServerProcess, run_client
from tests.sweep_command import SweepCommand
from tests.training import TINY, Workplace
from transformer_e2e.launch.spec import load_spec
from transformer_e2e.launch.sweep import create_sweep

pytestmark = pytest.mark.timeout(900)

COURSE_FILE = """
program: transformer_e2e/scripts/train.py
command: ["${env}", "${interpreter}", "-m", transformer_e2e.scripts.train, "${args}"]
method: random
metric: {name: eval/loss, goal: minimize}
parameters:
  learning_rate:
    min: 1e-5
    max: 1e-4
  weight_decay:
    values: [0.001, 0.01, 0.1]
"""


@pytest.fixture
def command(tmp_path: Path) -> Iterator[SweepCommand]:
    command = SweepCommand(tmp_path)
    yield command
    for pid, _ in command.processes():
        os.kill(pid, signal.SIGKILL)


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in (folder / "completion_tracking").glob("*.json")]


def test_a_sweep_of_transformers_ends_with_table_pictures_sample_and_yardsticks(command: SweepCommand):
    workplace = Workplace(command.folder).prepare()
    fixed = {**TINY, "tokenizer": "bytes", "max_steps": 12, "eval_interval": 4, "checkpoint_interval": 0}
    fixed |= {"dataset": str(workplace.folder / "corpus.txt"), "cache_dir": str(workplace.folder / "cache")}
    fixed |= {"checkpoint_dir": str(workplace.folder / "trials"), "plot_dir": str(workplace.folder / "plots")}
    fixed.pop("model_dim")
    spec = command.spec(
        command=["${env}", "${interpreter}", "-m", "transformer_e2e.scripts.train", "${args}"],
        parameters={
            "model_dim": {"values": [8, 16]},
            **{name: {"value": value} for name, value in fixed.items()},
        },
    )
    text = spec.read_text().replace(f"  root:\n    value: {command.folder / 'trials'}\n", "")
    spec.write_text(text)  # a parameter of the toy trial only
    before = {path.name for path in REPOSITORY.iterdir()}

    code = command.start(str(spec), "--agents", "2", "--prompt", "word").wait()

    assert code == 0, command.output
    found = records(workplace.folder / "trials")
    assert {record["counted"]["model_dim"] for record in found} == {8, 16}
    assert {record["status"] for record in found} == {"cleaned"}
    assert all(record["run_id"] in command.output for record in found)
    best = min(found, key=lambda record: record["best_metric"])
    assert f"a sample from {best['artifact']}:\n" in command.output
    assert "warning: no sample" not in command.output
    assert " corpus.txt  validation " in command.output
    assert f"best model: {best['metrics']['best/eval/bits_per_byte']:.3f}" in command.output
    assert all(name in command.output for name in ("gzip -9", "bigram", "xz -9 of the validation text after"))
    pictures = command.folder / "plots" / command.sweep().rpartition("/")[2]
    drawn = {"curves.png", "progress.png", "settings.png", "parallel.png"}
    assert {path.name for path in pictures.iterdir()} == drawn | {"index.html"}
    assert not command.processes()
    caches = {".pytest_cache", ".mypy_cache", ".ruff_cache"}  # of this test run
    assert {path.name for path in REPOSITORY.iterdir()} - before <= caches  # no wandb/, no logs/


def test_a_course_file_whose_numbers_yaml_reads_as_texts_is_taken(
    shared_server: ServerProcess, tmp_path: Path
) -> None:
    """`wandb sweep` alone refuses it: it takes 1e-5 for a text, and asks for a distribution."""
    path = tmp_path / "course.yaml"
    path.write_text(COURSE_FILE)
    created = create_sweep(load_spec(path), shared_server.env, project="course", entity=None)
    script = "import json, sys, wandb; print(json.dumps(wandb.Api().sweep(sys.argv[1]).config['parameters']))"
    parameters = json.loads(run_client(shared_server, script, str(created)))
    assert parameters["learning_rate"] == {"min": 1e-5, "max": 1e-4, "distribution": "uniform"}
    assert parameters["weight_decay"]["values"] == [0.001, 0.01, 0.1]


def test_ctrl_c_ends_agents_then_server_and_the_sweep_can_go_on(command: SweepCommand):
    gate = command.folder / "gate"  # until it is there, a trial waits after its first step
    spec = command.spec(parameters={"seed": {"values": [1, 2]}, "gate": {"value": str(gate)}})
    command.start(str(spec), "--agents", "1", "--no_sample")
    command.until("rows", lambda: list((command.folder / "trials").glob("*/step-*")))
    command.process.send_signal(signal.SIGINT)

    assert command.wait() == 130, command.output
    assert not command.processes()
    assert not (command.folder / "server" / "server.json").exists()
    path = command.sweep()
    assert f"--sweep {path} --root {command.folder / 'server'}" in command.output
    (interrupted,) = [place.parent for place in (command.folder / "trials").glob("*/attempts.jsonl")]
    assert list(interrupted.glob("step-*"))
    assert not records(command.folder / "trials")

    gate.touch()
    assert command.start("--sweep", path, "--agents", "2", "--no_sample").wait() == 0, command.output
    assert {record["counted"]["seed"] for record in records(command.folder / "trials")} == {1, 2}
    starts = (interrupted / "attempts.jsonl").read_text().count('"start"')
    assert starts == 2  # handed back by the first agent, continued by another


def test_a_killed_agent_is_replaced_and_the_sweep_completes(command: SweepCommand):
    spec = command.spec(
        parameters={"seed": {"values": [1, 2]}, "steps": {"value": 30}, "slow": {"value": 0.1}}
    )
    command.start(str(spec), "--agents", "1", "--no_sample")
    command.until("trial", command.trials)
    (agent,) = command.agents()
    os.kill(agent, signal.SIGKILL)

    assert command.wait() == 0, command.output
    assert "agent 1 left early: killed by SIGKILL" in command.output
    assert "agent 2 takes its place" in command.output
    assert len(records(command.folder / "trials")) == 2


@pytest.mark.slow
def test_a_killed_command_leaves_no_server_once_its_agents_are_done(command: SweepCommand):
    spec = command.spec(
        parameters={"seed": {"values": [1, 2]}, "steps": {"value": 10}, "slow": {"value": 0.1}}
    )
    command.start(str(spec), "--agents", "1", "--no_sample")
    command.until("trial", command.trials)
    command.process.kill()
    command.process.wait()

    command.until("end of the server", lambda: not command.servers())
    assert len(records(command.folder / "trials")) == 2  # the agents went on, and the server with them
    assert not command.agents()


def test_a_program_that_cannot_work_ends_the_sweep_with_the_reason(command: SweepCommand):
    spec = command.spec(
        method="random",
        parameters={"seed": {"min": 1, "max": 10**6}, "broken": {"value": "true"}},
    )
    code = command.start(str(spec), "--agents", "1", "--count", "1", "--no_sample").wait()
    assert code == 1, command.output
    assert "no trial of 1 finished" in command.output
    assert "this program is broken" in next((command.folder / "logs").rglob("agent-1.log")).read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sweeps/quikstart.yaml"], "did you mean quickstart.yaml?"),
        ([], "give a sweep file"),
        (["sweeps/quickstart.yaml", "--agents", "0", "--count", "-1"], "--count=-1 must be at least 1"),
    ],
)
def test_wrong_arguments_start_nothing(command: SweepCommand, arguments: list[str], said: str):
    assert command.start(*arguments).wait() == 2
    assert said in command.output
    assert not (command.folder / "server").exists()


def test_a_bad_sweep_file_is_refused_with_every_problem_before_anything_starts(command: SweepCommand):
    spec = command.folder / "bad.yaml"
    spec.write_text(
        "method: randm\n"
        'command: ["${interpreter}", "-m", "transformer_e2e.scripts.train", "${args}"]\n'
        "parameters:\n  learning_rat: {values: [1e-3]}\n  dropout: {values: [0.1, 1.5]}\n"
    )
    assert command.start(str(spec)).wait() == 2
    for problem in ("random", "did you mean learning_rate?", "--dropout=1.5 must be less than 1"):
        assert problem in command.output
    assert not (command.folder / "server").exists()


def test_offline_mode_is_refused_since_a_sweep_needs_a_server(command: SweepCommand):
    assert command.start("sweeps/quickstart.yaml", WANDB_MODE="offline").wait() == 2
    assert "WANDB_MODE=offline" in command.output


def test_a_wandb_that_does_not_answer_or_accept_the_key_is_said_at_once(
    command: SweepCommand, wandb_server: ServerProcess
):
    other = {"WANDB_BASE_URL": wandb_server.url, "WANDB_API_KEY": "k" * 40}
    assert command.start("sweeps/quickstart.yaml", **other).wait() == 2
    assert "does not accept the API key" in command.output
    wandb_server.stop()
    assert command.start("sweeps/quickstart.yaml", **other).wait() == 2
    assert "cannot be reached" in command.output
    assert "embedded" not in command.output


def test_the_users_own_wandb_is_used_when_one_is_configured(
    command: SweepCommand, wandb_server: ServerProcess
):
    spec = command.spec(parameters={"seed": {"values": [1]}})
    own = {"WANDB_BASE_URL": wandb_server.url, "WANDB_API_KEY": wandb_server.api_key, "WANDB_PROJECT": "mine"}
    own |= {"WANDB_DIR": str(command.folder / "home")}
    command.folder = command.folder / "own"  # the fixture's server has the folder `server`
    command.folder.mkdir()
    assert command.start(str(spec), "--agents", "1", "--no_sample", **own).wait() == 0, command.output
    assert command.sweep().startswith("local/mine/")
    assert wandb_server.url in command.output
    assert not (command.folder / "server").exists()
