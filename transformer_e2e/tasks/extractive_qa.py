"""Questions answered by a span of their context: the model scores every token as a start and as an end.

Source: Devlin et al. 2019 (BERT), section 4.2; EM and F1 as SQuAD defines them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
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
from transformer_e2e.tasks.padding import pad
from transformer_e2e.tasks.registry import Row, Say
from transformer_e2e.tasks.spans import Floats, Span, best_spans
from transformer_e2e.tasks.windows import Windows, make_windows, stride_problems

if TYPE_CHECKING:
    from transformers import EvalPrediction, PreTrainedModel, PreTrainedTokenizerBase

METRIC = "eval/f1"
GOAL = "maximize"
KIND = "question_answering"
PADDED = ("input_ids", "token_type_ids")


def open_task(arguments: Arguments, say: Say) -> Callable[[], Prepared]:
    """See registry.Task. Answers must stand in their contexts; a question without one teaches the model to
    say so.
    """
    data = arguments.data
    problems = model_problems(arguments, KIND) + stride_problems(data.max_seq_length, data.doc_stride)
    ConfigError.raise_if(problems)
    tables = load_tables(data, seed=arguments.seed, say=say)
    train = read_questions(tables.train, f"training examples of {tables.name}", answered=True, spans=True)
    held_out = read_questions(tables.validation, f"{tables.validation_split} of {tables.name}", answered=True)
    unanswerable = sum(not question.answers for question in train)
    if unanswerable:
        say(f"{unanswerable:,} training questions have no answer: the model may give none")
    schema = Schema(
        task="extractive_qa",
        data_name=tables.name,
        max_length=data.max_seq_length,
        text_fields=("question", "context"),
        extra={
            "doc_stride": data.doc_stride,
            "max_answer_length": data.max_answer_length,
            "may_have_no_answer": unanswerable > 0,
        },
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
    cut = partial(_windows, tokenizer=tokenizer, schema=schema)
    workers = arguments.data.preprocessing_num_workers
    windows, judged = cut(train, workers=workers), cut(held_out, workers=workers)
    say(
        f"{len(train):,} questions make {len(windows.owners):,} windows of <= {schema.max_length} tokens; "
        f"{len(held_out):,} of {split}: {len(judged.owners):,}"
    )
    return Prepared(
        model=build_model(arguments, KIND, tokenizer),
        tokenizer=tokenizer,
        train=windows.inputs,
        evaluation=judged.inputs,
        collate=_collate(tokenizer, schema.max_length if arguments.data.pad_to_max_length else None),
        schema=schema,
        metrics=partial(_metrics, judged, held_out, schema),
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
    """{"question", "answer", "score", "start", "end"} a row: `score` is the probability of the span among all
    spans and "no answer", [start, end) are characters of the context. An empty answer: the context has none.
    """
    questions = read_questions(rows, "the examples", answered=False)
    windows = _windows(questions, tokenizer=tokenizer, schema=schema)
    start, end, _ = _logits(model, tokenizer, windows, batch_size)
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


def score(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    schema: Schema,
    rows: Sequence[Row],
    *,
    batch_size: int,
    say: Say,
) -> dict[str, float]:
    """{"loss", "exact_match", "f1"}: the mean loss of the windows, and percent."""
    questions = read_questions(rows, "the examples", answered=True)
    windows = _windows(questions, tokenizer=tokenizer, schema=schema)
    start, end, loss = _logits(model, tokenizer, windows, batch_size)
    return {"loss": loss, **_judged(windows, questions, schema, start, end)}


def _texts(questions: Sequence[Question]) -> Iterator[str]:
    """What a tokenizer is trained on: each context once, and the questions."""
    yield from dict.fromkeys(question.context for question in questions)
    yield from (question.question for question in questions)


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


def _collate(
    tokenizer: PreTrainedTokenizerBase, length: int | None
) -> Callable[[Sequence[Mapping[str, Any]]], Mapping[str, Any]]:
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


def _logits(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, windows: Windows, batch_size: int
) -> tuple[Floats, Floats, float]:
    """(start scores, end scores, mean loss): scores are (windows, tokens of the longest one), 0 beyond."""
    collate = _collate(tokenizer, None)
    count, tokens = len(windows.owners), max(map(len, windows.offsets))
    start, end = np.zeros((count, tokens)), np.zeros((count, tokens))
    losses = 0.0
    model.eval()
    with torch.inference_mode():
        for first in range(0, count, batch_size):
            rows = range(first, min(first + batch_size, count))
            batch = collate([windows.inputs[row] for row in rows])
            output = model(**{name: values.to(model.device) for name, values in batch.items()})
            width = output.start_logits.shape[1]
            start[rows, :width] = output.start_logits.float().cpu().numpy()
            end[rows, :width] = output.end_logits.float().cpu().numpy()
            losses += float(output.loss) * len(rows)
    return start, end, losses / count
