"""A trial with a small random Hugging Face model and a real life: for tests of what uses models.

python -m tests.hf_trial '{"root": "...", "task": "classification"}'
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from transformer_e2e.data.schema import Schema
from transformer_e2e.runs.identity import run_id
from transformer_e2e.runs.life import Result, TrialSpec, run_trial
from transformer_e2e.runs.outcome import Outcome
from transformer_e2e.runs.trial import Trial

TEXT = "the cat sat on a red mat while two small dogs ran over green hills and far away"
SCHEMAS: dict[str, dict[str, Any]] = {
    "classification": {
        "text_fields": ("text",),
        "label_field": "label",
        "labels": ("bad", "fair", "good"),
        "problem": "classification",
    },
    "pair": {
        "text_fields": ("premise", "hypothesis"),
        "label_field": "label",
        "labels": ("no", "yes"),
        "problem": "classification",
    },
    "regression": {"text_fields": ("text",), "label_field": "stars", "problem": "regression"},
    "mlm": {"text_fields": ("text",), "extra": {"mlm_probability": 0.15}},
    "clm": {"text_fields": ("text",)},
    "extractive_qa": {
        "text_fields": ("question", "context"),
        "label_field": "answers",
        "extra": {"doc_stride": 8, "max_answer_length": 5, "may_have_no_answer": False},
    },
    "generative_qa": {
        "text_fields": ("question", "context"),
        "label_field": "answers",
        "extra": {"max_answer_length": 5},
    },
}


def schema_of(case: str) -> Schema:
    """Of one of SCHEMAS; "pair" and "regression" are of task classification."""
    task = "classification" if case in ("pair", "regression") else case
    return Schema(task=task, data_name="words.csv", max_length=48, **SCHEMAS[case])


def save_model(directory: Path, case: str, *, seed: int = 0) -> None:
    """What an artifact holds: a tiny model with random weights, its tokenizer, schema.json."""
    import torch

    from tests.hf_arguments import arguments
    from transformer_e2e.hf.models import build_model
    from transformer_e2e.hf.tokenizers import build_tokenizer

    schema = schema_of(case)
    given = arguments(
        task=schema.task,
        vocab_size=300,
        cache_dir=os.environ.get("HF_TRIAL_CACHE", str(directory / "cache")),
        block_size=48,
        max_seq_length=48,
        config_overrides="hidden_size=32,num_hidden_layers=1,num_attention_heads=2",
    )
    tokenizer = build_tokenizer(given, lambda: iter([TEXT] * 20), lambda text: None)
    changes: dict[str, Any] = {}
    if schema.task == "classification":
        names = schema.labels or ("value",)
        changes = {
            "num_labels": len(names),
            "id2label": dict(enumerate(names)),
            "problem_type": "single_label_classification" if schema.labels else "regression",
        }
    torch.manual_seed(seed)
    model = build_model(given, tokenizer, **changes)
    with torch.no_grad():
        for name, parameter in model.named_parameters():  # fresh ones are so small that all answers are one
            if parameter.ndim > 1:
                words = "attention" in name or "word_embeddings" in name or "wte" in name
                parameter.normal_(0.0, 1.0 if words else 0.1)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    schema.save(directory)


def work(case: str, seed: int, trial: Trial) -> Result:
    def fill(place: Path) -> None:
        save_model(place, case, seed=seed)
        (place / "optimizer.safetensors").write_bytes(b"moments")

    trial.log({"eval/loss": 1.0}, step=3)
    trial.save(fill, step=3, best=True, metric=1.0)
    return Result(Outcome.FINISHED, {"eval/loss": 1.0}, steps=3, schema=schema_of(case).as_json())


def main() -> int:
    given = json.loads(sys.argv[1])
    root, case, seed = Path(given.pop("root")), given.pop("task"), given.pop("seed", 0)
    counted = {"task": case, "seed": seed, **given.pop("counted", {})}
    spec = TrialSpec(
        run_id=run_id(counted, readable=f"hf_{case}"),
        counted=counted,
        settings=counted,
        root=root,
        project="use",
        artifact_files=("*config.json", "model*", "tokenizer*", "schema.json"),
        **given,
    )
    return run_trial(spec, lambda trial: work(case, seed, trial))


if __name__ == "__main__":
    sys.exit(main())
