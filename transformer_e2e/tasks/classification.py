"""One label for a text or a pair of texts: a class, or a number.

Which columns and what kind of label: `data/table_schema.py` and `data/table_labels.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import DataCollatorWithPadding

from transformer_e2e.data.schema import Schema
from transformer_e2e.data.table_labels import Labels
from transformer_e2e.data.tables import load_tables
from transformer_e2e.errors import ConfigError, DataError, UserError
from transformer_e2e.hf.arguments import Arguments
from transformer_e2e.hf.identity import require_measured
from transformer_e2e.hf.models import build_model, model_problems
from transformer_e2e.hf.pipeline import Pipeline
from transformer_e2e.hf.prepared import Prepared
from transformer_e2e.hf.tokenizers import build_tokenizer
from transformer_e2e.metrics import classification as measures
from transformer_e2e.tasks.labelled_texts import LabelledTexts, read_labelled_texts
from transformer_e2e.tasks.padding import inputs_of
from transformer_e2e.tasks.passes import batches, evaluating
from transformer_e2e.tasks.registry import Row, Say
from transformer_e2e.tasks.truncation import (
    TRUNCATED,
    models_limit,
    tell_truncated,
    truncated_rows,
    with_truncated_told,
)

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import BatchEncoding, EvalPrediction, PreTrainedTokenizerBase

METRIC = "eval/loss"  # what both kinds of labels have; --metric_for_best_model names another
GOAL = "minimize"
OF_PROBLEM = {
    "classification": ("loss", "accuracy", "f1"),
    "regression": ("loss", "mse", "mae", "pearson", "r2"),
}
METRICS = tuple(dict.fromkeys(name for names in OF_PROBLEM.values() for name in names))


def open_task(arguments: Arguments, say: Say) -> Callable[[], Prepared]:
    """See registry.Task. Unlabeled examples are refused or, with --drop_unlabeled, left out, with a count."""
    problems = model_problems(arguments)
    try:
        tables = load_tables(arguments.data, seed=arguments.seed, say=say)
        examples = read_labelled_texts(arguments.data, tables, say)
        _require_fitting(arguments, str(examples.schema.problem))
    except UserError as error:
        if not problems:
            raise
        problems.append(str(error))
    ConfigError.raise_if(problems)
    return lambda: _prepare(arguments, examples, say)


def predict(pipeline: Pipeline, rows: Sequence[Row], *, batch_size: int) -> list[dict[str, Any]]:
    """{"label", "confidence", "confidences"} a row, in [0, 1] and by name; of a regression {"value"}.

    A row of which only the beginning was read has "truncated": true, too.
    """
    schema = pipeline.schema
    logits, truncated = _logits(pipeline, rows, batch_size)
    if schema.problem == "regression":
        found: list[dict[str, Any]] = [{"value": float(value)} for value in logits[:, 0]]
    else:
        likely = torch.from_numpy(logits).softmax(-1).numpy()
        found = [
            {
                "label": schema.labels[best],
                "confidence": float(row[best]),
                "confidences": dict(zip(schema.labels, row.tolist(), strict=True)),
            }
            for row, best in zip(likely, likely.argmax(-1), strict=True)
        ]
    return [
        {**each, TRUNCATED: True} if is_truncated else each
        for each, is_truncated in zip(found, truncated, strict=True)
    ]


def score(pipeline: Pipeline, rows: Sequence[Row], *, batch_size: int, say: Say) -> dict[str, float]:
    """{"loss", "accuracy", "f1"}, or {"loss", "mse", "mae", "pearson", "r2"} of a regression.

    Examples without a label are left out, and their number is said. Raises DataError if none has one.
    """
    labels = _labels_of(pipeline.schema)
    column = str(pipeline.schema.label_field)
    kept = [row for row in rows if not labels.is_missing(row.get(column))]
    if not kept:
        raise DataError(
            f"none of the {len(rows):,} examples has a label in column {column}, so nothing can be measured; "
            "infer predicts without labels"
        )
    if len(kept) < len(rows):
        say(f"{len(rows) - len(kept):,} of {len(rows):,} examples have no label; they are left out")
    targets = np.array(labels.targets([row[column] for row in kept], f"column {column}"))
    logits, truncated = _logits(pipeline, kept, batch_size)
    tell_truncated(sum(truncated), len(truncated), "examples", models_limit(pipeline.schema), say)
    if labels.problem == "regression":
        found = measures.regression(logits[:, 0], targets)
        return {"loss": found["mse"], **found}
    loss = torch.nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(targets))
    found = measures.classification(logits.argmax(-1), targets, len(labels.names))
    return {"loss": float(loss), **found}


def _require_fitting(arguments: Arguments, problem: str) -> None:
    """Raises ConfigError for arguments that the kind of label has no use for."""
    training = arguments.training
    require_measured(training.metric_for_best_model, OF_PROBLEM[problem], f"a {problem}")
    if training.label_smoothing_factor and problem == "regression":
        raise ConfigError(
            f"--label_smoothing_factor={training.label_smoothing_factor} is for classes, not for "
            "numbers; --problem_type=classification says otherwise"
        )


def _prepare(arguments: Arguments, examples: LabelledTexts, say: Say) -> Prepared:
    schema = examples.schema
    tokenizer = build_tokenizer(arguments, partial(_texts, examples.train, schema.text_fields), say)
    tokenised = partial(_tokenised, examples, tokenizer, arguments.data.preprocessing_num_workers)
    limit = f"--max_seq_length={schema.max_length}"
    regression = schema.problem == "regression"
    changes: dict[str, Any] = {
        "num_labels": 1 if regression else len(schema.labels),
        "problem_type": "regression" if regression else "single_label_classification",
    }
    if not regression:
        changes["id2label"] = dict(enumerate(schema.labels))
        changes["label2id"] = {name: number for number, name in enumerate(schema.labels)}
    return Prepared(
        model=build_model(arguments, tokenizer, **changes),
        tokenizer=tokenizer,
        train=with_truncated_told(tokenised(examples.train), "training examples", limit, say),
        evaluation=with_truncated_told(tokenised(examples.validation), "held-out examples", limit, say),
        collate=_collate(tokenizer),
        schema=schema,
        metrics=partial(_metrics, schema),
        reduce_logits=_values if regression else _best,
        split=examples.split,
    )


def _texts(table: Dataset, fields: Sequence[str]) -> Iterator[str]:
    for field in fields:
        yield from (text or "" for text in table[field])


def _tokenised(
    examples: LabelledTexts, tokenizer: PreTrainedTokenizerBase, workers: int, table: Dataset
) -> Dataset:
    return table.map(
        partial(_inputs, tokenizer=tokenizer, schema=examples.schema, labels=examples.labels),
        batched=True,
        remove_columns=table.column_names,
        num_proc=workers if workers > 1 else None,
        keep_in_memory=True,  # else the library writes into the folder of a saved data set
        desc="tokenising",
    )


def _inputs(
    columns: Mapping[str, Sequence[Any]],
    *,
    tokenizer: PreTrainedTokenizerBase,
    schema: Schema,
    labels: Labels,
) -> Mapping[str, Any]:
    label = str(schema.label_field)
    encoded = _encoded(columns, tokenizer=tokenizer, schema=schema)
    return {
        **encoded.data,
        "labels": labels.targets(columns[label], label),
        TRUNCATED: truncated_rows(encoded, schema.max_length),
    }


def _encoded(
    columns: Mapping[str, Sequence[Any]], *, tokenizer: PreTrainedTokenizerBase, schema: Schema
) -> BatchEncoding:
    texts = ([text or "" for text in columns[field]] for field in schema.text_fields)
    return tokenizer(*texts, truncation=True, max_length=schema.max_length)


def _collate(tokenizer: PreTrainedTokenizerBase) -> Callable[[Any], Mapping[str, Any]]:
    return DataCollatorWithPadding(tokenizer)


def _metrics(schema: Schema, prediction: EvalPrediction) -> dict[str, float]:
    found, truth = np.asarray(prediction.predictions), np.asarray(prediction.label_ids)
    if schema.problem == "regression":
        return measures.regression(found, truth)
    return measures.classification(found, truth, len(schema.labels))


def _best(logits: Any, labels: Any) -> Any:
    return _first(logits).argmax(-1)


def _values(logits: Any, labels: Any) -> Any:
    return _first(logits)[:, 0]


def _first(logits: Any) -> Any:
    """Some models give more than logits: their cache, their states."""
    return logits[0] if isinstance(logits, tuple | list) else logits


def _labels_of(schema: Schema) -> Labels:
    return Labels(str(schema.problem), schema.labels, numbered=bool(schema.extra.get("numbered")))


def _logits(
    pipeline: Pipeline, rows: Sequence[Row], batch_size: int
) -> tuple[NDArray[np.float32], list[bool]]:
    """(rows, classes), or (rows, 1) of a regression; and whether each row was truncated.

    Raises DataError for rows without the schema's texts.
    """
    model, schema, collate = pipeline.model, pipeline.schema, _collate(pipeline.tokenizer)
    found = [np.zeros((0, max(1, len(schema.labels))), dtype=np.float32)]
    truncated: list[bool] = []
    with evaluating(model):
        for chosen in batches(len(rows), batch_size):
            part = [rows[index] for index in chosen]
            columns = {field: [_text(row, field, schema) for row in part] for field in schema.text_fields}
            encoded = _encoded(columns, tokenizer=pipeline.tokenizer, schema=schema)
            batch = collate([{name: encoded[name][place] for name in encoded} for place in range(len(part))])
            found.append(model(**inputs_of(batch, model.device)).logits.float().cpu().numpy())
            truncated += truncated_rows(encoded, schema.max_length)
    return np.concatenate(found), truncated


def _text(row: Row, field: str, schema: Schema) -> str:
    if field not in row:
        raise DataError(
            f"an example has no column {field}: the model reads {' + '.join(schema.text_fields)}, and it has "
            f"{', '.join(row)}"
        )
    return str(row[field] or "")
