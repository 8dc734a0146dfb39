"""Hugging Face's Trainer, resumed from a trial's checkpoints to the bit.

What the library (transformers 5.23) does otherwise, and where it is mended:

- `_tr_loss`, `_total_loss_scalar`, `_globalstep_last_logged` and `_initial_global_step` begin anew at a
  resume: `become_saved`
- optimizer, schedule, generators and arguments are pickled: `hf.checkpoint`
- a resume goes on with the checkpoint's learning rate, whatever the arguments say: `hf.optimizer_state`
- the order of the examples in an epoch that is resumed half-way is that of epoch 0 on several processes, and
  any order at all with examples grouped by length: `_run_epoch` tells the sampler
- a batch is fetched before the generators are restored: harmless, as `Prepared.collate` draws nothing
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from transformers import TrainingArguments
from transformers.trainer_pt_utils import LengthGroupedSampler

from transformer_e2e.compute import generators
from transformer_e2e.data.permutation import mixed
from transformer_e2e.errors import CheckpointError
from transformer_e2e.hf import deepspeed, optimizer_state
from transformer_e2e.hf.checkpoint import Saved, read_training, read_weights
from transformer_e2e.hf.data_digest import data_digest
from transformer_e2e.hf.fair_evaluation import FairEvaluationTrainer
from transformer_e2e.hf.optimizer_state import OptimizerState
from transformer_e2e.hf.prepared import Prepared
from transformer_e2e.hf.snapshot import Snapshot
from transformer_e2e.hf.standing import Standing
from transformer_e2e.runs.trial import Trial

COUNTERS = ("_total_loss_scalar", "_globalstep_last_logged")  # and `_tr_loss`, a tensor


class ExactTrainer(FairEvaluationTrainer):
    """What is trained, and how it is saved and restored; the course of the training is a subclass's."""

    def __init__(self, trial: Trial, prepared: Prepared, args: TrainingArguments, *, minimize: bool) -> None:
        super().__init__(
            model=prepared.model,
            args=args,
            data_collator=cast(Any, prepared.collate),
            train_dataset=prepared.train,
            eval_dataset=prepared.evaluation,
            processing_class=prepared.tokenizer,
            compute_metrics=prepared.metrics,
            preprocess_logits_for_metrics=prepared.reduce_logits,
        )
        self.trial, self.prepared, self.data = trial, prepared, data_digest(prepared)
        self.standing = Standing(minimize)
        self.snapshot = Snapshot(prepared)
        self.saved: Saved | None = None  # the checkpoint that was restored
        self.directory: Path | None = None  # where it is
        self.gathered: dict[str, torch.Tensor] | None = None  # weights, if the model has only a share of them

    # restoring

    def restore(self) -> int | None:
        """Read the trial's newest usable checkpoint; its step, or None if there is none.

        The weights are the model's at once, but DeepSpeed's. The rest waits for `train`, which makes what it
        belongs to.
        """
        step = self.trial.restore(self._read)
        found = self.world.broadcast(str(self.directory) if self.directory else None)
        if found and not self.world.is_main:
            self._read(Path(found))
        return step

    def _read(self, directory: Path) -> None:
        saved = read_training(directory)
        if saved.data != self.data:
            raise CheckpointError(f"{directory} was trained on other examples; was the data changed?")
        if self.is_deepspeed_enabled:
            deepspeed.share_count(directory)
        else:
            weights = read_weights(self.prepared.model, directory)
            self.prepared.model.load_state_dict(weights, strict=False)  # tied tensors are there once
        self.saved, self.directory = saved, directory

    def _prepare_for_training(
        self, max_steps: int, train_dataloader: Any, resume_from_checkpoint: str | None
    ) -> Any:
        if not self.is_deepspeed_enabled:
            return super()._prepare_for_training(max_steps, train_dataloader, resume_from_checkpoint)
        if self.directory and deepspeed.share_count(self.directory) != self.world.size:
            deepspeed.ask_for_universal(self.accelerator.state.deepspeed_plugin.hf_ds_config.config)
        prepared = super()._prepare_for_training(max_steps, train_dataloader, None)
        engine = deepspeed.require_engine(self.model_wrapped)
        if self.directory and self.saved:
            deepspeed.load(engine, self.directory, self.world)
            optimizer_state.restore_hyperparameters(
                self.saved.optimizer, self.plain_optimizer, self.schedule, self.given
            )
        return prepared

    def become_saved(self) -> None:
        """Once the library has made everything anew, and before the first step: what it leaves as new."""
        if self.saved is None:
            return
        self.standing = self.saved.standing
        for name in COUNTERS:
            setattr(self, name, self.saved.accumulated[name])
        self._tr_loss.fill_(self.saved.accumulated["_tr_loss"])
        self._initial_global_step = 0
        torch.set_num_threads(self.saved.threads)
        self._load_rng_state(None)  # what is evaluated and saved before the first step has these, too
        self.saved = replace(
            self.saved, optimizer=OptimizerState({})
        )  # as large as the model, and taken over

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        """The weights are those of the checkpoint since `restore`."""

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if self.saved:
            optimizer_state.restore(
                self.saved.optimizer,
                self.prepared.model,
                self.plain_optimizer,
                self.schedule,
                self.given,
            )

    def _load_scaler(self, checkpoint: str | None) -> None:
        if self.saved and self.saved.scaler is not None and self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(self.saved.scaler)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """Called by the library when it has fetched the first batch, or is about to begin an epoch."""
        if self.saved and self.world.size == 1:
            generators.restore(self.saved.generators)

    # what belongs to a step and an epoch, whoever takes it

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        scheduler = super().create_scheduler(num_training_steps, optimizer)
        self.given = optimizer_state.hyperparameters(self.plain_optimizer)
        return scheduler

    @property
    def plain_optimizer(self) -> Optimizer:
        """Without accelerate's wrapping."""
        return cast(Optimizer, getattr(self.optimizer, "optimizer", self.optimizer))

    @property
    def schedule(self) -> LRScheduler:
        return cast(LRScheduler, self.lr_scheduler)

    def _run_epoch(
        self, model: nn.Module, epoch: int, train_dataloader: Any, *args: Any, **kwargs: Any
    ) -> None:
        sampler: Any = train_dataloader.get_sampler()
        if isinstance(sampler, LengthGroupedSampler):
            seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
            sampler.generator = torch.Generator().manual_seed(mixed(seed, epoch) >> 1)
        elif hasattr(sampler, "set_epoch"):
            sampler.set_epoch(epoch)
        if hasattr(self.prepared.train, "begin_epoch"):
            self.prepared.train.begin_epoch(epoch)
        super()._run_epoch(model, epoch, train_dataloader, *args, **kwargs)

    def seed_step(self) -> None:
        """On several processes, each step begins with generators of each rank's own: none is saved."""
        if self.world.size > 1:
            torch.manual_seed(mixed(self.args.seed, self.state.global_step, self.world.rank) >> 1)

    # saving

    def save(self, *, best: bool, required: bool, last: bool) -> None:
        """By every process: a checkpoint of the state now, between two steps, through the trial of rank 0.

        The last one is complete on return. One before it is written while training goes on, out of a copy,
        but with DeepSpeed, whose processes write together.
        """
        self.store_flos()  # adds up those of all processes
        how: dict[str, Any] = {
            "step": self.state.global_step,
            "best": best,
            "metric": self.standing.best if best else None,
            "required": required,
        }
        if self.is_deepspeed_enabled and self.world.is_main:
            self._save_with_shares(how)
        elif self.is_deepspeed_enabled:
            if directory := self.world.broadcast(None):
                self._write_share(Path(directory))
        elif self.world.is_main:
            self.trial.settle()  # the copy is being written until then
            self._take()
            save = self.trial.save if last else self.trial.save_later
            save(self.snapshot.fill, **how)

    def _take(self) -> None:
        model, accumulated = self.prepared.model, {name: getattr(self, name) for name in COUNTERS}
        scaler = self.accelerator.scaler
        present = Saved(
            optimizer=optimizer_state.capture(model, self.plain_optimizer, self.schedule, self.given),
            generators=generators.capture(),
            standing=self.standing,
            accumulated={"_tr_loss": float(self._tr_loss)} | accumulated,
            threads=torch.get_num_threads(),
            data=self.data,
            scaler=None if scaler is None else scaler.state_dict(),
        )
        self.snapshot.take(present, self.state, self.gathered)

    def _save_with_shares(self, how: dict[str, Any]) -> None:
        """By rank 0: the others write their shares into the directory that the trial gives it, if it does."""
        told = False

        def fill(directory: Path) -> dict[str, str]:
            nonlocal told
            told = True
            self.world.broadcast(str(directory))
            self._write_share(directory)
            self._take()
            return self.snapshot.fill(directory)

        try:
            self.trial.save(fill, **how)
        finally:
            if not told:
                self.world.broadcast(None)

    def _write_share(self, directory: Path) -> None:
        if self.accelerator.state.deepspeed_plugin.zero_stage == 3:
            self.gathered = self.accelerator.get_state_dict(self.model_wrapped)
        deepspeed.write_share(self.model_wrapped, directory, self.state.global_step)
