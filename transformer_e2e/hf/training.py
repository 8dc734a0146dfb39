"""A Hugging Face training as the work of one trial: resume, training, final numbers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from transformers.utils.logging import disable_progress_bar

from transformer_e2e.compute.device import prepare_process
from transformer_e2e.compute.progress import Progress
from transformer_e2e.compute.world import peers_alive_in_library
from transformer_e2e.errors import ConfigError
from transformer_e2e.hf.arguments import Arguments
from transformer_e2e.hf.prepared import Prepared
from transformer_e2e.hf.trial_trainer import TrialTrainer
from transformer_e2e.runs.final_metrics import final_metrics
from transformer_e2e.runs.journal import read_journal
from transformer_e2e.runs.outcome import Outcome
from transformer_e2e.runs.spec import Result
from transformer_e2e.runs.trial import Trial


def train(
    trial: Trial,
    prepared: Prepared,
    arguments: Arguments,
    *,
    say: Callable[[str], None],
    metric_name: str,
    goal: str,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Result:
    """Train until the arguments' end, from the trial's newest checkpoint if it has one.

    `metric_name` ("eval/loss") decides, with `goal` ("minimize" or "maximize"), which checkpoint is best.
    The process is deterministic from here on. Raises ConfigError if no evaluation gives that metric,
    CheckpointError, DiskFull, and PeerLost where several processes train.
    """
    _require_batches(arguments, len(prepared.train))
    prepare_process(threads=0)
    disable_progress_bar()  # one for each checkpoint's weights
    minimize = goal == "minimize"
    trainer = TrialTrainer(
        trial,
        prepared,
        arguments.training,
        metric_name=metric_name,
        minimize=minimize,
        patience=arguments.run.early_stopping_patience,
        on_progress=on_progress,
    )
    step = trainer.restore()
    say(beginning(trainer, prepared, step))
    with peers_alive_in_library():
        outcome = trainer.work()
    if not trainer.world.is_main:
        return Result(outcome)
    metrics = final_metrics(read_journal(trial.directory), metric_name=metric_name, minimize=minimize)
    result = result_of(trainer, prepared, outcome, metrics, best=metrics.get(f"best/{metric_name}"))
    if result.best_metric is not None and outcome is not Outcome.STOPPED:
        say(
            f"{str(outcome).replace('_', '-')} after step {result.steps}: best {metric_name} "
            f"{result.best_metric:.4f} at step {metrics['best/step']}"
        )
    return result


def beginning(trainer: TrialTrainer, prepared: Prepared, step: int | None) -> str:
    """What is trained, where, and from which step (None: 0), in words."""
    return (
        f"{parameter_count(prepared.model) / 1e6:.2f} M parameters on {where(trainer)} with "
        f"{torch.get_num_threads()} threads; {len(prepared.train):,} training examples, "
        f"{len(prepared.evaluation):,} for evaluation; "
        + ("starting at step 0" if step is None else f"resumed at step {step}")
    )


def result_of(
    trainer: TrialTrainer,
    prepared: Prepared,
    outcome: Outcome,
    metrics: dict[str, float],
    best: float | None,
) -> Result:
    """What the trial records of the training. `best`: value of the metric that decides."""
    return Result(
        outcome,
        metrics,
        best_metric=best,
        steps=trainer.state.global_step,
        device=trainer.args.device.type,
        schema=prepared.schema.as_json(),
        measured_on={
            "name": prepared.schema.data_name,
            "split": prepared.split,
            "examples": len(prepared.evaluation),
        },
    )


def _require_batches(arguments: Arguments, examples: int) -> None:
    """Raises ConfigError if every batch would be the incomplete one that is dropped."""
    args = arguments.training
    size = args.per_device_train_batch_size
    most = examples // args.world_size
    if args.dataloader_drop_last and most < size:
        works = f"a batch size of {most} works" if most else "leave it out"
        raise ConfigError(
            f"--dataloader_drop_last drops the only batch: {examples:,} training examples are no "
            f"{size * args.world_size:,}; {works}"
        )


def parameter_count(model: torch.nn.Module) -> int:
    """Of the whole model, also where DeepSpeed has left this process a share of each tensor."""
    return sum(getattr(parameter, "ds_numel", parameter.numel()) for parameter in model.parameters())


def where(trainer: TrialTrainer) -> str:
    """`cuda`, `2 processes on cpu`; with DeepSpeed, its stage."""
    processes = f"{trainer.world.size} processes on " if trainer.world.size > 1 else ""
    plugin = trainer.accelerator.state.deepspeed_plugin
    by = f" by DeepSpeed ZeRO-{plugin.zero_stage}" if plugin else ""
    return f"{processes}{trainer.args.device.type}{by}"
