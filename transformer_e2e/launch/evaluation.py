"""A trained model judged on a table of examples."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from transformer_e2e.config.hf_settings import RUNNING_TEXT, DataArguments
from transformer_e2e.config.use import EvaluationSettings
from transformer_e2e.data.table_files import file_problem
from transformer_e2e.data.tables import find_source, load_table
from transformer_e2e.errors import ConfigError, DataError, UserError
from transformer_e2e.launch.columns import column_problems, names_given, renamed
from transformer_e2e.launch.hf_model import HfModel
from transformer_e2e.tasks.registry import task

BATCH_SIZE = 16  # where neither the settings nor the training say


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A model, its examples, and what was found."""

    run_id: str | None
    step: int | None
    task: str
    weights: str
    dataset: str
    split: str
    examples: int
    metrics: dict[str, float]  # by the names of the training, without "eval/"
    seconds: float

    def as_json(self) -> dict[str, object]:
        return asdict(self)

    def table(self) -> str:
        width = max(len("metric"), *map(len, self.metrics))
        lines = [f"{'metric':<{width}}  {'value':>12}"]
        lines += [f"{name:<{width}}  {value:>12.6g}" for name, value in self.metrics.items()]
        where = f"{self.dataset}, {self.split}: {self.examples:,} examples in {self.seconds:.1f} s"
        return "\n".join([where, *lines])


def evaluate_model(opened: HfModel, settings: EvaluationSettings, say: Callable[[str], None]) -> Evaluation:
    """Raises ConfigError or DataError: which data set, split or column is not there, and what is."""
    pipeline = opened.pipeline
    schema = pipeline.schema
    given, problems = names_given(schema, settings.text_column_names, settings.label_column_name)
    if settings.data_file is not None and (problem := file_problem("data_file", settings.data_file)):
        problems.append(problem)
    ConfigError.raise_if(problems, "these examples cannot be used")
    data, split = chosen_data(opened, settings)
    try:
        table, name = load_table(data, split, say), find_source(data).name
    except UserError as error:
        if settings.data_file is not None or settings.dataset_name is not None:
            raise
        raise DataError(
            f"the examples of the training cannot be read: {error}\n"
            "name others: --data_file or --dataset_name"
        ) from None
    wanted = [*schema.text_fields, *([schema.label_field] if schema.label_field else [])]
    problems = column_problems(table.column_names, wanted, given, f"{name} ({split})")
    ConfigError.raise_if(problems, "these examples do not suit the model")
    rows = renamed(table, given)
    if data.task in RUNNING_TEXT:  # a limit counts their blocks, which only the task can make
        limited = replace(schema, extra={**schema.extra, "max_eval_samples": data.max_eval_samples})
        pipeline = replace(pipeline, schema=limited)
    began = time.perf_counter()
    size = settings.batch_size or opened.settings.get("eval_batch_size") or BATCH_SIZE
    metrics = task(schema.task).score(pipeline, rows, batch_size=size, say=say)
    return Evaluation(
        run_id=opened.run_id,
        step=opened.step,
        task=schema.task,
        weights=opened.weights,
        dataset=name,
        split="all" if settings.data_file else split,
        examples=len(rows),
        metrics=dict(sorted(metrics.items())),
        seconds=round(time.perf_counter() - began, 3),
    )


def chosen_data(opened: HfModel, settings: EvaluationSettings) -> tuple[DataArguments, str]:
    """The data set that the settings name, or that of the training, and its split."""
    data, split = opened.trained_on(), settings.split or "validation"
    if settings.data_file is not None:
        data, split = DataArguments(task=data.task, test_file=settings.data_file), "test"
    elif settings.dataset_name is not None:
        data = DataArguments(
            task=data.task,
            dataset_name=settings.dataset_name,
            dataset_config_name=settings.dataset_config_name,
            dataset_revision=settings.dataset_revision,
        )
    return replace(data, max_eval_samples=settings.max_samples or data.max_eval_samples), split
