"""Everything that is wrong with a Hugging Face trial's inputs, told at once; nothing is trained for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

from transformers.training_args import TrainingArguments

from transformer_e2e.compute.device import resolve_device
from transformer_e2e.compute.place import Place
from transformer_e2e.config.hf_settings import DataArguments, ModelArguments, RunArguments
from transformer_e2e.errors import ConfigError, UserError
from transformer_e2e.hf.arguments import Arguments
from transformer_e2e.hf.identity import counted
from transformer_e2e.hf.models import model_problems
from transformer_e2e.hf.parser import Given
from transformer_e2e.tasks.registry import task


def with_all_problems(error: UserError, given: Given, here: Place) -> UserError:
    """`error`, or one that tells what else is wrong, too: each part is looked at by itself.

    Where a wrong value was not taken, its default is in `given`, and the rest is judged with that.
    """
    first = _problems_of(error)
    others = [found for found in _other_problems(first, given, here) if found not in first]
    return ConfigError.of([*first, *dict.fromkeys(others)]) if others else error


def _other_problems(first: Sequence[str], given: Given, here: Place) -> Iterator[str]:
    values = given.values
    parts: list[Callable[[], Any]] = [
        lambda: counted(values, processes=here.size),
        lambda: resolve_device("cpu" if values["use_cpu"] else values["device"], here),
    ]
    if not any(problem.startswith("--task=") for problem in first):
        parts.append(lambda: _look_at_examples_and_model(given))
    for look in parts:
        try:
            look()
        except UserError as error:
            yield from _problems_of(error)


def _look_at_examples_and_model(given: Given) -> None:
    """Raises UserErrors. What is made here, of this interpreter's documentation, is not looked at."""
    arguments = Arguments(
        model=ModelArguments(**given.group(ModelArguments)),
        data=DataArguments(**given.group(DataArguments)),
        run=RunArguments(**given.group(RunArguments)),
        # The values alone: to make the real ones joins all processes.
        training=cast(Any, SimpleNamespace(**given.group(TrainingArguments))),
    )
    if arguments.data.train_file or arguments.data.dataset_name:
        task(arguments.task).open_task(arguments, lambda _: None)
    else:
        ConfigError.raise_if(model_problems(arguments))


def _problems_of(error: UserError) -> tuple[str, ...]:
    return (error.problems if isinstance(error, ConfigError) else ()) or (str(error),)
