"""What a model writes after prompts: greedy, in batches padded on the left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from transformer_e2e.tasks.padding import inputs_of, pad
from transformer_e2e.tasks.passes import batches, evaluating

if TYPE_CHECKING:
    from transformer_e2e.hf.pipeline import Pipeline


class _Certainty(LogitsProcessor):
    """Remembers the log-probability of the token that greedy search takes, of each text at each step.

    Keeping all scores would take 500 MB for 16 texts of 30 tokens over BLOOM's 250,880 ids.
    """

    def __init__(self) -> None:
        self.steps: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        self.steps.append(scores.float().log_softmax(dim=-1).amax(dim=-1))
        return scores


def continue_prompts(
    pipeline: Pipeline, prompts: Sequence[Sequence[int]], *, longest: int, batch_size: int
) -> list[tuple[str, float]]:
    """(text, probability of all its tokens and its end) of each prompt, in their order.

    `longest`: most new tokens. Texts are without special tokens and without white space around them. Draws
    from no generator; the model is left in the mode in which it was.
    """
    order = sorted(range(len(prompts)), key=lambda number: len(prompts[number]))  # the least padding
    found: dict[int, tuple[str, float]] = {}
    with evaluating(pipeline.model):
        for places in batches(len(order), batch_size):
            chosen = [order[place] for place in places]
            texts = _batch(pipeline, [prompts[number] for number in chosen], longest)
            found.update(zip(chosen, texts, strict=True))
    return [found[number] for number in range(len(prompts))]


def _batch(pipeline: Pipeline, prompts: Sequence[Sequence[int]], longest: int) -> list[tuple[str, float]]:
    model, tokenizer = pipeline.model, pipeline.tokenizer
    batch = pad([{"input_ids": ids} for ids in prompts], {"input_ids": tokenizer.pad_token_id}, left=True)
    certainty = _Certainty()
    generate: Any = model.generate  # PreTrainedModel does not say that it generates
    written = generate(
        **inputs_of(batch, model.device),
        generation_config=GenerationConfig(
            max_new_tokens=longest,
            do_sample=False,
            num_beams=1,
            use_cache=True,  # training with gradient checkpointing turns it off in the model's configuration
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        ),
        logits_processor=LogitsProcessorList([certainty]),
    )[:, batch["input_ids"].shape[1] :]
    logs = torch.stack(certainty.steps, dim=1)
    # Up to and with the first end of text; what follows it is padding.
    ended = (written == tokenizer.eos_token_id).int().cumsum(dim=1)
    counted = (ended - (written == tokenizer.eos_token_id).int()) == 0
    chances = (logs * counted).sum(dim=1).exp().tolist()
    texts = tokenizer.batch_decode(written, skip_special_tokens=True)
    return [(text.strip(), chance) for text, chance in zip(texts, chances, strict=True)]
