"""Which settings of a trial are said to be changed."""

from __future__ import annotations

from dataclasses import asdict

from transformer_e2e.config.hf_settings import DataArguments, ModelArguments
from transformer_e2e.runs.overview import _changed


def test_settings_of_hugging_face_trials_are_compared_with_their_own_defaults() -> None:
    data = DataArguments(task="generative_qa", max_answer_length=5)
    settings = {
        "program": "train_hf",
        **asdict(ModelArguments(model_type="gpt2")),
        **asdict(data),
        "seed": 42,
    }
    assert set(_changed(settings)) == {"program", "task", "model_type", "max_answer_length", "seed"}
