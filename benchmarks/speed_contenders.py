"""One contender of `benchmarks.train_speed`, in a process of its own.

It trains through the loop its users run, and holds still between turns: every `steps` steps it waits for
a line on its standard input, and answers with the seconds that the next `steps` steps took. The loops are
never left, so a turn holds neither start-up nor compilation.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

WARM_UP = 4  # steps before the first turn; a compiled step is compiled in the first of them


@dataclass(frozen=True, kw_only=True)
class Contender:
    """Who trains what, and how."""

    name: str
    who: str  # ours | hf | product
    precision: str = "fp32"
    compile: bool = False
    optimizer: str = "adamw"  # of ours; the Hugging Face Trainer's is AdamW, too
    device: str = "cpu"
    threads: int = 0  # 0: as torch finds
    pinned: bool = False  # each thread bound to a core
    num_layers: int = 4
    num_heads: int = 4
    model_dim: int = 256
    context_window: int = 128
    vocab_size: int = 8192
    batch_size: int = 16
    steps: int = 20  # in one turn
    turns: int = 5
    profile: bool = False

    @property
    def tokens(self) -> int:
        """Targets trained on in one turn."""
        return self.batch_size * self.context_window * self.steps

    @property
    def total_steps(self) -> int:
        return WARM_UP + self.steps * self.turns


class Turns:
    """Call `step_done` after every step."""

    def __init__(self, contender: Contender, wait_for_device: Callable[[], None]) -> None:
        self.contender, self.wait_for_device = contender, wait_for_device
        self.done, self.began, self.used = 0, time.perf_counter(), time.process_time()

    def step_done(self) -> None:
        self.done += 1
        if (self.done - WARM_UP) % self.contender.steps or self.done < WARM_UP:
            return
        self.wait_for_device()
        answer(seconds=time.perf_counter() - self.began, cpu_seconds=time.process_time() - self.used)
        if self.done < self.contender.total_steps:
            sys.stdin.readline()
        self.began, self.used = time.perf_counter(), time.process_time()


def answer(**content: Any) -> None:
    print(json.dumps(content), flush=True)


def main() -> None:
    contender = Contender(**json.loads(sys.argv[1]))
    import torch

    if contender.threads:
        torch.set_num_threads(contender.threads)
    {"ours": train_ours, "hf": train_hf, "product": multiply}[contender.who](contender)


def multiply(contender: Contender) -> None:
    """A square matrix product, the quickest of a turn's: `steps` times 2 * 1024^3 operations."""
    import torch

    kind = torch.bfloat16 if contender.precision == "bf16" else torch.float32
    size = 1024 if contender.device == "cpu" else 8192
    a, b = torch.randn(2, size, size).to(contender.device, kind)
    wait = waiter(contender)
    for turn in range(contender.turns + 1):
        times = []
        for _ in range(contender.steps):
            began = time.perf_counter()
            a @ b
            wait()
            times.append(time.perf_counter() - began)
        answer(seconds=min(times), operations=2 * size**3)
        if turn < contender.turns:
            sys.stdin.readline()


def waiter(contender: Contender) -> Callable[[], None]:
    import torch

    return torch.cuda.synchronize if contender.device == "cuda" else lambda: None


def synthetic_tokens(contender: Contender) -> Any:
    import numpy as np

    count = contender.total_steps * contender.batch_size * contender.context_window + 1
    return np.random.default_rng(0).integers(0, contender.vocab_size, count, dtype=np.uint16)


def train_ours(contender: Contender) -> None:
    """The loop of trainer/, with a trial that keeps nothing."""
    import torch

    from transformer_e2e.compute.device import prepare_process
    from transformer_e2e.config.settings import ModelSettings, TrainSettings
    from transformer_e2e.data.batches import batch_at
    from transformer_e2e.model.shape import ModelShape
    from transformer_e2e.trainer.loop import train
    from transformer_e2e.trainer.state import new_state

    prepare_process(contender.threads)
    values = asdict(contender)
    model = ModelSettings(**{name: values[name] for name in ("num_layers", "num_heads", "model_dim")})
    settings = TrainSettings(
        batch_size=contender.batch_size,
        max_steps=contender.total_steps,
        eval_interval=contender.total_steps,
        precision=contender.precision,
        compile=contender.compile,
        optimizer=contender.optimizer,
    )
    shape = ModelShape.of(model, contender.vocab_size, contender.context_window)
    state = new_state(shape, settings, torch.device(contender.device))
    tokens, window = synthetic_tokens(contender), contender.context_window
    size = contender.batch_size

    def batches(step: int) -> Any:
        return batch_at(tokens, seed=1, step=step, batch_size=size, context_window=window)

    turns = Turns(contender, waiter(contender))
    with profiled(contender):
        train(
            state,
            batches,
            lambda model, whole: {"eval/loss": 0.0},
            NoTrial(),  # type: ignore[arg-type]
            settings,
            log_interval=10,
            checkpoint_interval=0,
            on_progress=lambda _: turns.step_done(),
        )


class NoTrial:
    """A trial of which nothing is kept."""

    stop_requested = False

    def log(self, *_: Any, **__: Any) -> None:
        pass

    save = save_later = settle = log


def train_hf(contender: Contender) -> None:
    """`Trainer.train()` on GPT2LMHeadModel of the same sizes: no dropout, no logging, no saving."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments

    window = contender.context_window
    ids_NT = torch.from_numpy(synthetic_tokens(contender).astype("int64"))[:-1].view(-1, window)
    config = GPT2Config(
        vocab_size=contender.vocab_size,
        n_positions=window,
        n_embd=contender.model_dim,
        n_layer=contender.num_layers,
        n_head=contender.num_heads,
        bos_token_id=0,
        eos_token_id=0,
        **dict.fromkeys(("embd_pdrop", "resid_pdrop", "attn_pdrop"), 0.0),
    )
    turns = Turns(contender, waiter(contender))

    class TakeTurns(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            turns.step_done()

    arguments = TrainingArguments(
        output_dir=os.path.join(os.environ.get("TMPDIR", "/tmp"), "train_speed"),
        per_device_train_batch_size=contender.batch_size,
        max_steps=contender.total_steps,
        bf16=contender.precision == "bf16",
        torch_compile=contender.compile,
        use_cpu=contender.device == "cpu",
        logging_strategy="no",
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    rows = [{"input_ids": ids_T, "labels": ids_T} for ids_T in ids_NT]
    model = GPT2LMHeadModel(config)
    with profiled(contender):
        Trainer(model=model, args=arguments, train_dataset=rows, callbacks=[TakeTurns()]).train()  # type: ignore[arg-type]


def profiled(contender: Contender) -> Any:
    """With `profile`, what the whole training spent its time on, to standard error."""
    from contextlib import contextmanager, nullcontext

    if not contender.profile:
        return nullcontext()
    from torch.profiler import profile

    @contextmanager
    def recording() -> Any:
        with profile() as found:
            yield
        print(found.key_averages().table(sort_by="self_cpu_time_total", row_limit=25), file=sys.stderr)

    return recording()


if __name__ == "__main__":
    main()
