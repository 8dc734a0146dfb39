"""A saved model comes back as it was, and a folder that lacks something is refused with what it lacks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.hf_trial import SCHEMAS, save_model, schema_of
from transformer_e2e.errors import CheckpointError
from transformer_e2e.hf.loading import load_pipeline


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_TRIAL_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("saved")
    save_model(directory, "classification")
    return directory


@pytest.mark.parametrize("case", SCHEMAS)
def test_each_tasks_model_comes_back_with_all_its_weights(tmp_path: Path, case: str) -> None:
    save_model(tmp_path, case)
    found = load_pipeline(tmp_path, "cpu")
    model, tokenizer = found.model, found.tokenizer
    assert found.schema == schema_of(case)
    written = load_file(tmp_path / "model.safetensors")
    state = model.state_dict()
    assert written and all(torch.equal(state[name], tensor) for name, tensor in written.items())
    assert not model.training and {tensor.dtype for tensor in model.parameters()} == {torch.float32}
    ids = tokenizer("the cat sat")["input_ids"]
    assert tokenizer.unk_token_id not in ids and len(ids) >= 3


@pytest.mark.parametrize("missing", ["model.safetensors", "tokenizer.json", "tokenizer*", "config.json"])
def test_a_file_that_is_missing_is_told(saved: Path, tmp_path: Path, missing: str) -> None:
    copy = Path(shutil.copytree(saved, tmp_path / "copy"))
    for path in copy.glob(missing):
        path.unlink()
    what = "holds no tokenizer" if missing == "tokenizer*" else "cannot be loaded as a model of task"
    with pytest.raises(CheckpointError, match=f"copy {what}"):
        load_pipeline(copy, "cpu")


def test_weights_are_never_drawn_at_random(saved: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(saved, tmp_path / "copy"))
    tensors = load_file(copy / "model.safetensors")
    del tensors["classifier.weight"]
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"lacks weights .* needs: classifier\.weight"):
        load_pipeline(copy, "cpu")


def test_no_code_of_the_folder_is_run_and_no_pickle_is_read(saved: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(saved, tmp_path / "copy"))
    config = json.loads((copy / "config.json").read_text())
    own = {"AutoModelForSequenceClassification": "own.Model"}
    (copy / "config.json").write_text(json.dumps({**config, "model_type": "own", "auto_map": own}))
    (copy / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(CheckpointError):
        load_pipeline(copy, "cpu")
    assert not (tmp_path / "ran").exists()
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="safetensors"):
        load_pipeline(copy, "cpu")
