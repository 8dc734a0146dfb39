"""Sweeps as people run them: the real `wandb sweep` and `wandb agent` against the embedded server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.sweep_driver import PROJECT, Commands, points, view
from tests.serving import ServerProcess

# A program that overwrites the configuration that it was given, as some do.
REWRITES_ITS_CONFIG = """
import wandb
with wandb.init() as run:
    x, y = run.config["x"], run.config["y"]
    run.config.update({"x": -1, "y": "rewritten", "more": True}, allow_val_change=True)
    run.log({"loss": x / 10, "point": f"{x}{y}"})
"""
SPEAKS_OF_ITS_ARGUMENTS = """
import sys, wandb
with wandb.init() as run:
    run.log({"loss": run.config["learning_rate"]})
    run.summary["argv"] = sys.argv[1:]
    run.summary["optimizer"] = dict(run.config["optimizer"])
"""


@pytest.mark.timeout(900)
def test_two_agents_finish_a_grid_while_a_third_samples_at_random(
    wandb_server: ServerProcess, tmp_path: Path
) -> None:
    commands = Commands(wandb_server, tmp_path / "work")
    commands.script("rewrites.py", REWRITES_ITS_CONFIG)
    commands.script("speaks.py", SPEAKS_OF_ITS_ARGUMENTS)
    grid = commands.sweep(
        {
            "method": "grid",
            "program": "rewrites.py",
            "metric": {"name": "loss", "goal": "minimize"},
            "parameters": {"x": {"values": [1, 2, 3, 4]}, "y": {"values": ["a", "b", "c"]}},
        }
    )
    sampled = commands.sweep(
        """
        method: random
        program: speaks.py
        run_cap: 4
        metric: {name: loss, goal: minimize}
        parameters:
          learning_rate: {distribution: log_uniform_values, min: 1e-5, max: 1e-4}
          optimizer:
            parameters:
              kind: {values: [adam, sgd]}
              decay: {distribution: uniform, min: 0.0, max: 1e-1}
        """
    )
    with (
        commands.agent(grid) as first,
        commands.agent(grid) as second,
        commands.agent(sampled) as third,
    ):
        for agent in (first, second, third):
            assert agent.wait(timeout=600) == 0, commands.logs()  # it leaves by itself
    check_grid(view(wandb_server, grid), points(wandb_server, grid), commands)
    check_sampled(view(wandb_server, sampled), points(wandb_server, sampled))


def check_grid(sweep: dict[str, Any], issued: list[dict[str, Any]], commands: Commands) -> None:
    wanted = {(x, y) for x in (1, 2, 3, 4) for y in "abc"}
    assert sorted((point["x"], point["y"]) for point in issued) == sorted(wanted), commands.logs()
    summaries = [json.loads(run["summaryMetrics"]) for run in sweep["runs"]]
    assert sorted(summary["point"] for summary in summaries) == sorted(f"{x}{y}" for x, y in wanted)
    assert {run["state"] for run in sweep["runs"]} == {"finished"}
    assert (sweep["state"], sweep["runCount"], sweep["bestLoss"]) == ("FINISHED", 12, 0.1)
    assert len(sweep["agents"]) == 2 and all(agent["totalRuns"] > 1 for agent in sweep["agents"])


def check_sampled(sweep: dict[str, Any], issued: list[dict[str, Any]]) -> None:
    assert (sweep["state"], sweep["runCount"]) == ("FINISHED", 4)
    rates = [point["learning_rate"] for point in issued]
    assert all(isinstance(rate, float) and 1e-5 <= rate <= 1e-4 for rate in rates)
    assert len(set(rates)) == 4
    assert sweep["bestLoss"] == min(rates)
    for run, point in zip(sweep["runs"], issued, strict=True):
        summary = json.loads(run["summaryMetrics"])
        assert summary["optimizer"] == point["optimizer"]
        assert summary["argv"] == [f"--{name}={value}" for name, value in point.items()]


def test_a_bad_spec_is_explained_at_the_command_line(wandb_server: ServerProcess, tmp_path: Path) -> None:
    commands = Commands(wandb_server, tmp_path / "work")
    good = commands.sweep({"method": "grid", "program": "t.py", "parameters": {"x": {"values": [1]}}})
    (commands.folder / "bad.yaml").write_text("method: bayse\nprogram: t.py\nparameters: {x: {min: 3}}\n")
    for flags in (("--project", PROJECT), ("--update", f"local/{PROJECT}/{good}")):
        code, output = commands.call("sweep", *flags, "bad.yaml")
        assert code != 0
        assert "did you mean bayes?" in output
        assert "x" in output and "max" in output  # all problems at once
    assert view(wandb_server, good)["method"] == "grid"
