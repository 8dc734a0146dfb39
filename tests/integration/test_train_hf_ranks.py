"""Real torchrun processes train one Hugging Face model together, with DeepSpeed and without: as one would."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.serving import REPOSITORY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # DeepSpeed's first use compiles for minutes

CONFIGS = "transformer_e2e/configs/deepspeed"
FOUR_DECIMALS = 5e-5
STOP = 9  # polls, one a step: in the middle of the second epoch
needs_compiler = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None,
    reason="on a CPU DeepSpeed compiles a part of itself, and there is no g++",
)


def trained(folder: Path, processes: int, stage: str | None = None, **how: Any) -> dict[str, Any]:
    """What rank 0 of so many processes says of a training in `folder`, or of its continuation."""
    how |= {"folder": str(folder)} | ({"deepspeed": f"{CONFIGS}/{stage}.json"} if stage else {})
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    extensions = os.environ.get("TORCH_EXTENSIONS_DIR", str(Path.home() / ".cache" / "torch_extensions"))
    done = subprocess.run(
        [sys.executable, *launcher, "-m", "tests.hf_ranks", json.dumps(how)],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TORCH_EXTENSIONS_DIR": extensions},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith('{"outcome"')]
    found: dict[str, Any] = json.loads(line)
    if how.get("stop_at") is None:
        assert (found["outcome"], found["steps"]) == ("finished", 18)
    else:
        assert found["outcome"] == "stopped" and found["steps"] < 18
    return found


def assert_same_losses(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert [row["step"] for row in found["rows"]] == [row["step"] for row in expected["rows"]]
    for row, other in zip(found["rows"], expected["rows"], strict=True):
        assert set(row) == set(other)
        for name in {"train/loss", "eval/loss"} & set(row):
            assert row[name] == pytest.approx(other[name], abs=FOUR_DECIMALS), row["step"]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One process without DeepSpeed."""
    found = trained(tmp_path_factory.mktemp("alone"), 1)
    assert found["engine"] != "DeepSpeedEngine"
    return found


def test_two_processes_have_the_losses_of_one(tmp_path: Path, alone: dict[str, Any]) -> None:
    assert_same_losses(trained(tmp_path, 2), alone)


def test_two_processes_go_on_exactly_and_one_goes_on_from_them(tmp_path: Path, alone: dict[str, Any]) -> None:
    random = {"dropout": 0.2, "count": 45}  # drawn on both; the last batch of an epoch is not full
    whole = trained(tmp_path / "whole", 2, **random)
    trained(tmp_path / "stopped", 2, stop_at=STOP, **random)
    assert trained(tmp_path / "stopped", 2, **random)["rows"] == whole["rows"]
    trained(tmp_path / "moved", 2, stop_at=STOP)
    assert_same_losses(trained(tmp_path / "moved", 1), alone)


@needs_compiler
@pytest.mark.parametrize("processes", [1, 2])
def test_deepspeed_has_the_losses_of_one_process(
    tmp_path: Path, processes: int, alone: dict[str, Any]
) -> None:
    found = trained(tmp_path, processes, "zero2")
    assert found["engine"] == "DeepSpeedEngine" and "by DeepSpeed ZeRO-2" in found["said"][0]
    assert_same_losses(found, alone)


@needs_compiler
@pytest.mark.parametrize("stage", ["zero1", "zero2", "zero3", "zero2_offload", "zero3_offload"])
def test_each_deepspeed_file_trains_stops_and_goes_on_with_as_many_and_fewer_processes(
    tmp_path: Path, stage: str, alone: dict[str, Any]
) -> None:
    stopped = trained(tmp_path / "trial", 2, stage, stop_at=STOP)
    assert stopped["engine"] == "DeepSpeedEngine"
    (checkpoint,) = (tmp_path / "trial").glob(f"step-{stopped['steps']:08d}")
    shares = list(checkpoint.glob("global_step*/*_optim_states.pt"))
    assert len(shares) == 2 and (checkpoint / "model.safetensors").stat().st_size > 10_000
    shutil.copytree(tmp_path / "trial", tmp_path / "moved")

    assert_same_losses(trained(tmp_path / "trial", 2, stage), alone)
    assert_same_losses(trained(tmp_path / "moved", 1, stage), alone)
    assert not list((tmp_path / "moved").glob(".staging-*"))


@needs_compiler
def test_deepspeed_goes_on_with_more_processes(tmp_path: Path, alone: dict[str, Any]) -> None:
    trained(tmp_path, 1, "zero2", stop_at=STOP)
    assert_same_losses(trained(tmp_path, 2, "zero2"), alone)


@needs_compiler
def test_deepspeed_with_dropout_goes_on_exactly(tmp_path: Path) -> None:
    random = {"dropout": 0.2, "count": 45}
    whole = trained(tmp_path / "whole", 2, "zero2", **random)
    trained(tmp_path / "stopped", 2, "zero2", stop_at=STOP, **random)
    assert trained(tmp_path / "stopped", 2, "zero2", **random)["rows"] == whole["rows"]
