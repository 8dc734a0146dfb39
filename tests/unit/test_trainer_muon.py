"""Muon: what it does to matrices, what it leaves to AdamW, and that its state survives a stop."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.models import with_writers
from tests.unit.training_case import (
    SHAPE,
    DirectoryTrial,
    batches,
    case_settings,
    fingerprint,
    run,
    scramble_generators,
)
from transformer_e2e.config.settings import TrainSettings
from transformer_e2e.errors import CheckpointError
from transformer_e2e.runs.outcome import Outcome
from transformer_e2e.trainer.checkpoint import read_state, write_state
from transformer_e2e.trainer.muon import newton_schulz
from transformer_e2e.trainer.optimizer import fresh_state, named_state
from transformer_e2e.trainer.state import TrainState, new_state
from transformer_e2e.trainer.step import take_step

PLAIN = replace(SHAPE, dropout=0.0)
CPU = torch.device("cpu")


def muon_settings(**changes: Any) -> TrainSettings:
    return case_settings("fp32", optimizer="muon", **changes)


def one_step(settings: TrainSettings) -> tuple[TrainState, dict[str, torch.Tensor]]:
    """(the state after a step, the weights before it)"""
    state = new_state(PLAIN, settings, CPU)
    with_writers(state.model)  # where they are 0 the other matrices have no gradient yet
    before = {name: parameter.detach().clone() for name, parameter in state.model.named_parameters()}
    assert take_step(state, batches, settings, lambda: False)
    return state, before


def is_muons(name: str) -> bool:
    return name.endswith(("qkv.weight", "out.weight", "gate_up.weight", "down.weight"))


def polar(matrix: torch.Tensor) -> torch.Tensor:
    u, _, vh = torch.linalg.svd(matrix.double(), full_matrices=False)
    return u @ vh


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [(24, 24), (16, 48), (48, 16)])
def test_singular_values_come_near_one_and_the_vectors_stay(size, kind):
    torch.manual_seed(0)
    matrices = [torch.randn(size) * 10.0**power for power in (-6, 0, 3)]
    for matrix, made in zip(matrices, newton_schulz(matrices, kind).float(), strict=True):
        assert made.shape == matrix.shape
        values = torch.linalg.svdvals(made)
        assert values.max() < 1.3 and values.median() > 0.6
        alike = (made * polar(matrix)).sum() / made.norm() / polar(matrix).norm()
        assert alike > 0.97


def test_a_matrix_of_zeros_stays_one():
    assert newton_schulz([torch.zeros(8, 8)], torch.float32).eq(0).all()


def test_each_map_in_a_stacked_matrix_moves_by_an_orthogonal_matrix_of_adamws_size():
    settings = muon_settings(gradient_accumulation=1, weight_decay=0.5, max_grad_norm=0.0)
    state, before = one_step(settings)
    rate = settings.learning_rate / settings.warmup_steps
    parts = {"qkv.weight": 3, "gate_up.weight": 2}
    for name, parameter in state.model.named_parameters():
        if not is_muons(name):
            continue
        moved = (before[name] * (1 - rate * 0.5) - parameter.detach()) / rate
        count = next((number for ending, number in parts.items() if name.endswith(ending)), 1)
        for part, gradient in zip(moved.chunk(count), parameter.grad.chunk(count), strict=True):
            expected = polar(gradient) * 0.2 * max(part.shape) ** 0.5
            alike = (part * expected).sum() / part.norm() / expected.norm()
            assert alike > 0.9, name
            assert part.square().mean().sqrt().item() == pytest.approx(0.2, rel=0.3), name


def test_embedding_and_gains_move_as_under_adamw_alone():
    """Without momentum the first step is each optimizer's own; what AdamW has is the same to the bit."""
    ours, _ = one_step(muon_settings())
    theirs, _ = one_step(case_settings("fp32", optimizer="adamw"))
    for (name, left), right in zip(ours.model.named_parameters(), theirs.model.parameters(), strict=True):
        assert torch.equal(left, right) != is_muons(name), name


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_the_state_has_the_names_shapes_and_types_that_a_load_asks_for(optimizer):
    state, _ = one_step(case_settings("fp32", optimizer=optimizer))
    kept, blank = named_state(state.model, state.optimizer), fresh_state(state.model, state.optimizer)
    assert {n: (t.shape, t.dtype) for n, t in kept.items()} == {
        n: (t.shape, t.dtype) for n, t in blank.items()
    }
    assert ("momentum/blocks.0.attention.qkv.weight" in kept) == (optimizer == "muon")
    assert "exp_avg/embedding.weight" in kept


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_stopped_anywhere_and_resumed_equals_uninterrupted(tmp_path, optimizer):
    settings = case_settings("bf16", optimizer=optimizer)

    def attempt(name: str, **limits: float) -> tuple[DirectoryTrial, dict[str, Any]]:
        scramble_generators()
        trial = DirectoryTrial(tmp_path / name, **limits)
        state, outcome = run(trial, settings)
        return trial, fingerprint(state, outcome, trial.rows)

    trial, whole = attempt("whole")
    for poll in range(2, trial.polls, 11):
        _, stopped = attempt(f"stop-{poll}", stop_at=poll)
        assert stopped["outcome"] == Outcome.STOPPED.value
        assert attempt(f"stop-{poll}")[1] == whole


def test_the_state_of_another_optimizer_is_refused(tmp_path):
    state, _ = one_step(case_settings("fp32", optimizer="adamw"))
    write_state(state, tmp_path)
    with pytest.raises(CheckpointError, match=r"momentum/blocks\.0\.attention\.out\.weight is missing"):
        read_state(new_state(PLAIN, muon_settings(), CPU), tmp_path)
