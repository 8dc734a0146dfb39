"""What is read from an agent's log, and how agents are started and ended; with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from transformer_e2e.launch import agents
from transformer_e2e.launch.agents import AgentPool, Leaving, agent_command, why_left
from transformer_e2e.launch.sessions import members
from transformer_e2e.launch.sweep import SweepPath

STARTED = "2026-01-01 - wandb.wandb_agent - INFO - Agent starting run with config:\n"
PATH = SweepPath("me", "demo", "abc123")


@pytest.mark.parametrize(
    ("text", "exit_code", "count", "reason"),
    [
        (f"{STARTED}Received exit command. Killing runs and quitting.", 0, None, Leaving.DONE),
        (STARTED * 2, 0, 2, Leaving.COUNT),
        (STARTED, 0, 2, Leaving.DIED),
        ("Detected 10 failed runs in a row, shutting down.", 0, None, Leaving.GAVE_UP),
        (STARTED, -signal.SIGKILL, None, Leaving.DIED),
        ("wandb: ERROR no such sweep", 1, None, Leaving.DIED),
    ],
)
def test_the_log_tells_why_an_agent_left(text: str, exit_code: int, count: int | None, reason: Leaving):
    assert why_left(text, exit_code, count)[0] is reason


def test_a_death_by_signal_is_named():
    assert why_left("", -signal.SIGKILL, None)[1] == "killed by SIGKILL"


def test_agents_forward_signals_and_take_a_limit():
    assert agent_command(PATH, None)[2:] == ["wandb", "agent", "--forward-signals", "me/demo/abc123"]
    assert agent_command(PATH, 3)[4:] == ["--forward-signals", "--count", "3", "me/demo/abc123"]


# Stands in for `wandb agent`: starts a trial in a process group of its own, hands SIGTERM on, waits for it.
AGENT = """
import signal, subprocess, sys
trial = subprocess.Popen([sys.executable, "-c", sys.argv[1]], process_group=0)
signal.signal(signal.SIGTERM, lambda *_: trial.send_signal(signal.SIGTERM))
print("Agent starting run with config:", flush=True)
trial.wait()
"""
OBEDIENT = """
import pathlib, signal, sys, time
def stop(*_):
    pathlib.Path("{saved}").touch()
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
pathlib.Path("{ready}").touch()
time.sleep(600)
"""
DEAF = """
import pathlib, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path("{ready}").touch()
time.sleep(600)
"""


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A pool of one agent whose trial runs the text in `trial.py` of the folder."""

    def start(trial: str) -> AgentPool:
        text = trial.format(saved=tmp_path / "saved", ready=tmp_path / "ready")
        command = [sys.executable, "-c", AGENT, text]
        monkeypatch.setattr(agents, "agent_command", lambda path, count: command)
        pool = AgentPool(PATH, 1, dict(os.environ), tmp_path / "logs")
        pool.start()
        _until((tmp_path / "ready").exists)
        return pool

    return start


def _until(happened, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_stopping_lets_the_trial_write_its_checkpoint(pool, tmp_path: Path):
    running = pool(OBEDIENT)
    running.stop()
    assert (tmp_path / "saved").exists()
    assert not running.alive()


def test_a_trial_that_ignores_the_request_is_killed_after_the_grace_time(pool, monkeypatch):
    running = pool(DEAF)
    hurried = iter(range(100))  # as if Ctrl-C were pressed again and again
    running.stop(hurry=lambda: next(hurried), grace=0.2)
    assert not running.alive()
    assert not members(running.agents[0].process.pid)


def test_a_trial_whose_agent_was_killed_is_found_and_stopped(pool, tmp_path: Path):
    running = pool(OBEDIENT)
    running.agents[0].process.kill()
    running.agents[0].process.wait()
    (departure,) = running.departures()
    assert departure.early and running.alive()
    running.stop()
    assert (tmp_path / "saved").exists()
    assert not running.alive()


def test_a_dead_agent_is_replaced_only_so_often_and_logs_are_kept(pool, tmp_path: Path):
    running = pool(OBEDIENT)
    running.max_replacements = 1
    for replaced in (True, False):
        running.agents[0].process.kill()
        running.agents[0].process.wait()
        (departure,) = running.departures()
        assert (running.replace(departure) is not None) == replaced
    running.stop()
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == ["agent-1.log", "agent-2.log"]


def test_an_agent_that_gave_up_is_not_replaced(tmp_path: Path):
    pool = AgentPool(PATH, 1, dict(os.environ), tmp_path)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    agent = agents.Agent(1, ended, tmp_path / "agent-1.log", None)
    assert pool.replace(agents.Departure(agent, Leaving.GAVE_UP, "")) is None
