"""Causal language modelling: predict each token from those before it, and texts continued."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from transformer_e2e.data.schema import Schema
from transformer_e2e.hf.arguments import Arguments
from transformer_e2e.hf.models import build_model
from transformer_e2e.hf.prepared import Prepared
from transformer_e2e.tasks.continuation import continue_prompts
from transformer_e2e.tasks.language import (
    Prose,
    Texts,
    blocks_of_rows,
    open_texts,
    schema_of,
    text_of,
    with_perplexity,
)
from transformer_e2e.tasks.mean_loss import mean_loss
from transformer_e2e.tasks.registry import Row, Say

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

METRIC = "eval/loss"
GOAL = "minimize"
KIND = "causal"
NEW_TOKENS = 64  # of a continuation, at most


def collate(examples: Sequence[Mapping[str, np.ndarray]]) -> dict[str, torch.Tensor]:
    """int64 tensors of shape (batch, block); the model itself shifts the labels."""
    ids = torch.from_numpy(np.stack([example["input_ids"] for example in examples]))
    return {"input_ids": ids, "labels": ids.clone(), "attention_mask": torch.ones_like(ids)}


def open_task(arguments: Arguments, say: Say) -> Callable[[], Prepared]:
    """See registry.Task."""
    texts, prose = open_texts(arguments, say)
    return lambda: _prepare(arguments, texts, prose())


def _prepare(arguments: Arguments, texts: Texts, prose: Prose) -> Prepared:
    return Prepared(
        model=build_model(arguments, KIND, prose.tokenizer),
        tokenizer=prose.tokenizer,
        train=prose.train,
        evaluation=prose.validation,
        collate=collate,
        schema=schema_of(arguments, texts),
        more_metrics=with_perplexity,
        split=texts.split,
    )


def predict(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    schema: Schema,
    rows: Sequence[Row],
    *,
    batch_size: int,
    say: Say,
) -> list[dict[str, Any]]:
    """{"text", "continuation"} a row: up to NEW_TOKENS tokens, each the likeliest; half a block at most.

    Of a long text the model sees the end.
    """
    texts = [text_of(row, schema, number) for number, row in enumerate(rows, 1)]
    longest = min(NEW_TOKENS, schema.max_length // 2)
    prompts = [_prompt(text, tokenizer, schema.max_length - longest) for text in texts]
    written = continue_prompts(model, tokenizer, prompts, longest=longest, batch_size=batch_size)
    return [
        {"text": text, "continuation": continuation}
        for text, (continuation, _) in zip(texts, written, strict=True)
    ]


def score(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    schema: Schema,
    rows: Sequence[Row],
    *,
    batch_size: int,
    say: Say,
) -> dict[str, float]:
    """{"loss", "perplexity"} of the rows' text, in blocks as in training."""
    loss = mean_loss(model, blocks_of_rows(tokenizer, schema, rows, wrapped=False), collate, batch_size)
    return {"loss": loss, **with_perplexity(model, loss)}


def _prompt(text: str, tokenizer: PreTrainedTokenizerBase, room: int) -> list[int]:
    """The last `room` tokens of the text; of an empty one, an end of text: the model begins a new one."""
    ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"]
    return list(ids[-room:]) or [tokenizer.eos_token_id]
