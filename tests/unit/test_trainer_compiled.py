"""`--compile`: the same training, in machine code; exact from process to process like the plain one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.unit.training_case import SHAPE, DirectoryTrial, Killed, case_settings, run, scramble_generators
from transformer_e2e.config.settings import RunSettings, Settings, TrainSettings
from transformer_e2e.errors import ConfigError
from transformer_e2e.trainer.compiled import check_compiler
from transformer_e2e.trainer.state import TrainState, new_state
from transformer_e2e.trainer.step import take_step

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """One folder of compiled code for this file's processes, empty at first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.mktemp("compiled")))
        yield


@pytest.mark.parametrize("precision,tolerance", [("fp32", 1e-5), ("bf16", 2e-2)])
@pytest.mark.slow
def test_a_compiled_step_is_the_plain_step_but_for_rounding(precision, tolerance):
    """Dropout and accumulation included: both draw the same random numbers."""
    states = []
    for compile in (False, True):
        settings = case_settings(precision, compile=compile)
        state = new_state(SHAPE, settings, CPU)
        fill_residual_writers(state)
        step = take_step(
            state, lambda index: np.random.default_rng(index).integers(0, 32, (4, 9)), settings, lambda: False
        )
        assert step is not None
        states.append((state, step))
    (plain, plain_step), (compiled, compiled_step) = states
    assert compiled_step.loss == pytest.approx(plain_step.loss, rel=tolerance)
    assert compiled_step.grad_norm == pytest.approx(plain_step.grad_norm, rel=tolerance)
    for name, gradient in gradients(plain).items():
        error = (gradients(compiled)[name] - gradient).norm() / gradient.norm()
        assert error < tolerance * 5, name
    assert list(compiled.model.state_dict()) == list(plain.model.state_dict())


def fill_residual_writers(state: TrainState) -> None:
    """They begin at 0, and then no gradient reaches what lies before them."""
    generator = torch.Generator().manual_seed(3)
    for name, parameter in state.model.named_parameters():
        if name.endswith(("attention.out.weight", "mlp.down.weight")):
            torch.nn.init.normal_(parameter, std=0.02, generator=generator)


def gradients(state: TrainState) -> dict[str, torch.Tensor]:
    return {name: parameter.grad for name, parameter in state.model.named_parameters()}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.slow
def test_killed_and_resumed_in_a_new_process_equals_uninterrupted(tmp_path, precision):
    """Every process compiles for itself or finds the code in the cache; the bits must not depend on it."""
    whole = in_new_process(tmp_path / "whole", precision)
    settings = case_settings(precision, compile=True)
    scramble_generators()
    with pytest.raises(Killed):
        run(DirectoryTrial(tmp_path / "killed", kill_at=15), settings)
    assert any((tmp_path / "killed").iterdir())
    assert in_new_process(tmp_path / "killed", precision) == whole


def in_new_process(directory: Path, precision: str) -> dict[str, object]:
    command = [sys.executable, "-m", "tests.unit.training_case", str(directory), precision, "compile"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_without_a_compiler_nothing_starts(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ConfigError, match=r"(?s)--compile cannot be used here.*no-such-compiler.*CXX"):
        check_compiler(CPU)
    with pytest.raises(ConfigError, match="--device"):
        check_compiler(torch.device("mps"))


def test_blocks_computed_again_are_refused():
    settings = Settings(train=TrainSettings(compile=True), run=RunSettings(gradient_checkpointing=True))
    assert any("--compile and --gradient_checkpointing" in problem for problem in settings.problems())
