"""What DeepSpeed needs before it starts, and the files that it is configured with."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from transformer_e2e.errors import CheckpointError, ConfigError
from transformer_e2e.hf import deepspeed

FOLDER = Path(__file__).parents[2] / "transformer_e2e" / "configs" / "deepspeed"
STAGES = {"zero1": 1, "zero2": 2, "zero3": 3, "zero2_offload": 2, "zero3_offload": 3}


def test_each_file_is_of_its_stage_and_leaves_what_trainer_knows_to_trainer() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(STAGES)
    for name, stage in STAGES.items():
        content = json.loads((FOLDER / f"{name}.json").read_text())
        zero = content["zero_optimization"]
        assert zero["stage"] == stage
        assert (
            "optimizer" not in content and "scheduler" not in content
        )  # Trainer's own, decay groups and all
        offloads = {key for key in zero if key.startswith("offload_")}
        expected = {
            "zero2_offload": {"offload_optimizer"},
            "zero3_offload": {"offload_optimizer", "offload_param"},
        }
        assert offloads == expected.get(name, set())
        assert content.get("zero_force_ds_cpu_optimizer", True) == (
            not offloads
        )  # else an own Adam is compiled
        for key in ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps"):
            assert content[key] == "auto"


def test_one_process_without_a_launcher_counts_as_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "")  # put back when the test ends
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", os.environ["PATH"])
    deepspeed.make_ready(on_cpu=False)
    assert (os.environ["RANK"], os.environ["WORLD_SIZE"]) == ("0", "1") and int(os.environ["MASTER_PORT"]) > 0
    monkeypatch.setenv("RANK", "1")
    deepspeed.make_ready(on_cpu=False)
    assert os.environ["RANK"] == "1"


def test_a_cpu_without_a_compiler_is_told_before_anything_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.environ["PATH"])
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("CXX", "/no/such/compiler")
    with pytest.raises(ConfigError, match="there is no /no/such/compiler; install"):
        deepspeed.make_ready(on_cpu=True)
    deepspeed.make_ready(on_cpu=False)


def test_another_trainer_in_its_place_and_a_checkpoint_without_its_state_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="dict trains"):
        deepspeed.require_engine({})
    with pytest.raises(CheckpointError, match="no state of DeepSpeed's"):
        deepspeed.share_count(tmp_path)
    shares = tmp_path / "global_step7"
    shares.mkdir()
    for rank in range(3):
        (shares / f"zero_pp_rank_{rank}_mp_rank_00_optim_states.pt").touch()
    assert deepspeed.share_count(tmp_path) == 3


@pytest.mark.parametrize(("file", "stage"), [("mp_rank_00", 3), ("zero_pp_rank_0_mp_rank_00", 2)])
def test_weights_that_are_spread_and_such_that_are_not_are_not_mixed_up(
    tmp_path: Path, file: str, stage: int
) -> None:
    (tmp_path / "global_step7").mkdir()
    (tmp_path / "global_step7" / f"{file}_model_states.pt").touch()
    with pytest.raises(
        CheckpointError, match=f"cannot be continued with ZeRO-{stage}; --deepspeed with zero"
    ):
        deepspeed._require_same_kind(stage, tmp_path)
    deepspeed._require_same_kind(5 - stage, tmp_path)


def test_tensors_that_a_load_has_given_one_count_of_steps_count_for_themselves() -> None:
    """As DeepSpeed's ZeRO-3 leaves them: Adam counts up in place, once for each tensor."""
    weights = [torch.nn.Parameter(torch.ones(2)) for _ in range(3)]
    optimizer = torch.optim.AdamW(weights)
    shared = torch.tensor(7.0)
    for weight in weights:
        optimizer.state[weight] = {"step": shared, "exp_avg": torch.zeros(2), "exp_avg_sq": torch.zeros(2)}
        weight.grad = torch.ones(2)
    deepspeed._give_each_its_own_count(optimizer)
    optimizer.step()
    assert [float(optimizer.state[weight]["step"]) for weight in weights] == [8.0, 8.0, 8.0]
