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
from transformer_e2e.hf.arguments import Arguments
from transformer_e2e.hf.pipeline import Pipeline
from transformer_e2e.hf.prepared import Prepared
from transformer_e2e.tasks.filling import fill_masks
from transformer_e2e.tasks.language import (
    Prose,
    Sides,
    blocks_of_rows,
    open_language,
    score_blocks,
    texts_of_rows,
)
from transformer_e2e.tasks.registry import Row, Say

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

METRIC = "eval/loss"
GOAL = "minimize"
METRICS = ("loss", "perplexity")
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
    probability = arguments.data.mlm_probability

    def sides(prose: Prose) -> Sides:
        masked = partial(MaskedBlocks, masking=_masking(prose.tokenizer, probability))
        return masked(prose.train, seed=arguments.seed), masked(prose.validation, seed=None)

    return open_language(arguments, collate, sides, say, mlm_probability=probability)


def predict(pipeline: Pipeline, rows: Sequence[Row], *, batch_size: int) -> list[dict[str, Any]]:
    """{"text", "filled", "masks"} a row: the text, its masks filled with the likeliest tokens, and for each
    mask the five likeliest ones as {"token", "score"}; a score is a probability. Raises DataError for a text
    without a mask.
    """
    return fill_masks(pipeline, texts_of_rows(pipeline.schema, rows), batch_size=batch_size)


def score(pipeline: Pipeline, rows: Sequence[Row], *, batch_size: int, say: Say) -> dict[str, float]:
    """{"loss", "perplexity"} of the masked tokens of the rows' text, in blocks as in training."""
    masking = _masking(pipeline.tokenizer, pipeline.schema.extra["mlm_probability"])
    blocks = MaskedBlocks(blocks_of_rows(pipeline, rows), masking, None)
    return score_blocks(pipeline, blocks, collate, batch_size)


def _masking(tokenizer: PreTrainedTokenizerBase, probability: float) -> Masking:
    return Masking(
        probability=probability,
        mask_id=tokenizer.mask_token_id,
        vocab_size=len(tokenizer),
        special_ids=tuple(tokenizer.all_special_ids),
    )
