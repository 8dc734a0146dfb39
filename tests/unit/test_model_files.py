"""A model survives its files, and files that are not a model are refused with a reason."""

from __future__ import annotations

import json

import pytest
import torch

from tests.models import with_writers
from transformer_e2e.errors import CheckpointError
from transformer_e2e.model.decoder import Decoder
from transformer_e2e.model.files import MODEL_FILES, load_model, save_model
from transformer_e2e.model.shape import ModelShape

SHAPE = ModelShape(vocab_size=11, context_window=8, num_layers=1, num_heads=2, model_dim=16, mlp_dim=32)


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    model = with_writers(Decoder(SHAPE)).eval()
    save_model(model, tmp_path)
    return model, tmp_path


def test_a_loaded_model_computes_the_same_and_loading_draws_nothing(saved):
    model, directory = saved
    assert sorted(path.name for path in directory.iterdir()) == sorted(MODEL_FILES)
    before = torch.get_rng_state()
    loaded = load_model(directory)
    assert torch.equal(torch.get_rng_state(), before)
    ids_BT = torch.randint(11, (2, 8))
    assert torch.equal(loaded(ids_BT), model(ids_BT))
    assert loaded.shape == SHAPE and not loaded.training


def test_a_shape_that_does_not_fit_the_weights_is_refused(saved):
    _, directory = saved
    shape = json.loads((directory / "model.json").read_text())
    (directory / "model.json").write_text(json.dumps(shape | {"mlp_dim": 48}))
    with pytest.raises(CheckpointError, match=r"mlp\.down\.weight is \(16, 32\)"):
        load_model(directory)


@pytest.mark.parametrize("damage", ["missing", "cut short", "not safetensors"])
@pytest.mark.parametrize("name", MODEL_FILES)
def test_damaged_files_are_named(saved, name, damage):
    path = saved[1] / name
    content = path.read_bytes()
    path.unlink()
    if damage == "cut short":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "not safetensors":
        path.write_bytes(b"\xff" * 100)
    with pytest.raises(CheckpointError, match=name):
        load_model(saved[1])


def test_a_shape_with_unknown_fields_is_refused(saved):
    _, directory = saved
    (directory / "model.json").write_text(json.dumps({"width": 3}))
    with pytest.raises(CheckpointError, match=r"missing \['context_window'.*unknown \['width'\]"):
        load_model(directory)


def test_a_model_written_before_there_was_qk_norm_loads_as_one_without(saved):
    _, directory = saved
    shape = json.loads((directory / "model.json").read_text())
    del shape["qk_norm"]
    (directory / "model.json").write_text(json.dumps(shape))
    assert load_model(directory).shape == SHAPE and not SHAPE.qk_norm
