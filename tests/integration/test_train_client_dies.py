"""W&B's helper process is killed in the middle of a training: a new one takes over, in the same attempt."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.hf_training import HfWorkplace
from tests.interruptions import client_helpers
from tests.ranks import HISTORY
from tests.serving import ServerProcess, run_client
from tests.training import Workplace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.parametrize("kind", [Workplace, HfWorkplace])
def test_training_goes_on_and_wandb_has_every_row_at_its_end(
    tmp_path: Path, wandb_server: ServerProcess, kind: type[Workplace]
) -> None:
    place = kind(tmp_path).prepare()
    process = place.start_and_await(wandb_server.env, "dies", rows=8, project="dies")
    helpers = client_helpers(process.pid)
    assert helpers
    for pid in helpers:
        os.kill(pid, signal.SIGKILL)
    place.let_go("dies")
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0 and "Traceback" not in output, output
    assert "a new one goes on with the run" in output, output
    (history,) = json.loads(run_client(wandb_server, HISTORY, "dies"))
    assert [row["_step"] for row in history] == list(range(len(place.rows("dies"))))
    assert place.record("dies")["status"] == "cleaned"
    assert "Run was previously completed" in place.finish(wandb_server.env, "dies", project="dies")
