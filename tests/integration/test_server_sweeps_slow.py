"""The rest of a sweep's life with the real commands: each test takes some polls of its agents, 5 s each."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.sweep_driver import (
    PROJECT,
    Commands,
    ask,
    eventually,
    ledger,
    points,
    view,
)
from tests.serving import ServerProcess, run_client

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PATIENCE = 400.0  # seconds until an agent that must leave counts as stuck; four times what takes longest

# 12 rows, one a second; a second attempt goes on where the first one ended.
ROW_A_SECOND = """
import time, wandb
with wandb.init(resume="allow") as run:
    for row in range(run.starting_step, 12):
        run.log({"loss": float(run.config["x"]), "row": row})
        time.sleep(1)
"""
# Ends when a file named after its x is there.
ENDS_WHEN_TOLD = """
import pathlib, time, wandb
with wandb.init() as run:
    run.log({"loss": 1.0})
    while not pathlib.Path(f"end-{run.config['x']}").exists():
        time.sleep(0.1)
"""
# The worst one stays where Hyperband first looks, until it is stopped: the others come when they come.
WORST_STAYS_AT_TWO_ROWS = """
import time, wandb
with wandb.init() as run:
    x = run.config["x"]
    for row in range(2 if x == 3 else 12):
        run.log({"loss": float(x), "row": row})
    if x == 3:
        time.sleep(3600)
"""
NOTES_EACH_START = """
import pathlib, sys
with pathlib.Path("started").open("a") as notes:
    print(*sys.argv[1:], file=notes)
if sys.argv[1] == "--x=1":
    sys.exit(2)
import wandb
with wandb.init() as run:
    run.log({"loss": 1.0})
"""
PREEMPTED_ONCE = """
import sys, wandb
run = wandb.init(resume="allow")
for row in range(run.starting_step, 6):
    run.log({"row": row})
    if row == 2:
        run.mark_preempting()
        run.finish(exit_code=1)
        sys.exit(1)
run.finish()
"""
FUNCTION_AGENT = """
import sys, wandb
def trial():
    with wandb.init() as run:
        if run.config.x == 2:
            raise ValueError("this point is bad")
        run.log({"loss": run.config.x})
spec = {"method": "grid", "parameters": {"x": {"values": [1, 2, 3]}}}
sweep_id = wandb.sweep({**spec, "metric": {"name": "loss", "goal": "maximize"}}, project="sweeping")
wandb.agent(sweep_id, function=trial)
sweep = wandb.Api().sweep(f"local/sweeping/{sweep_id}")
print(sweep_id, sweep.state, sweep.expected_run_count, sweep.best_run().config["x"], len(sweep.runs))
(agent,) = sweep.agents()
print(sorted(run.state for run in agent.runs()))
"""


def grid(*values: int, **more: Any) -> dict[str, Any]:
    spec = {"method": "grid", "program": "trial.py", "parameters": {"x": {"values": list(values)}}}
    return {**spec, "metric": {"name": "loss", "goal": "minimize"}, **more}


@pytest.fixture
def commands(wandb_server: ServerProcess, tmp_path: Path) -> Commands:
    return Commands(wandb_server, tmp_path / "work")


def rows(server: ServerProcess, sweep: str) -> dict[str, list[Any]]:
    """The `row` of each history row, by run."""
    query = """query R($sweep: String!, $project: String) { project(name: $project) {
        sweep(sweepName: $sweep) { runs { edges { node { name history(samples: 1000) } } } } } }"""
    found = ask(server, query, sweep=sweep, project=PROJECT)["project"]["sweep"]["runs"]["edges"]
    return {
        edge["node"]["name"]: [json.loads(line)["row"] for line in edge["node"]["history"]] for edge in found
    }


def states(server: ServerProcess, sweep: str) -> list[str]:
    """The states of the sweep's runs in issue order."""
    return [run["state"] for run in view(server, sweep)["runs"]]


def test_hyperband_stops_the_worst_of_three(commands: Commands) -> None:
    server = commands.server
    commands.script("trial.py", WORST_STAYS_AT_TWO_ROWS)
    stop = {"type": "hyperband", "min_iter": 2, "eta": 2}
    sweep = commands.sweep(grid(1, 2, 3, early_terminate=stop))
    with commands.agent(sweep) as a, commands.agent(sweep) as b, commands.agent(sweep) as c:
        for agent in (a, b, c):
            assert agent.wait(PATIENCE) == 0, commands.logs()
    by_x = {
        point["x"]: run for point, run in zip(points(server, sweep), view(server, sweep)["runs"], strict=True)
    }
    assert (by_x[1]["state"], by_x[2]["state"], by_x[3]["state"]) == ("finished", "finished", "killed")
    assert by_x[3]["stopReason"] == "pruned"
    assert [len(rows(server, sweep)[by_x[x]["name"]]) for x in (1, 2, 3)] == [12, 12, 2]


def test_bayes_with_two_agents_ends_at_its_run_cap(commands: Commands) -> None:
    commands.script(
        "trial.py", "import wandb\nwith wandb.init() as r:\n    r.log({'loss': (r.config['x'] - 0.3) ** 2})\n"
    )
    uniform = {"x": {"distribution": "uniform", "min": 0.0, "max": 1.0}}
    sweep = commands.sweep({**grid(), "method": "bayes", "run_cap": 14, "parameters": uniform})
    with commands.agent(sweep) as a, commands.agent(sweep) as b:
        assert (a.wait(PATIENCE), b.wait(PATIENCE)) == (0, 0), commands.logs()
    tried = [point["x"] for point in points(commands.server, sweep)]
    assert len(set(tried)) == 14 and all(0 <= x <= 1 for x in tried)
    assert states(commands.server, sweep) == ["finished"] * 14
    assert min(abs(x - 0.3) for x in tried) < 0.1


def test_pause_resume_and_cancel_at_the_command_line(commands: Commands) -> None:
    server = commands.server
    commands.script("trial.py", ENDS_WHEN_TOLD)
    sweep = commands.sweep(grid(1, 2, 3))
    path = f"local/{PROJECT}/{sweep}"
    with commands.agent(sweep) as agent:
        eventually(lambda: states(server, sweep) == ["running"])
        commands.run("sweep", "--pause", path)
        assert view(server, sweep)["state"] == "PAUSED"
        (commands.folder / "end-1").touch()
        eventually(lambda: states(server, sweep) == ["finished"])
        time.sleep(11)
        assert states(server, sweep) == ["finished"]  # paused: no second trial, and the agent waits
        commands.run("sweep", "--resume", path)
        eventually(lambda: states(server, sweep) == ["finished", "running"])
        commands.run("sweep", "--cancel", path)
        assert agent.wait(PATIENCE) == 0, commands.logs()
    runs = view(server, sweep)["runs"]
    assert [(run["state"], run["stopReason"]) for run in runs] == [
        ("finished", None),
        ("killed", "cancelled"),
    ]
    code, output = commands.call("sweep", "--pause", path)
    assert code != 0 and "Cannot pause canceled sweep" in output


def test_stop_at_the_command_line_lets_the_trial_finish(commands: Commands) -> None:
    commands.script("trial.py", ENDS_WHEN_TOLD)
    sweep = commands.sweep(grid(1, 2, 3))
    with commands.agent(sweep) as agent:
        eventually(lambda: states(commands.server, sweep) == ["running"])
        commands.run("sweep", "--stop", f"local/{PROJECT}/{sweep}")
        (commands.folder / "end-1").touch()
        assert agent.wait(PATIENCE) == 0, commands.logs()
    assert states(commands.server, sweep) == ["finished"]
    assert view(commands.server, sweep)["state"] == "FINISHED"


def test_a_trial_that_dies_before_init_fails_and_the_sweep_goes_on(commands: Commands) -> None:
    commands.script("trial.py", NOTES_EACH_START)
    sweep = commands.sweep(grid(1, 2))
    with commands.agent(sweep) as agent:
        assert agent.wait(PATIENCE) == 0, commands.logs()
    assert states(commands.server, sweep) == ["failed", "finished"]
    assert (commands.folder / "started").read_text() == "--x=1\n--x=2\n"


def test_a_preempted_trial_goes_on_in_the_same_run(commands: Commands) -> None:
    commands.script("trial.py", PREEMPTED_ONCE)
    sweep = commands.sweep(grid(1))
    with commands.agent(sweep) as agent:
        assert agent.wait(PATIENCE) == 0, commands.logs()
    (issued,) = ledger(commands.server, sweep)
    assert issued["attempt"] == 2
    assert states(commands.server, sweep) == ["finished"]
    assert rows(commands.server, sweep) == {issued["run_name"]: [0, 1, 2, 3, 4, 5]}


def test_a_function_agent_and_the_public_api(wandb_server: ServerProcess) -> None:
    output = run_client(wandb_server, FUNCTION_AGENT, timeout=PATIENCE)
    *_, summary, states_line = output.strip().splitlines()
    sweep_id, *rest = summary.split()
    assert rest == ["FINISHED", "3", "3", "3"]
    assert states_line == "['failed', 'finished', 'finished']"
    assert [point["x"] for point in points(wandb_server, sweep_id)] == [1, 2, 3]


def test_a_trial_outlives_its_killed_agent_and_another_agent_goes_on(commands: Commands) -> None:
    commands.script("trial.py", ROW_A_SECOND)
    sweep = commands.sweep(grid(1, 2))
    with commands.agent(sweep) as first:
        eventually(lambda: states(commands.server, sweep) == ["running"])
        os.kill(first.pid, signal.SIGKILL)
        with commands.agent(sweep) as second:
            assert second.wait(PATIENCE) == 0, commands.logs()
    assert states(commands.server, sweep) == ["finished", "finished"]
    assert list(rows(commands.server, sweep).values()) == [list(range(12))] * 2


def test_an_agent_told_to_leave_after_one_trial_leaves_the_rest_to_others(commands: Commands) -> None:
    commands.script("trial.py", NOTES_EACH_START)
    sweep = commands.sweep(grid(5, 6))
    for expected in (["finished"], ["finished", "finished"]):
        with commands.agent(sweep, "--count", "1") as agent:
            assert agent.wait(PATIENCE) == 0, commands.logs()
        assert states(commands.server, sweep) == expected
    assert view(commands.server, sweep)["state"] == "FINISHED"


def test_nothing_is_lost_when_the_server_is_killed_twice_under_two_agents(commands: Commands) -> None:
    server = commands.server
    commands.script("trial.py", ROW_A_SECOND)
    sweep = commands.sweep(grid(1, 2, 3, 4))
    with commands.agent(sweep) as a, commands.agent(sweep) as b:
        for started in (2, 3):
            eventually(lambda started=started: len(ledger(server, sweep)) >= started)
            time.sleep(4)
            server.kill()
            time.sleep(5)
            server.restart()
        assert (a.wait(PATIENCE), b.wait(PATIENCE)) == (0, 0), commands.logs()
    assert [point["x"] for point in points(server, sweep)] == [1, 2, 3, 4]
    assert states(server, sweep) == ["finished"] * 4
    assert list(rows(server, sweep).values()) == [list(range(12))] * 4
