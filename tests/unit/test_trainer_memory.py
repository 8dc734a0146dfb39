"""A step that does not fit is told as settings that are too large, and nothing else is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from transformer_e2e.config.settings import RunSettings, Settings, TrainSettings
from transformer_e2e.errors import ConfigError
from transformer_e2e.trainer.memory import enough_memory

SETTINGS = Settings(train=TrainSettings(batch_size=16, gradient_accumulation=3))


def test_memory_that_does_not_suffice_is_told_with_smaller_settings_that_train_alike() -> None:
    for allocate in (lambda: torch.empty(2**58), lambda: np.empty(2**58)):
        with (
            pytest.raises(
                ConfigError, match="--batch_size=16 with --context_window=128 does not fit"
            ) as told,
            enough_memory(SETTINGS),
        ):
            allocate()
        assert "--batch_size 8 --gradient_accumulation 6" in str(told.value)
        assert "--gradient_checkpointing" in str(told.value)


def test_what_is_used_already_is_not_advised() -> None:
    small = replace(SETTINGS, train=TrainSettings(batch_size=1), run=RunSettings(gradient_checkpointing=True))
    with pytest.raises(ConfigError, match="What helps: a smaller model"), enough_memory(small):
        torch.empty(2**58)


def test_any_other_error_stays_what_it_is() -> None:
    with pytest.raises(RuntimeError, match="must match"), enough_memory(SETTINGS):
        torch.ones(2) + torch.ones(3)
