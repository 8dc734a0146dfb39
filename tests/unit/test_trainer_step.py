"""One step: what is accumulated, decayed, clipped, and left alone when something is not finite."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.unit.training_case import SHAPE, case_settings
from transformer_e2e.compute.certificate import digest_tensors
from transformer_e2e.config.settings import TrainSettings
from transformer_e2e.trainer.optimizer import make_optimizer, named_state
from transformer_e2e.trainer.state import TrainState, new_state
from transformer_e2e.trainer.step import Step, take_step

PLAIN = replace(SHAPE, dropout=0.0)
CPU = torch.device("cpu")


def big_batch(index: int) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 32, (12, 9))


def one_step(
    settings: TrainSettings, batches=big_batch, state: TrainState | None = None
) -> tuple[TrainState, Step]:
    state = state or new_state(PLAIN, settings, CPU)
    step = take_step(state, batches, settings, lambda: False)
    assert step is not None
    return state, step


def test_k_micro_batches_equal_one_batch_of_k_times_the_size():
    settings = case_settings("fp32", gradient_accumulation=1, batch_size=12)
    whole, whole_step = one_step(settings)
    parts = case_settings("fp32", gradient_accumulation=3, batch_size=4)
    split, split_step = one_step(parts, lambda index: big_batch(index // 3)[index % 3 * 4 :][:4])
    assert split_step.tokens == whole_step.tokens == whole.tokens_seen == split.tokens_seen == 12 * 8
    assert split_step.loss == pytest.approx(whole_step.loss, rel=1e-6)
    assert split_step.grad_norm == pytest.approx(whole_step.grad_norm, rel=1e-5)
    for name, tensor in named_state(whole.model, whole.optimizer).items():
        torch.testing.assert_close(
            named_state(split.model, split.optimizer)[name], tensor, rtol=1e-4, atol=1e-7
        )


def test_only_matrices_are_decayed_and_the_embedding_is_one():
    state = new_state(PLAIN, case_settings("fp32"), CPU)
    optimizer = make_optimizer(state.model, case_settings("fp32", weight_decay=0.5, learning_rate=0.1))
    before = {name: parameter.detach().clone() for name, parameter in state.model.named_parameters()}
    for parameter in state.model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in state.model.named_parameters():
        share = 1 - 0.1 * 0.5 if parameter.dim() == 2 else 1.0
        torch.testing.assert_close(parameter.detach(), before[name] * share)
    assert before["embedding.weight"].dim() == 2


def test_the_update_is_that_of_plain_adamw():
    settings = case_settings(
        "fp32", optimizer="adamw", gradient_accumulation=1, max_grad_norm=0.0, weight_decay=0.1
    )
    state = new_state(PLAIN, settings, CPU)
    before = {name: parameter.detach().clone() for name, parameter in state.model.named_parameters()}
    _, step = one_step(settings, state=state)
    for name, parameter in state.model.named_parameters():
        decay = 0.1 if parameter.dim() >= 2 else 0.0
        gradient = parameter.grad
        expected = before[name] * (1 - step.learning_rate * decay)
        expected -= step.learning_rate * gradient / (gradient.abs() + 1e-8)  # first step: moments cancel
        torch.testing.assert_close(parameter.detach(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("limit,clipped", [(0.0, False), (1e9, False), (0.01, True)])
def test_gradients_are_scaled_down_to_the_limit(limit, clipped):
    state, step = one_step(case_settings("fp32", max_grad_norm=limit))
    after = torch.cat([parameter.grad.flatten() for parameter in state.model.parameters()]).norm().item()
    assert after == pytest.approx(limit if clipped else step.grad_norm, rel=1e-4)
    assert step.grad_norm > 0.01


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_step_that_is_not_finite_changes_no_weight_and_is_not_counted(value):
    settings = case_settings("fp32")
    state = new_state(PLAIN, settings, CPU)
    with torch.no_grad():
        state.model.final_norm.weight[0] = value
    before = digest_tensors(state.model.state_dict())
    _, step = one_step(settings, state=state)
    assert not step.finite
    assert digest_tensors(state.model.state_dict()) == before
    assert (state.step, state.tokens_seen, named_state(state.model, state.optimizer)) == (0, 0, {})


def test_a_stop_between_micro_batches_leaves_everything_as_before_the_step():
    settings = case_settings("fp32", gradient_accumulation=3)
    state = new_state(SHAPE, settings, CPU)
    before, drawn = digest_tensors(state.model.state_dict()), torch.get_rng_state()
    assert take_step(state, big_batch, settings, lambda: True) is None
    assert digest_tensors(state.model.state_dict()) == before
    assert torch.equal(torch.get_rng_state(), drawn)
    assert state.step == 0 and all(parameter.grad is None for parameter in state.model.parameters())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_repeated_batch_is_learned(precision):
    settings = case_settings(
        precision, batch_size=12, gradient_accumulation=1, max_steps=60, schedule="constant"
    )
    state = new_state(PLAIN, settings, CPU)
    losses = [one_step(settings, lambda _: big_batch(0), state)[1].loss for _ in range(60)]
    assert losses[0] > 3.2 and losses[-1] < 1.5
