"""Kills and stops at random moments, within epochs too, leave the very trial that was never interrupted."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.hf_training import HfWorkplace
from tests.training import END_SECONDS, offline

SIGNALS = [signal.SIGKILL] * 10 + [signal.SIGTERM] * 3
# After the trial's end Python's own answer to SIGTERM is back, and a little later the process is gone.
EXIT_CODES = {signal.SIGKILL: {-signal.SIGKILL, 0}, signal.SIGTERM: {143, -signal.SIGTERM, 0}}


def seeds() -> list[int]:
    """KILL_SEEDS=3,4,5 draws other moments."""
    return [int(text) for text in os.environ.get("KILL_SEEDS", "1").split(",")]


BOTH = pytest.mark.parametrize("task", ["mlm", "classification"])


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", seeds())
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@BOTH
def test_thirteen_signals_leave_no_trace(tmp_path: Path, task: str, precision: str, seed: int) -> None:
    draw = random.Random(f"{seed} {task} {precision}")
    assert_no_trace(tmp_path, SIGNALS, draw, task=task, bf16=precision == "bf16")


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", seeds())
@BOTH
def test_two_kills_of_a_compiled_model_leave_no_trace(tmp_path: Path, task: str, seed: int) -> None:
    """Each attempt compiles anew, for the shapes of the batches that it happens to meet first."""
    assert_no_trace(tmp_path, SIGNALS[:2], random.Random(f"{seed} {task}"), task=task, torch_compile=True)


def assert_no_trace(
    folder: Path, signals: Sequence[signal.Signals], draw: random.Random, **settings: Any
) -> None:
    """Of `signals` to one attempt each, at moments that `draw` gives: the trial is that of one attempt."""
    workplace, env = HfWorkplace(folder).prepare(), offline(folder) | {"OMP_NUM_THREADS": "1"}
    workplace.finish(env, "whole", **settings)
    rows = len(workplace.rows("whole"))
    moments = sorted((draw.randrange(rows), draw.uniform(0.0, 0.3)) for _ in signals)
    print(f"settings {settings}")  # shown if the test fails, with what follows
    for (row, delay), number in zip(moments, draw.sample(signals, len(signals)), strict=True):
        process = workplace.start(env, "killed", **settings)
        await_rows(workplace, process, max(row, len(workplace.rows("killed"))))
        time.sleep(delay)
        process.send_signal(number)
        print(process.communicate()[0])
        print(f"--- {number.name} {delay:.3f} s after row {row} of {rows}: exit code {process.returncode}")
        assert process.returncode in EXIT_CODES[number]
    workplace.finish(env, "killed", **settings)
    assert workplace.rows("killed") == workplace.rows("whole")
    whole_files, killed_files = workplace.digests("whole"), workplace.digests("killed")
    last = max(whole_files).partition("/")[0]  # a stop leaves checkpoints of its own; the last one is both's
    assert {name for name in whole_files if name.startswith(last)} <= set(killed_files)
    for name in set(whole_files) & set(killed_files):
        assert killed_files[name] == whole_files[name], name
    killed, whole = workplace.record("killed"), workplace.record("whole")
    for name in ("outcome", "best_metric", "steps", "counted", "schema"):
        assert killed[name] == whole[name], name


def await_rows(workplace: HfWorkplace, process: subprocess.Popen[str], rows: int) -> None:
    """Until one row more than `rows` is there, or the training has ended."""
    deadline = time.monotonic() + END_SECONDS
    while process.poll() is None and len(workplace.rows("killed")) <= rows:
        assert time.monotonic() < deadline
        time.sleep(0.002)
