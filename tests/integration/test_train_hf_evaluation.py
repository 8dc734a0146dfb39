"""Evaluations of several processes: the numbers of one, over exactly the examples."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.hf_evaluation_ranks import COUNTS
from tests.serving import REPOSITORY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def evaluations(processes: int) -> dict[str, dict[str, dict[str, float]]]:
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    done = subprocess.run(
        [sys.executable, *launcher, "-m", "tests.hf_evaluation_ranks"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_an_evaluation_of_several_processes_is_that_of_one() -> None:
    alone = evaluations(1)
    for processes in (2, 4):
        together = evaluations(processes)
        for kind, by_count in alone.items():
            for count in map(str, COUNTS):
                mine, other = by_count[count], together[kind][count]
                assert set(mine) == set(other)
                for name, value in mine.items():
                    near = value if name != "eval_loss" else pytest.approx(value, rel=1e-6)
                    assert other[name] == near, (processes, kind, count, name)
                if kind != "masked":
                    assert mine["eval_examples"] == int(count)
