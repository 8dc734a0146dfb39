"""Masked language modelling: BERT's pretraining on running text, and masks filled in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from transformer_e2e.data.masking import Masking
from transformer_e2e.data.permutation import mixed
from transformer_e2e.data.running_text import Blocks
from transformer_e2e.data.schema import Schema
from transformer_e2e.hf.arguments import Arguments
from transformer_e2e.hf.models import build_model
from transformer_e2e.hf.prepared import Prepared
from transformer_e2e.tasks.filling import fill_masks
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
KIND = "masked"
TRAINING, EVALUATION = 1, 2  # keep the masks of the two apart


class MaskedBlocks:
    """Blocks with masks that are a function of (seed, epoch, index) alone, whoever asks when.

    So a batch that is fetched early, in another process, or again after a kill is the same one, and each
    epoch masks other tokens. Of an evaluation (`seed` None) the masks are the same in every epoch and trial.
    """

    def __init__(self, blocks: Blocks, masking: Masking, seed: int | None) -> None:
        self._blocks, self._masking, self._seed = blocks, masking, seed
        # In shared memory: workers of a loader that outlive an epoch must see the next one.
        self._epoch = torch.zeros((), dtype=torch.long).share_memory_()

    def begin_epoch(self, epoch: int) -> None:
        """The bridge calls it before it fetches an epoch's first batch, also when it resumes an epoch."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self._blocks)

    def __getitem__(self, index: int) -> Mapping[str, np.ndarray]:
        seed = self._seed
        key = mixed(EVALUATION, index) if seed is None else mixed(TRAINING, seed, int(self._epoch), index)
        inputs, labels = self._masking(self._blocks[index]["input_ids"], key)
        return {"input_ids": inputs, "labels": labels}


def collate(examples: Sequence[Mapping[str, np.ndarray]]) -> dict[str, torch.Tensor]:
    """int64 tensors of shape (batch, block); all tokens are attended to."""
    batch = {
        name: torch.from_numpy(np.stack([example[name] for example in examples])) for name in examples[0]
    }
    return {**batch, "attention_mask": torch.ones_like(batch["input_ids"])}


def open_task(arguments: Arguments, say: Say) -> Callable[[], Prepared]:
    """See registry.Task."""
    texts, prose = open_texts(arguments, say)
    return lambda: _prepare(arguments, texts, prose())


def _prepare(arguments: Arguments, texts: Texts, prose: Prose) -> Prepared:
    probability = arguments.data.mlm_probability
    masked = partial(MaskedBlocks, masking=_masking(prose.tokenizer, probability))
    return Prepared(
        model=build_model(arguments, KIND, prose.tokenizer),
        tokenizer=prose.tokenizer,
        train=masked(prose.train, seed=arguments.seed),
        evaluation=masked(prose.validation, seed=None),
        collate=collate,
        schema=schema_of(arguments, texts, mlm_probability=probability),
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
    """{"text", "filled", "masks"} a row: the text, its masks filled with the likeliest tokens, and for each
    mask the five likeliest ones as {"token", "score"}; a score is a probability. Raises DataError for a text
    without a mask.
    """
    texts = [text_of(row, schema, number) for number, row in enumerate(rows, 1)]
    return fill_masks(model, tokenizer, texts, max_length=schema.max_length, batch_size=batch_size)


def score(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    schema: Schema,
    rows: Sequence[Row],
    *,
    batch_size: int,
    say: Say,
) -> dict[str, float]:
    """{"loss", "perplexity"} of the masked tokens of the rows' text, in blocks as in training."""
    blocks = blocks_of_rows(tokenizer, schema, rows, wrapped=True)
    masking = _masking(tokenizer, schema.extra["mlm_probability"])
    loss = mean_loss(model, MaskedBlocks(blocks, masking, None), collate, batch_size)
    return {"loss": loss, **with_perplexity(model, loss)}


def _masking(tokenizer: PreTrainedTokenizerBase, probability: float) -> Masking:
    return Masking(
        probability=probability,
        mask_id=tokenizer.mask_token_id,
        vocab_size=len(tokenizer),
        special_ids=tuple(tokenizer.all_special_ids),
    )
