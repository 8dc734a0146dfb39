"""Twenty interruptions of every kind at random moments leave the very trial that was never interrupted."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from tests.integration.test_train_resume import HISTORY
from tests.interruptions import Victim, draw
from tests.serving import ServerProcess, run_client
from tests.training import Workplace

ROWS = 96
SLOW_STEPS = {"context_window": 64, "batch_size": 8}  # long enough to be hit, also two rows away
SETTINGS = {"max_steps": ROWS, "eval_interval": 13, "checkpoint_interval": 5, **SLOW_STEPS}


def seeds() -> list[int]:
    """KILL_SEEDS=3,4,5 draws other moments."""
    return [int(text) for text in os.environ.get("KILL_SEEDS", "1").split(",")]


def test_the_moments_are_everywhere() -> None:
    plan = draw(1, rows=ROWS)
    assert len(plan) == 20
    assert Counter(item.when for item in plan) == {"start": 3, "rows": 13, "trained": 3, "uploaded": 1}
    assert len({item.kind for item in plan}) == 7


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", seeds())
def test_twenty_interruptions_leave_no_trace(tmp_path: Path, wandb_server: ServerProcess, seed: int) -> None:
    workplace = Workplace(tmp_path).prepare()
    workplace.finish(wandb_server.env, "whole", project="whole", **SETTINGS)
    victim = Victim(workplace, wandb_server, "killed", {"project": "killed", **SETTINGS})
    try:
        for interruption in draw(seed, rows=ROWS):
            victim.meet(interruption)
        victim.end(expected={0})
        victim.start()
        victim.end(expected={0})
        assert_same_trial(workplace, wandb_server)
        rows = workplace.rows("killed")
        again = workplace.finish(wandb_server.env, "killed", project="killed", **SETTINGS)
        assert "Run was previously completed" in again and "parameters on" not in again
        assert workplace.rows("killed") == rows
    finally:
        victim.give_up()
        print(f"seed {seed}", *victim.story, sep="\n")  # shown if the test fails


def assert_same_trial(workplace: Workplace, server: ServerProcess) -> None:
    whole, killed = workplace.record("whole"), workplace.record("killed")
    assert killed["status"] == whole["status"] == "cleaned"
    assert killed["digests"] == whole["digests"]
    assert workplace.rows("killed") == workplace.rows("whole")
    for name in ("outcome", "best_metric", "steps", "counted"):
        assert killed[name] == whole[name], name
    assert measured(killed["metrics"]) == measured(whole["metrics"])
    assert killed["history_sent"]
    (history,) = json.loads(run_client(server, HISTORY, "killed"))
    assert [row["_step"] for row in history] == list(range(ROWS))
    logged = [
        {name: row[name] for name in expected["metrics"]}
        for row, expected in zip(history, workplace.rows("killed"), strict=True)
    ]
    assert logged == [row["metrics"] for row in workplace.rows("killed")]


def measured(metrics: dict[str, float]) -> dict[str, float]:
    """Without speeds, which no two runs share."""
    return {name: value for name, value in metrics.items() if not name.startswith("perf/")}
