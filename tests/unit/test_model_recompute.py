"""Gradient checkpointing: blocks are computed twice, and no bit of the training changes."""

from __future__ import annotations

import pytest
import torch

from tests.unit.training_case import SHAPE, batches, case_settings
from transformer_e2e.compute import generators
from transformer_e2e.compute.certificate import digest_tensors
from transformer_e2e.compute.device import prepare_process
from transformer_e2e.trainer.optimizer import named_state
from transformer_e2e.trainer.state import new_state
from transformer_e2e.trainer.step import take_step


def trained(precision: str, recompute: bool) -> tuple[list[object], int]:
    """What three steps leave behind, and how often a block was computed in them."""
    prepare_process(threads=1)
    state = new_state(SHAPE, case_settings(precision), torch.device("cpu"))
    state.model.recompute = recompute
    computed: list[None] = []
    for block in state.model.blocks:
        block.register_forward_pre_hook(lambda *_: computed.append(None))
    steps = [take_step(state, batches, case_settings(precision), lambda: False) for _ in range(3)]
    left = [state.model.state_dict(), named_state(state.model, state.optimizer), generators.capture().tensors]
    return [*steps, *map(digest_tensors, left)], len(computed)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_computing_blocks_again_changes_no_bit(precision: str) -> None:
    assert SHAPE.dropout > 0
    plain, once = trained(precision, recompute=False)
    saving, twice = trained(precision, recompute=True)
    assert saving == plain
    assert once == 3 * 2 * SHAPE.num_layers and twice == 2 * once


def test_an_evaluation_computes_blocks_once() -> None:
    state = new_state(SHAPE, case_settings("fp32"), torch.device("cpu"))
    state.model.recompute = True
    state.model.eval()
    ids_BT = torch.from_numpy(batches(0))[:, :8]
    with torch.no_grad():
        expected = state.model(ids_BT)
    assert torch.equal(state.model(ids_BT), expected)
