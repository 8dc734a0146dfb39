"""How `target_loss` trains and scores its two sides: the same data, batches, precision and threads."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

Steps = Iterator[object]  # takes one step each time it is asked


@dataclass(frozen=True)
class Evaluation:
    step: int
    loss: float  # [nats/token]
    seconds: float  # of training so far


class Bench:
    """The data, the way to score, and both ways to train on it."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        import torch

        from transformer_e2e.compute.device import multiplies_bf16, prepare_process
        from transformer_e2e.config.settings import DataSettings
        from transformer_e2e.data.batches import validation_windows
        from transformer_e2e.data.tokens import prepare
        from transformer_e2e.trainer.evaluation import Evaluator

        self.threads = prepare_process(arguments.threads)
        self.arguments, self.device = arguments, torch.device("cpu")
        self.sizes = {"num_layers": 4, "num_heads": 4, "model_dim": arguments.model_dim}
        wanted = DataSettings(tokenizer=arguments.tokenizer, context_window=arguments.context_window)
        self.data = prepare(wanted, arguments.cache_dir)
        self.vocab_size = self.data.tokenizer.vocab_size
        quicker = "bf16" if multiplies_bf16(self.device) else "fp32"
        self.precision = quicker if arguments.precision == "auto" else arguments.precision
        self.evaluator = Evaluator(
            windows_NT1=validation_windows(self.data.validation, arguments.context_window),
            text_bytes=self.data.validation_bytes,
            text_words=self.data.validation_words,
            window_limit=arguments.windows,
            precision=self.precision,
        )

    def description(self) -> str:
        import torch

        sizes = ", ".join(f"{name} {value}" for name, value in self.sizes.items())
        tokens = self.arguments.batch_size * self.arguments.context_window
        return (
            f"{sizes}, vocabulary {self.vocab_size}; {tokens:,} tokens a step of {len(self.data.train):,}; "
            f"{self.precision}, {self.threads} threads, torch {torch.__version__}"
        )

    def plain(self, values: Mapping[str, Any]) -> tuple[Any, Steps]:
        """(model, its steps) of the plain GPT-2."""
        import torch

        from benchmarks.plain_gpt2 import PlainGPT2, training_steps

        model_settings, settings = self.settings(values)
        torch.manual_seed(settings.seed)
        model = PlainGPT2(model_settings, self.vocab_size, self.arguments.context_window)
        return model, training_steps(model, self.batches(settings.seed), settings, self.device)

    def ours(self, values: Mapping[str, Any]) -> tuple[Any, Steps]:
        """(model, its steps) of this repository's trainer."""
        from transformer_e2e.model.shape import ModelShape
        from transformer_e2e.trainer.state import new_state
        from transformer_e2e.trainer.step import take_step

        model_settings, settings = self.settings(values)
        shape = ModelShape.of(model_settings, self.vocab_size, self.arguments.context_window)
        state, batches = new_state(shape, settings, self.device), self.batches(settings.seed)
        if values.get("writers") == "random":
            randomise_writers(state.model)
        steps = (take_step(state, batches, settings, lambda: False) for _ in range(settings.max_steps))
        return state.model, steps

    def settings(self, values: Mapping[str, Any]) -> tuple[Any, Any]:
        """(ModelSettings, TrainSettings): `values` over the benchmark's sizes; warm-up is a tenth."""
        from transformer_e2e.config.settings import ModelSettings, TrainSettings

        fixed = {"batch_size": self.arguments.batch_size, "precision": self.precision}
        known = self.sizes | fixed | {"warmup_steps": values["max_steps"] // 10} | dict(values)
        model, train = (
            group(**{item.name: known[item.name] for item in fields(group) if item.name in known})
            for group in (ModelSettings, TrainSettings)
        )
        return model, train

    def batches(self, seed: int) -> Callable[[int], Any]:
        from transformer_e2e.data.batches import batch_at

        size, window = self.arguments.batch_size, self.arguments.context_window
        return lambda step: batch_at(
            self.data.train, seed=seed, step=step, batch_size=size, context_window=window
        )

    def evaluations(self, training: tuple[Any, Steps], at: Iterable[int]) -> Iterator[Evaluation]:
        """The evaluations after the steps `at`, training on from one to the next as they are asked for."""
        model, steps = training
        seconds, done = 0.0, 0
        for step in at:
            began = time.perf_counter()
            for _ in range(step - done):
                next(steps)
            seconds, done = seconds + time.perf_counter() - began, step
            yield Evaluation(step, self.evaluator(model, False)["eval/loss"], seconds)  # type: ignore[index]


def randomise_writers(model: Any) -> None:
    """GPT-2's start of the matrices that write to the residual stream (Radford et al. 2019, section 2.3)."""
    for name, parameter in model.named_parameters():
        if name.endswith(("attention.out.weight", "mlp.down.weight")):
            parameter.data.normal_(0.0, (parameter.shape[1] * 2 * model.shape.num_layers) ** -0.5)
