"""Questions answered by a causal model that goes on after `Question: ... Context: ... Answer:`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from transformer_e2e.data.questions import Question, read_questions
from transformer_e2e.data.schema import Schema
from transformer_e2e.data.tables import load_tables
from transformer_e2e.errors import ConfigError
from transformer_e2e.hf.arguments import Arguments
from transformer_e2e.hf.models import build_model, model_problems
from transformer_e2e.hf.prepared import Prepared
from transformer_e2e.hf.tokenizers import build_tokenizer
from transformer_e2e.metrics import squad
from transformer_e2e.tasks.continuation import continue_prompts
from transformer_e2e.tasks.padding import pad
from transformer_e2e.tasks.prompts import IGNORED, PromptShape, end_of_text, make_prompts, prompt_ids
from transformer_e2e.tasks.registry import Row, Say

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

METRIC = "eval/loss"
GOAL = "minimize"
KIND = "causal"


def open_task(arguments: Arguments, say: Say) -> Callable[[], Prepared]:
    """See registry.Task. An answer need not stand in its context; the model learns the first of several."""
    data = arguments.data
    shape = PromptShape(data.max_seq_length, data.max_answer_length)
    ConfigError.raise_if(model_problems(arguments, KIND) + shape.problems())
    tables = load_tables(data, seed=arguments.seed, say=say)
    train = read_questions(tables.train, f"training examples of {tables.name}", answered=True)
    held_out = read_questions(tables.validation, f"{tables.validation_split} of {tables.name}", answered=True)
    schema = Schema(
        task="generative_qa",
        data_name=tables.name,
        max_length=data.max_seq_length,
        text_fields=("question", "context"),
        extra={"max_answer_length": data.max_answer_length},
    )
    return lambda: _prepare(arguments, schema, train, held_out, tables.validation_split, say)


def _prepare(
    arguments: Arguments,
    schema: Schema,
    train: Sequence[Question],
    held_out: Sequence[Question],
    split: str,
    say: Say,
) -> Prepared:
    tokenizer = build_tokenizer(arguments, partial(_texts, train), say)
    end_of_text(tokenizer)
    workers = arguments.data.preprocessing_num_workers
    encode = partial(make_prompts, tokenizer=tokenizer, shape=_shape(schema), workers=workers)
    fills = {"input_ids": tokenizer.pad_token_id, "labels": IGNORED}
    batch_size = int(arguments.training.per_device_eval_batch_size)

    def by_generation(model: PreTrainedModel, loss: float) -> dict[str, float]:
        answers = _answers(model, tokenizer, schema, held_out, batch_size)
        return squad.score([text for text, _ in answers], [question.answers for question in held_out])

    return Prepared(
        model=build_model(arguments, KIND, tokenizer),
        tokenizer=tokenizer,
        train=encode(train),
        evaluation=encode(held_out),
        collate=partial(
            pad, fills=fills, length=schema.max_length if arguments.data.pad_to_max_length else None
        ),
        schema=schema,
        more_metrics=by_generation,
        split=split,
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
    """{"question", "answer", "score"} a row; `score` is the probability of the answer and its end."""
    questions = read_questions(rows, "the examples", answered=False)
    answers = _answers(model, tokenizer, schema, questions, batch_size)
    return [
        {"question": question.question, "answer": text, "score": round(chance, 4)}
        for question, (text, chance) in zip(questions, answers, strict=True)
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
    """{"loss", "exact_match", "f1"}: the loss as evaluations of training take it - of the answers' tokens of
    a batch, then of the examples - and percent.
    """
    questions = read_questions(rows, "the examples", answered=True)
    examples = make_prompts(questions, tokenizer, _shape(schema))
    fills = {"input_ids": tokenizer.pad_token_id, "labels": IGNORED}
    losses = 0.0
    model.eval()
    with torch.inference_mode():
        for first in range(0, len(examples), batch_size):
            chosen = range(first, min(first + batch_size, len(examples)))
            batch = pad([examples[number] for number in chosen], fills)
            output = model(**{name: values.to(model.device) for name, values in batch.items()})
            losses += float(output.loss) * len(chosen)
    answers = _answers(model, tokenizer, schema, questions, batch_size)
    golds = [question.answers for question in questions]
    return {"loss": losses / len(examples), **squad.score([text for text, _ in answers], golds)}


def _shape(schema: Schema) -> PromptShape:
    return PromptShape(schema.max_length, schema.extra["max_answer_length"])


def _answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    schema: Schema,
    questions: Sequence[Question],
    batch_size: int,
) -> list[tuple[str, float]]:
    """(answer, probability) of each question."""
    shape = _shape(schema)
    prompts = [prompt_ids(question, tokenizer, shape) for question in questions]
    return continue_prompts(model, tokenizer, prompts, longest=shape.max_answer + 1, batch_size=batch_size)


def _texts(questions: Sequence[Question]) -> Iterator[str]:
    """What a tokenizer is trained on: each context once, questions and answers."""
    yield from dict.fromkeys(question.context for question in questions)
    for question in questions:
        yield question.question
        yield from question.answers
