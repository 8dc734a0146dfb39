"""Questions answered by a causal model that goes on after `Question: ... Context: ... Answer:`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from transformer_e2e.data.questions import Question
from transformer_e2e.data.schema import Schema
from transformer_e2e.hf.arguments import Arguments
from transformer_e2e.hf.models import build_model
from transformer_e2e.hf.pipeline import Pipeline
from transformer_e2e.hf.prepared import Collate, Prepared
from transformer_e2e.hf.tokenizers import build_tokenizer
from transformer_e2e.metrics import squad
from transformer_e2e.tasks.asked import Asked, open_questions, questions_of_rows, texts_of
from transformer_e2e.tasks.continuation import continue_prompts
from transformer_e2e.tasks.padding import pad
from transformer_e2e.tasks.passes import mean_loss
from transformer_e2e.tasks.prompts import (
    IGNORED,
    Prompt,
    PromptShape,
    end_of_text,
    make_prompts,
    write_prompt,
)
from transformer_e2e.tasks.registry import Row, Say
from transformer_e2e.tasks.truncation import TRUNCATED, models_limit, with_truncated_told

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

METRIC = "eval/loss"
GOAL = "minimize"
METRICS = ("loss", "exact_match", "f1")


def open_task(arguments: Arguments, say: Say) -> Callable[[], Prepared]:
    """See registry.Task. An answer need not stand in its context; the model learns the first of several."""
    data = arguments.data
    problems = PromptShape(data.max_seq_length, data.max_answer_length).problems()
    asked = open_questions(arguments, problems, spans=False, say=say)
    return lambda: _prepare(arguments, asked, asked.schema(data), say)


def _prepare(arguments: Arguments, asked: Asked, schema: Schema, say: Say) -> Prepared:
    tokenizer = build_tokenizer(arguments, partial(texts_of, asked.train), say)
    end_of_text(tokenizer)
    workers = arguments.data.preprocessing_num_workers
    encode = partial(make_prompts, tokenizer=tokenizer, shape=_shape(schema), workers=workers)
    batch_size = int(arguments.training.per_device_eval_batch_size)
    limit = f"--max_seq_length={schema.max_length}"
    return Prepared(
        model=build_model(arguments, tokenizer),
        tokenizer=tokenizer,
        train=with_truncated_told(encode(asked.train), "training contexts", limit, say),
        evaluation=with_truncated_told(encode(asked.held_out), "held-out contexts", limit, say),
        collate=_collate(tokenizer, schema.max_length if arguments.data.pad_to_max_length else None),
        schema=schema,
        more_metrics=lambda pipeline, _: _judged(pipeline, asked.held_out, batch_size),
        split=asked.split,
    )


def predict(pipeline: Pipeline, rows: Sequence[Row], *, batch_size: int) -> list[dict[str, Any]]:
    """{"question", "answer", "score"} a row; `score` is the probability of the answer and its end.

    A row whose context lost its end has "truncated": true, too.
    """
    questions = questions_of_rows(pipeline.schema, rows, answered=False)
    prompts = _prompts(pipeline, questions)
    answers = _answers(pipeline, prompts, batch_size)
    return [
        {
            "question": question.question,
            "answer": text,
            "score": round(chance, 4),
            **({TRUNCATED: True} if prompt.truncated else {}),
        }
        for question, prompt, (text, chance) in zip(questions, prompts, answers, strict=True)
    ]


def score(pipeline: Pipeline, rows: Sequence[Row], *, batch_size: int, say: Say) -> dict[str, float]:
    """{"loss", "exact_match", "f1"}: the mean loss of the answers' tokens, and percent."""
    questions = questions_of_rows(pipeline.schema, rows, answered=True)
    examples = with_truncated_told(
        make_prompts(questions, pipeline.tokenizer, _shape(pipeline.schema)),
        "contexts",
        models_limit(pipeline.schema),
        say,
    )
    loss = mean_loss(pipeline.model, examples, _collate(pipeline.tokenizer, None), batch_size, shifted=True)
    return {"loss": loss, **_judged(pipeline, questions, batch_size)}


def _collate(tokenizer: PreTrainedTokenizerBase, length: int | None) -> Collate:
    return partial(pad, fills={"input_ids": tokenizer.pad_token_id, "labels": IGNORED}, length=length)


def _shape(schema: Schema) -> PromptShape:
    return PromptShape(schema.max_length, schema.extra["max_answer_length"])


def _judged(pipeline: Pipeline, questions: Sequence[Question], batch_size: int) -> dict[str, float]:
    """{"exact_match", "f1"} of what the model writes."""
    answers = _answers(pipeline, _prompts(pipeline, questions), batch_size)
    return squad.score([text for text, _ in answers], [question.answers for question in questions])


def _prompts(pipeline: Pipeline, questions: Sequence[Question]) -> list[Prompt]:
    return [write_prompt(question, pipeline.tokenizer, _shape(pipeline.schema)) for question in questions]


def _answers(pipeline: Pipeline, prompts: Sequence[Prompt], batch_size: int) -> list[tuple[str, float]]:
    """(answer, probability) of each."""
    longest = _shape(pipeline.schema).max_answer + 1
    ids = [prompt.ids for prompt in prompts]
    return continue_prompts(pipeline, ids, longest=longest, batch_size=batch_size)
