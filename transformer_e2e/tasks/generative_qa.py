"""Questions answered by a causal model that goes on after `Question: ... Context: ... Answer:`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from transformer_e2e.data.questions import Question
from transformer_e2e.data.schema import Schema
from transformer_e2e.hf.arguments import Arguments
from transformer_e2e.hf.models import build_model
from transformer_e2e.hf.prepared import Prepared
from transformer_e2e.hf.tokenizers import build_tokenizer
from transformer_e2e.metrics import squad
from transformer_e2e.tasks.asked import Asked, open_questions, rows_of, texts_of
from transformer_e2e.tasks.continuation import continue_prompts
from transformer_e2e.tasks.mean_loss import mean_loss
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
    problems = PromptShape(data.max_seq_length, data.max_answer_length).problems()
    asked = open_questions(arguments, KIND, problems, spans=False, say=say)
    return lambda: _prepare(arguments, asked, asked.schema(data), say)


def _prepare(arguments: Arguments, asked: Asked, schema: Schema, say: Say) -> Prepared:
    tokenizer = build_tokenizer(arguments, partial(texts_of, asked.train), say)
    end_of_text(tokenizer)
    workers = arguments.data.preprocessing_num_workers
    encode = partial(make_prompts, tokenizer=tokenizer, shape=_shape(schema), workers=workers)
    fills = {"input_ids": tokenizer.pad_token_id, "labels": IGNORED}
    batch_size = int(arguments.training.per_device_eval_batch_size)

    def by_generation(model: PreTrainedModel, loss: float) -> dict[str, float]:
        answers = _answers(model, tokenizer, schema, asked.held_out, batch_size)
        return squad.score([text for text, _ in answers], [question.answers for question in asked.held_out])

    return Prepared(
        model=build_model(arguments, KIND, tokenizer),
        tokenizer=tokenizer,
        train=encode(asked.train),
        evaluation=encode(asked.held_out),
        collate=partial(
            pad, fills=fills, length=schema.max_length if arguments.data.pad_to_max_length else None
        ),
        schema=schema,
        more_metrics=by_generation,
        split=asked.split,
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
    questions = rows_of(schema, rows, answered=False)
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
    questions = rows_of(schema, rows, answered=True)
    examples = make_prompts(questions, tokenizer, _shape(schema))
    fills = {"input_ids": tokenizer.pad_token_id, "labels": IGNORED}
    loss = mean_loss(model, examples, partial(pad, fills=fills), batch_size)
    answers = _answers(model, tokenizer, schema, questions, batch_size)
    golds = [question.answers for question in questions]
    return {"loss": loss, **squad.score([text for text, _ in answers], golds)}


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
