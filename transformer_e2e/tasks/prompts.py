"""Questions as text that a model goes on with: `Question: ... Context: ... Answer: ...`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from transformer_e2e.data.questions import Question
from transformer_e2e.errors import ConfigError
from transformer_e2e.tasks.mapping import map_questions
from transformer_e2e.tasks.truncation import TRUNCATED

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

IGNORED = -100  # a label that the loss leaves out
ASK = " Answer:"
SHORTEST_TEXT = 16  # tokens that a question and its context have at least


@dataclass(frozen=True)
class PromptShape:
    """`max_length` counts prompt, answer and end of text; `max_answer` the answer's tokens alone."""

    max_length: int
    max_answer: int

    def problems(self, asking: int = 4) -> list[str]:
        """`asking`: tokens of ASK."""
        least = self.max_answer + 1 + asking + SHORTEST_TEXT
        if self.max_length >= least:
            return []
        return [
            f"--max_seq_length={self.max_length} must be at least {least}: it holds question, context "
            f"and --max_answer_length={self.max_answer} tokens of the answer"
        ]


class Prompt(NamedTuple):
    """What the model goes on with, up to and with `Answer:`; whether the context lost its end."""

    ids: list[int]
    truncated: bool


def write_prompt(question: Question, tokenizer: PreTrainedTokenizerBase, shape: PromptShape) -> Prompt:
    """A long context loses its end, so that an answer fits behind."""
    asking = _ids(tokenizer, ASK)
    room = shape.max_length - len(asking) - shape.max_answer - 1
    text = _ids(tokenizer, f"Question: {question.question} Context: {question.context}")
    return Prompt([*text[:room], *asking], truncated=len(text) > room)


def make_prompts(
    questions: Sequence[Question],
    tokenizer: PreTrainedTokenizerBase,
    shape: PromptShape,
    *,
    workers: int = 1,
) -> Dataset:
    """input_ids and labels: the prompt, the first answer and an end of text; the prompt has no labels. And
    `truncated`: whether the context lost its end.

    An answer of more than `max_answer` tokens is cut there, and then has no end.
    """
    write = partial(_example, tokenizer=tokenizer, shape=shape)
    return map_questions(questions, write, desc="writing prompts", workers=workers)


def end_of_text(tokenizer: PreTrainedTokenizerBase) -> int:
    """Raises ConfigError for a tokenizer without one: an answer could not end."""
    end = tokenizer.eos_token_id
    if not isinstance(end, int):
        raise ConfigError(
            f"generative_qa needs a tokenizer with an end of text, and {tokenizer.name_or_path} has none; "
            "one of a causal model, such as GPT-2's or BLOOM's, has it"
        )
    return end


def _example(row: dict[str, Any], tokenizer: PreTrainedTokenizerBase, shape: PromptShape) -> dict[str, Any]:
    question = Question(row["question"], row["context"])
    prompt, truncated = write_prompt(question, tokenizer, shape)
    answer = _ids(tokenizer, f" {row['answers'][0].strip()}") if row["answers"] else []
    fits = len(answer) <= shape.max_answer
    answer = [*answer, end_of_text(tokenizer)] if fits else answer[: shape.max_answer]
    return {"input_ids": [*prompt, *answer], "labels": [IGNORED] * len(prompt) + answer, TRUNCATED: truncated}


def _ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """No special tokens, neither around the text nor for their names in it; no warning that it is long."""
    encoded = tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False)
    return list(encoded["input_ids"])
