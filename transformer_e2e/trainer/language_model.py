"""The from-scratch language model as the work of one trial: data, model, resume, training, final numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from transformer_e2e.compute.device import (
    precision_advice,
    prepare_process,
    resolve_device,
    threads_each,
)
from transformer_e2e.compute.place import Place
from transformer_e2e.compute.progress import Progress
from transformer_e2e.compute.world import World
from transformer_e2e.config.settings import Settings
from transformer_e2e.config.wording import several
from transformer_e2e.data.batches import batch_at, validation_windows
from transformer_e2e.data.tokens import TokenizedData, prepare
from transformer_e2e.metrics.yardsticks import VERSION as YARDSTICKS_VERSION
from transformer_e2e.metrics.yardsticks import yardsticks
from transformer_e2e.model.shape import ModelShape
from transformer_e2e.runs.final_metrics import final_metrics
from transformer_e2e.runs.journal import read_journal
from transformer_e2e.runs.outcome import Outcome
from transformer_e2e.runs.spec import Result
from transformer_e2e.runs.trial import Trial
from transformer_e2e.trainer.compiled import check_compiler, compiled_code, share_compiled_code
from transformer_e2e.trainer.evaluation import Evaluator
from transformer_e2e.trainer.loop import resume, train
from transformer_e2e.trainer.meeting import Meeting
from transformer_e2e.trainer.memory import enough_memory
from transformer_e2e.trainer.state import TrainState, new_state

TOKENIZER_DIR = "tokenizer"
SETTINGS_FILE = "settings.json"


def check_inputs(settings: Settings, place: Place | None = None) -> None:
    """Raise ConfigError or DataError for what would fail at the start: device, compiler, text, sizes.

    Builds and caches the tokens, which the training then maps.
    """
    device = resolve_device(settings.run.device, place)
    if settings.train.compile:
        check_compiler(device)
    prepare(settings.data, Path(settings.run.cache_dir))


def train_language_model(
    trial: Trial,
    settings: Settings,
    *,
    say: Callable[[str], None],
    on_progress: Callable[[Progress], None],
    place: Place | None = None,
    meeting: Meeting | None = None,
) -> Result:
    """Train until the settings' end, from the trial's newest checkpoint if it has one.

    Alone, or with `place` and `meeting` as one of torchrun's processes: each calls it, rank 0 with the
    trial, the others with a `Follower`, whose result has no metrics. Raises ConfigError (device) and
    DataError (text, tokenizer, sizes) before anything is written, and PeerLost.
    """
    place = place or Place()
    device = resolve_device(settings.run.device, place)
    share_compiled_code(Path(settings.run.cache_dir))
    data = prepare(settings.data, Path(settings.run.cache_dir))
    prepare_process(threads_each(settings.train.threads, place.size))
    marks = data_yardsticks(data) if place.is_main else {}
    with meeting.world(device) if meeting else nullcontext(World.alone()) as world:
        state = resumed_state(trial, data, settings, device, world, say)
        evaluate = evaluator(data, settings, trial, world)
        with enough_memory(settings):
            outcome = train(
                state,
                batch_source(data, settings),
                evaluate,
                trial,
                settings.train,
                log_interval=settings.run.log_interval,
                checkpoint_interval=settings.run.checkpoint_interval,
                on_progress=on_progress,
                extra_files=lambda directory: write_extra_files(data, settings, directory),
            )
    if not place.is_main:
        return Result(outcome)
    metrics = final_metrics(read_journal(trial.directory)) | marks
    best = metrics.get("best/eval/loss")
    if best is not None and outcome is not Outcome.STOPPED:
        what = str(outcome).replace("_", "-")
        say(f"{what} after step {state.step}: best eval/loss {best:.4f} at step {metrics['best/step']}")
    source = Path(settings.data.dataset)
    measured_on: dict[str, str | int] = {
        "name": source.name if source.exists() else settings.data.dataset,
        "split": "validation",
        "examples": len(evaluate.partial_windows()),
    }
    return Result(
        outcome,
        metrics,
        best_metric=best,
        steps=state.step,
        device=device.type,
        measured_on=measured_on,
    )


def resumed_state(
    trial: Trial,
    data: TokenizedData,
    settings: Settings,
    device: torch.device,
    world: World,
    say: Callable[[str], None],
) -> TrainState:
    """The newest checkpoint's state, or a fresh one; the same on every rank. Says where it begins."""
    shape = ModelShape.of(settings.model, data.tokenizer.vocab_size, settings.data.context_window)
    state = new_state(shape, settings.train, device, world)
    state.model.recompute = settings.run.gradient_checkpointing
    step = resume(state, batch_source(data, settings), trial, settings.train)
    if settings.train.threads:  # a checkpoint's count is for what the settings leave open
        torch.set_num_threads(threads_each(settings.train.threads, world.size))
    processes = f"{world.size} processes on " if world.size > 1 else ""
    say(
        f"{state.model.parameter_count() / 1e6:.2f} M parameters on {processes}{device.type} with "
        f"{several(torch.get_num_threads(), 'thread')}{' each' if processes else ''}; "
        f"{len(data.train):,} training tokens; "
        + ("starting at step 0" if step is None else f"resumed at step {step}")
    )
    if settings.train.compile:
        say(f"the first step is compiled, which takes a while; the code is kept in {compiled_code()}")
    if advice := precision_advice(settings.train.precision, device):
        say(advice)
    return state


def batch_source(data: TokenizedData, settings: Settings) -> Callable[[int], Any]:
    """Micro-batch number -> ids (batch_size, context_window + 1); a pure function of seed and number."""
    return lambda number: batch_at(
        data.train,
        seed=settings.train.seed,
        step=number,
        batch_size=settings.train.batch_size,
        context_window=settings.data.context_window,
    )


def evaluator(data: TokenizedData, settings: Settings, trial: Trial, world: World) -> Evaluator:
    return Evaluator(
        windows_NT1=validation_windows(data.validation, settings.data.context_window),
        text_bytes=data.validation_bytes,
        text_words=data.validation_words,
        window_limit=settings.train.eval_windows,
        precision=settings.train.precision,
        should_stop=lambda: trial.stop_requested,
        world=world,
    )


def data_yardsticks(data: TokenizedData) -> dict[str, float]:
    """`yardstick/<name>`: bits per byte of compressors and a count bigram on the same validation text."""
    found = data.remember(
        YARDSTICKS_VERSION,
        lambda: yardsticks(
            training_text=data.training_text(),
            validation_text=data.validation_text(),
            validation_bytes=data.validation_bytes,
            train=data.train,
            validation=data.validation,
            vocab_size=data.tokenizer.vocab_size,
        ),
    )
    return {f"yardstick/{name}": value for name, value in found.items()}


def write_extra_files(data: TokenizedData, settings: Settings, directory: Path) -> None:
    """What a checkpoint holds besides the training state: its tokenizer and its settings."""
    (directory / TOKENIZER_DIR).mkdir()
    data.tokenizer.save(directory / TOKENIZER_DIR)
    content = {"settings": settings.counted(), "data": data.fingerprint, "corpus": data.corpus_fingerprint}
    (directory / SETTINGS_FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
