"""Questions answered by a span of their context: the model scores every token as a start and as an end.

Source: Devlin et al. 2019 (BERT), section 4.2; EM and F1 as SQuAD defines them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from transformer_e2e.data.questions import Question
from transformer_e2e.data.schema import Schema
from transformer_e2e.hf.arguments import Arguments
from transformer_e2e.hf.labels import span_loss
from transformer_e2e.hf.models import build_model
from transformer_e2e.hf.pipeline import Pipeline
from transformer_e2e.hf.prepared import Collate, Prepared
from transformer_e2e.hf.tokenizers import build_tokenizer
from transformer_e2e.metrics import squad
from transformer_e2e.tasks.asked import Asked, open_questions, questions_of_rows, texts_of
from transformer_e2e.tasks.padding import inputs_of, pad
from transformer_e2e.tasks.passes import batches, evaluating
from transformer_e2e.tasks.registry import Row, Say
from transformer_e2e.tasks.spans import Floats, Span, best_spans
from transformer_e2e.tasks.windows import Windows, make_windows, stride_problems

if TYPE_CHECKING:
    from transformers import EvalPrediction, PreTrainedTokenizerBase

METRIC = "eval/f1"
GOAL = "maximize"
METRICS = ("loss", "exact_match", "f1")


def open_task(arguments: Arguments, say: Say) -> Callable[[], Prepared]:
    """See registry.Task. Answers must stand in their contexts; a question without one teaches the model to
    say so.
    """
    data = arguments.data
    problems = stride_problems(data.max_seq_length, data.doc_stride)
    asked = open_questions(arguments, problems, spans=True, say=say)
    unanswerable = sum(not question.answers for question in asked.train)
    if unanswerable:
        say(f"{unanswerable:,} training questions have no answer: the model may give none")
    schema = asked.schema(data, doc_stride=data.doc_stride, may_have_no_answer=unanswerable > 0)
    return lambda: _prepare(arguments, asked, schema, say)


def _prepare(arguments: Arguments, asked: Asked, schema: Schema, say: Say) -> Prepared:
    tokenizer = build_tokenizer(arguments, partial(texts_of, asked.train), say)
    cut = partial(_windows, tokenizer=tokenizer, schema=schema)
    workers = arguments.data.preprocessing_num_workers
    windows, judged = cut(asked.train, workers=workers), cut(asked.held_out, workers=workers)
    say(
        f"{len(asked.train):,} training questions make {len(windows.owners):,} windows, "
        f"{len(asked.held_out):,} held-out ones ({asked.split}) {len(judged.owners):,}"
    )
    return Prepared(
        model=build_model(arguments, tokenizer),
        tokenizer=tokenizer,
        train=windows.inputs,
        evaluation=judged.inputs,
        collate=_collate(tokenizer, schema.max_length if arguments.data.pad_to_max_length else None),
        schema=schema,
        metrics=partial(_metrics, judged, asked.held_out, schema),
        split=asked.split,
    )


def predict(pipeline: Pipeline, rows: Sequence[Row], *, batch_size: int) -> list[dict[str, Any]]:
    """{"question", "answer", "score", "start", "end"} a row: `score` is the probability of the span among all
    spans and "no answer", [start, end) are characters of the context. An empty answer: the context has none.
    """
    schema = pipeline.schema
    questions = questions_of_rows(schema, rows, answered=False)
    windows = _windows(questions, tokenizer=pipeline.tokenizer, schema=schema)
    start, end, _ = _logits(pipeline, windows, batch_size)
    found = []
    for question, span in zip(questions, _spans(windows, schema, start, end), strict=True):
        first, last = windows.characters(span, question.context)
        answer = question.context[first:last]
        found.append(
            {
                "question": question.question,
                "answer": answer,
                "score": round(span.score, 4),
                "start": first,
                "end": last,
            }
        )
    return found


def score(pipeline: Pipeline, rows: Sequence[Row], *, batch_size: int, say: Say) -> dict[str, float]:
    """{"loss", "exact_match", "f1"}: the mean loss of the windows, and percent."""
    questions = questions_of_rows(pipeline.schema, rows, answered=True)
    windows = _windows(questions, tokenizer=pipeline.tokenizer, schema=pipeline.schema)
    start, end, loss = _logits(pipeline, windows, batch_size)
    return {"loss": loss, **_judged(windows, questions, pipeline.schema, start, end)}


def _windows(
    questions: Sequence[Question], *, tokenizer: PreTrainedTokenizerBase, schema: Schema, workers: int = 1
) -> Windows:
    return make_windows(
        questions,
        tokenizer,
        max_length=schema.max_length,
        stride=schema.extra["doc_stride"],
        workers=workers,
    )


def _collate(tokenizer: PreTrainedTokenizerBase, length: int | None) -> Collate:
    fills = {"input_ids": tokenizer.pad_token_id, "token_type_ids": tokenizer.pad_token_type_id}
    return partial(pad, fills=fills, length=length)


def _metrics(
    windows: Windows, questions: Sequence[Question], schema: Schema, prediction: EvalPrediction
) -> dict[str, float]:
    start, end = (np.asarray(scores, dtype=np.float64) for scores in prediction.predictions[:2])
    return _judged(windows, questions, schema, start, end)


def _judged(
    windows: Windows, questions: Sequence[Question], schema: Schema, start: Floats, end: Floats
) -> dict[str, float]:
    answers = []
    for question, span in zip(questions, _spans(windows, schema, start, end), strict=True):
        first, last = windows.characters(span, question.context)
        answers.append(question.context[first:last])
    return squad.score(answers, [question.answers for question in questions])


def _spans(windows: Windows, schema: Schema, start: Floats, end: Floats) -> list[Span]:
    return best_spans(
        start,
        end,
        windows.allowed(start.shape[1]),
        windows.owners,
        longest=schema.extra["max_answer_length"],
        may_be_null=schema.extra["may_have_no_answer"],
    )


def _logits(pipeline: Pipeline, windows: Windows, batch_size: int) -> tuple[Floats, Floats, float]:
    """(start scores, end scores, mean loss): scores are (windows, tokens of the longest one), 0 beyond."""
    model, collate = pipeline.model, _collate(pipeline.tokenizer, None)
    count, tokens = len(windows.owners), max(map(len, windows.offsets))
    start, end = np.zeros((count, tokens)), np.zeros((count, tokens))
    losses = 0.0
    with evaluating(model):
        for rows in batches(count, batch_size):
            batch = collate([windows.inputs[row] for row in rows])
            inputs = inputs_of(batch, model.device)
            output = model(**inputs)
            width = output.start_logits.shape[1]
            start[rows, :width] = output.start_logits.float().cpu().numpy()
            end[rows, :width] = output.end_logits.float().cpu().numpy()
            losses += float(span_loss(output, inputs)) * len(rows)
    return start, end, losses / count
