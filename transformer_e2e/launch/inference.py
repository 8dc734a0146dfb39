"""Inputs and a model -> predictions on a stream, batch by batch."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TextIO

from transformer_e2e.config.use import InferenceSettings
from transformer_e2e.errors import DataError, UserError
from transformer_e2e.launch.hf_model import HfModel
from transformer_e2e.tasks.registry import task
from transformer_e2e.tasks.truncation import TRUNCATED, models_limit, tell_truncated

_WIDTH = 60  # characters of an input that are shown beside what was predicted for it


def write_predictions(
    inputs: Iterator[list[Mapping[str, Any]]],
    opened: HfModel,
    settings: InferenceSettings,
    out: TextIO,
    say: Callable[[str], None],
) -> None:
    """One line or, with `settings.json`, one JSON object an input, in their order, each batch when done.

    An object holds the input's texts, its `id` if it has one, and what the task predicts. What `inputs` or
    the task raises comes after the batches before it.
    """
    pipeline = opened.pipeline
    predict = task(pipeline.schema.task).predict
    made, truncated, began = 0, 0, time.perf_counter()
    for rows in inputs:
        try:
            found = predict(pipeline, rows, batch_size=settings.batch_size)
        except UserError as error:
            if not made:
                raise
            raise DataError(
                f"inputs {made + 1} to {made + len(rows)}, counted from 1 there: {error}"
            ) from None
        for row, prediction in zip(rows, found, strict=True):
            given = {name: row[name] for name in ("id", *pipeline.schema.text_fields) if name in row}
            out.write(_object(given, prediction) if settings.json else _line(given, prediction))
        out.flush()
        made += len(rows)
        truncated += sum(TRUNCATED in prediction for prediction in found)
    seconds = time.perf_counter() - began
    tell_truncated(truncated, made, "inputs", models_limit(pipeline.schema), say)
    say(f"{made:,} inputs in {seconds:.1f} s: {made / seconds:,.1f} a second")


def _object(given: Mapping[str, Any], prediction: Mapping[str, Any]) -> str:
    return json.dumps({**given, **prediction}, ensure_ascii=False) + "\n"


def _line(given: Mapping[str, Any], prediction: Mapping[str, Any]) -> str:
    """What was predicted, how sure the model is, and for what; a text that was gone on with is just that."""
    if "continuation" in prediction:
        return f"{prediction['text']}{prediction['continuation']}\n"
    if "filled" in prediction:
        chances = ", ".join(f"{candidates[0]['score']:.3f}" for candidates in prediction["masks"])
        return f"{prediction['filled']}\t{chances}\n"
    if "value" in prediction:
        return f"{prediction['value']:.6g}\t{_short(given)}\n"
    if "label" in prediction:
        return f"{prediction['label']}\t{prediction['confidence']:.3f}\t{_short(given)}\n"
    return f"{_one_line(prediction['answer'])}\t{prediction['score']:.3f}\t{_short(given)}\n"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _short(given: Mapping[str, Any]) -> str:
    text = _one_line(" | ".join(str(value) for name, value in given.items() if name != "id"))
    return text if len(text) <= _WIDTH else text[: _WIDTH - 3] + "..."
