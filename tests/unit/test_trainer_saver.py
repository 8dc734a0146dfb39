"""What is written in the background is the state between two steps, whatever training does meanwhile."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.unit.training_case import (
    SHAPE,
    DirectoryTrial,
    LaterTrial,
    batches,
    case_settings,
    fingerprint,
    run,
    scramble_generators,
)
from transformer_e2e.compute.tensor_file import TensorFile
from transformer_e2e.errors import CheckpointError
from transformer_e2e.runs.manifest import file_digest
from transformer_e2e.runs.outcome import Outcome
from transformer_e2e.trainer.checkpoint import certificate_1, read_state, view_of, write_state
from transformer_e2e.trainer.snapshot import Snapshot
from transformer_e2e.trainer.state import TrainState, new_state
from transformer_e2e.trainer.step import take_step


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_late_write_is_the_same_checkpoint(tmp_path: Path, precision: str) -> None:
    for kind, trial in (("now", DirectoryTrial), ("later", LaterTrial)):
        run(trial(tmp_path / kind), case_settings(precision))
    for path in sorted((tmp_path / "now").rglob("*.*")):
        assert path.read_bytes() == (tmp_path / "later" / path.relative_to(tmp_path / "now")).read_bytes()


def test_every_checkpoint_written_late_leads_to_the_same_end(tmp_path: Path) -> None:
    settings = case_settings("fp32")
    trial = LaterTrial(tmp_path)
    whole = fingerprint(*run(trial, settings), trial.rows)
    found = sorted(tmp_path.glob("step-*"))
    assert len(found) >= 3
    for checkpoint in found:
        shutil.copytree(checkpoint, tmp_path / f"from-{checkpoint.name}" / checkpoint.name)
        again = LaterTrial(tmp_path / f"from-{checkpoint.name}")
        scramble_generators()
        assert fingerprint(*run(again, settings), again.rows) == whole


@pytest.fixture
def state() -> TrainState:
    state = new_state(SHAPE, case_settings("fp32"), torch.device("cpu"))
    step(state)
    return state


def step(state: TrainState) -> None:
    take_step(state, batches, case_settings("fp32"), lambda: False)


def written(tmp_path: Path, name: str, write: Callable[[Path], Any]) -> dict[str, bytes]:
    (tmp_path / name).mkdir()
    write(tmp_path / name)
    return {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}


def test_a_snapshot_does_not_change_with_the_next_step_and_its_room_is_kept(
    tmp_path: Path, state: TrainState
) -> None:
    snapshot = Snapshot()
    before = written(tmp_path, "before", lambda place: write_state(state, place))
    snapshot.take(view_of(state))
    room = snapshot._weights
    step(state)
    assert written(tmp_path, "kept", snapshot.write) == before
    snapshot.take(view_of(state))
    assert snapshot._weights is room
    after = written(tmp_path, "after", lambda place: write_state(state, place))
    assert written(tmp_path, "again", snapshot.write) == after != before


def test_the_digests_are_those_of_the_files(tmp_path: Path, state: TrainState) -> None:
    snapshot = Snapshot()
    snapshot.take(view_of(state))
    digests = snapshot.write(tmp_path)
    assert digests == {path.name: file_digest(path) for path in tmp_path.glob("*.safetensors")}
    assert (
        json.loads((tmp_path / "state.json").read_text())["certificate"]["weights"]
        == (digests["model.safetensors"])
    )
    assert set(load_file(tmp_path / "model.safetensors")) == set(state.model.state_dict())


def test_a_checkpoint_of_format_1_is_read_and_its_certificate_checked(
    tmp_path: Path, state: TrainState
) -> None:
    write_state(state, tmp_path)
    path = tmp_path / "state.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {"format": 1, "certificate": certificate_1(view_of(state))}))
    fresh = new_state(SHAPE, case_settings("fp32"), torch.device("cpu"))
    read_state(fresh, tmp_path)
    assert fingerprint(fresh, Outcome.STOPPED, []) == fingerprint(state, Outcome.STOPPED, [])
    path.write_text(json.dumps(document | {"format": 1}))
    with pytest.raises(CheckpointError, match="weights, optimizer, generators differ"):
        read_state(fresh, tmp_path)
    path.write_text(json.dumps(document | {"format": 3}))
    with pytest.raises(CheckpointError, match="not a training state of format 1 or 2"):
        read_state(fresh, tmp_path)


KINDS = [torch.float64, torch.float32, torch.bfloat16, torch.int64, torch.uint8, torch.bool]


@pytest.mark.parametrize("rows", [0, 1, 3, 5000])
def test_a_tensor_file_is_what_safetensors_reads(tmp_path: Path, rows: int) -> None:
    tensors = {f"{kind}/x": torch.randint(0, 2, (rows, 7)).to(kind) for kind in KINDS}
    tensors |= {
        "scalar": torch.tensor(2.5),
        "turned": torch.randn(3, rows).t(),
        "grad": torch.nn.Parameter(torch.ones(2)),
    }
    file = TensorFile(tensors)
    file.take(tensors)
    digest = file.write(tmp_path / "some.safetensors")
    assert digest == file_digest(tmp_path / "some.safetensors")
    found = load_file(tmp_path / "some.safetensors")
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor), name
    assert file.fits(found) and not file.fits(found | {"more": torch.ones(1)})


def test_no_tensors_are_a_file_too(tmp_path: Path) -> None:
    TensorFile({}).write(tmp_path / "none.safetensors")
    assert load_file(tmp_path / "none.safetensors") == {}


@pytest.mark.parametrize("refusal", ["open", "write"])
def test_a_file_system_without_direct_writing_gets_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: str
) -> None:
    """As tmpfs refuses: there is none to mount here."""
    file = TensorFile({"x": torch.ones(3000)})
    file.take({"x": torch.arange(3000.0)})
    expected = file.write(tmp_path / "direct")
    real = getattr(os, refusal)

    def refuse(target: Any, *rest: Any) -> Any:
        flags = rest[0] if refusal == "open" else fcntl.fcntl(target, fcntl.F_GETFL)
        if flags & os.O_DIRECT:
            raise OSError(22, "Invalid argument")
        return real(target, *rest)

    monkeypatch.setattr(os, refusal, refuse)
    assert file.write(tmp_path / "buffered") == expected == file_digest(tmp_path / "buffered")
