"""A state on disk is verified before anything of it is used; a bad one changes nothing."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.unit.training_case import SHAPE, DirectoryTrial, batches, case_settings, fingerprint, run
from transformer_e2e.compute import generators
from transformer_e2e.errors import CheckpointError
from transformer_e2e.runs.outcome import Outcome
from transformer_e2e.trainer.checkpoint import read_state, write_state
from transformer_e2e.trainer.state import new_state

FILES = ["model.json", "model.safetensors", "optimizer.safetensors", "rng.safetensors", "state.json"]


def next_batch(step: int) -> np.ndarray:
    return batches(step * 2)


@pytest.fixture
def written(tmp_path):
    state, _ = run(DirectoryTrial(tmp_path / "trial"), case_settings("fp32"))
    directory = tmp_path / "written"
    directory.mkdir()
    write_state(state, directory, next_batch)
    return state, directory


def fresh():
    return new_state(SHAPE, case_settings("fp32"), torch.device("cpu"))


def test_a_checkpoint_is_safetensors_and_json_alone(written):
    assert sorted(path.name for path in written[1].iterdir()) == FILES


def test_whoever_may_read_new_files_here_may_read_every_file(written, tmp_path):
    (tmp_path / "plain").touch()
    plain = (tmp_path / "plain").stat().st_mode
    assert {path.name: path.stat().st_mode for path in written[1].iterdir()} == dict.fromkeys(FILES, plain)


def test_writing_twice_gives_the_same_bytes_and_changes_nothing(written, tmp_path):
    state, directory = written
    again = tmp_path / "again"
    again.mkdir()
    write_state(state, again, next_batch)
    assert all((again / name).read_bytes() == (directory / name).read_bytes() for name in FILES)


def test_all_generators_go_on_where_they_were(written):
    _, directory = written
    first = (random.random(), np.random.rand(), np.random.randn(), torch.rand(2).tolist())
    generators.seed_all(5)
    random.gauss(0, 1), np.random.randn()  # a half-used pair of normal numbers is part of the state
    read_state(fresh(), directory, next_batch)
    assert (random.random(), np.random.rand(), np.random.randn(), torch.rand(2).tolist()) == first


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["missing", "cut short"])
def test_damaged_files_are_named_and_leave_the_state_untouched(written, name, damage):
    path = written[1] / name
    content = path.read_bytes()
    path.unlink()
    if damage == "cut short":
        path.write_bytes(content[: len(content) * 2 // 3])
    refuses(written[1], name)


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".safetensors")])
def test_one_changed_bit_is_noticed(written, name):
    path = written[1] / name
    tensors = load_file(path)
    first = next(iter(sorted(tensors)))
    changed = tensors[first].clone()
    changed.view(-1).view(torch.uint8)[0] ^= 1
    save_file(tensors | {first: changed}, path)
    refuses(written[1], "differ from its certificate")


def test_a_changed_counter_is_noticed(written):
    path = written[1] / "state.json"
    document = json.loads(path.read_text())
    document["progress"]["step"] += 1
    path.write_text(json.dumps(document))
    refuses(written[1], "next_batch, progress differ|progress, next_batch differ")


def test_other_data_is_noticed(written):
    refuses(written[1], "next_batch differ.*was the data changed", lambda step: batches(77))


def test_another_model_is_refused(written):
    state = new_state(replace(SHAPE, num_layers=1), case_settings("fp32"), torch.device("cpu"))
    with pytest.raises(CheckpointError, match="num_layers=2"):
        read_state(state, written[1], next_batch)


def refuses(directory, message, following=next_batch):
    state = fresh()
    before = fingerprint(state, Outcome.STOPPED, [])
    with pytest.raises(CheckpointError, match=message):
        read_state(state, directory, following)
    assert fingerprint(state, Outcome.STOPPED, []) == before
