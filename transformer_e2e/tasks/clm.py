"""Causal language modelling: predict each token from those before it, and texts continued."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from transformer_e2e.hf.arguments import Arguments
from transformer_e2e.hf.pipeline import Pipeline
from transformer_e2e.hf.prepared import Prepared
from transformer_e2e.tasks.continuation import continue_prompts
from transformer_e2e.tasks.language import blocks_of_rows, open_language, score_blocks, texts_of_rows
from transformer_e2e.tasks.registry import Row, Say

METRIC = "eval/loss"
GOAL = "minimize"
METRICS = ("loss", "perplexity")
NEW_TOKENS = 64  # of a continuation, at most


def collate(examples: Sequence[Mapping[str, np.ndarray]]) -> dict[str, torch.Tensor]:
    """int64 tensors of shape (batch, block); the model itself shifts the labels."""
    ids = torch.from_numpy(np.stack([example["input_ids"] for example in examples]))
    return {"input_ids": ids, "labels": ids.clone(), "attention_mask": torch.ones_like(ids)}


def open_task(arguments: Arguments, say: Say) -> Callable[[], Prepared]:
    """See registry.Task."""
    return open_language(arguments, collate, lambda prose: (prose.train, prose.validation), say)


def predict(pipeline: Pipeline, rows: Sequence[Row], *, batch_size: int) -> list[dict[str, Any]]:
    """{"text", "continuation"} a row: up to NEW_TOKENS tokens, each the likeliest; half a block at most.

    Of a long text the model sees the end.
    """
    texts, most = texts_of_rows(pipeline.schema, rows), pipeline.schema.max_length
    longest = min(NEW_TOKENS, most // 2)
    prompts = [_prompt(pipeline, text, most - longest) for text in texts]
    written = continue_prompts(pipeline, prompts, longest=longest, batch_size=batch_size)
    return [
        {"text": text, "continuation": continuation}
        for text, (continuation, _) in zip(texts, written, strict=True)
    ]


def score(pipeline: Pipeline, rows: Sequence[Row], *, batch_size: int, say: Say) -> dict[str, float]:
    """{"loss", "perplexity"} of the rows' text, in blocks as in training."""
    return score_blocks(pipeline, blocks_of_rows(pipeline, rows), collate, batch_size)


def _prompt(pipeline: Pipeline, text: str, room: int) -> list[int]:
    """The last `room` tokens of the text; of an empty one, an end of text: the model begins a new one."""
    tokenizer = pipeline.tokenizer
    ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"]
    return list(ids[-room:]) or [tokenizer.eos_token_id]
