"""DeepSpeed's first build is killed: the same command builds anew, and does not wait for the dead."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.hf_training import HfWorkplace
from tests.training import START_SECONDS, offline

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),  # it compiles for a minute or more
    pytest.mark.skipif(
        shutil.which(os.environ.get("CXX", "g++")) is None, reason="there is no g++ to compile with"
    ),
]


def test_a_killed_build_of_deepspeed_does_not_hold_up_the_next_start(tmp_path: Path) -> None:
    place, builds = HfWorkplace(tmp_path).prepare(), tmp_path / "builds"
    env = offline(tmp_path) | {"TORCH_EXTENSIONS_DIR": str(builds)}
    settings = {"deepspeed": "transformer_e2e/configs/deepspeed/zero1.json", "max_steps": 2}
    process = place.start(env, "trials", **settings)
    deadline = time.monotonic() + START_SECONDS
    while not (locks := list(builds.glob("*/lock"))):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert locks[0].exists()
    output = place.finish(env, "trials", **settings)
    assert "was left by a killed compilation; it is removed" in output
    assert "finished after step 2" in output and not locks[0].exists()
