"""`--disk_budget` as typed: a tight one costs checkpoints and changes no result, a spent one says so."""

from __future__ import annotations

import re
from pathlib import Path

from tests.training import Workplace, offline
from transformer_e2e.runs.durable import tree_size

CHECKPOINT_GB = 255e3 / 1e9  # of tests.training.TINY


def test_a_tight_budget_skips_checkpoints_and_changes_no_row(tmp_path: Path) -> None:
    workplace = Workplace(tmp_path).prepare()
    budget = 2.3 * CHECKPOINT_GB
    tight = workplace.finish(offline(tmp_path), "tight", disk_budget=budget, max_steps=24)
    assert "no checkpoint at step 21, but training goes on" in tight
    assert "disk budget: removed" in tight
    assert tree_size(tmp_path / "tight") <= budget * 1e9
    workplace.finish(offline(tmp_path), "wide", max_steps=24)
    assert workplace.rows("tight") == workplace.rows("wide")
    assert workplace.record("tight")["metrics"].keys() == workplace.record("wide")["metrics"].keys()


def test_a_spent_budget_ends_the_trial_and_a_larger_one_continues_it(tmp_path: Path) -> None:
    workplace = Workplace(tmp_path).prepare()
    budget = 1.5 * CHECKPOINT_GB
    output = workplace.finish(offline(tmp_path), "a", exit_code=1, disk_budget=budget, max_steps=24)
    assert "error: the disk budget is spent" in output and re.search(r"--disk_budget 0\.000\d", output)
    assert "Traceback" not in output
    trial = workplace.trial("a")
    assert trial is not None and [path.name for path in trial.glob("step-*")] == ["step-00000007"]
    output = workplace.finish(offline(tmp_path), "a", disk_budget=4 * CHECKPOINT_GB, max_steps=24)
    assert "resumed at step 7" in output
