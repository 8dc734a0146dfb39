"""Optimizer and schedule as the Trainer will make them, made beforehand of one weight.

The Trainer makes them when W&B knows of the trial already, and fails with a traceback where a package or an
argument of theirs is missing.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, cast

import torch
from transformers import Trainer, TrainingArguments, get_scheduler
from transformers.utils import is_liger_kernel_available


def training_problems(args: TrainingArguments) -> list[str]:
    """What the Trainer could not make of the arguments, a sentence each. Changes nothing."""
    weight = torch.nn.Parameter(torch.zeros(1))

    def optimizer() -> None:
        kind, how = Trainer.get_optimizer_cls_and_kwargs(args)
        kind([weight], **how)
        plain = copy.copy(args)
        plain.optim_args = None
        if args.optim_args and Trainer.get_optimizer_cls_and_kwargs(plain) == (kind, how):
            raise ValueError(
                "it has no such arguments; AdamW's are --adam_beta1, --adam_beta2, --adam_epsilon"
            )

    def schedule() -> None:
        get_scheduler(
            args.lr_scheduler_type,
            optimizer=torch.optim.SGD([weight], lr=max(args.learning_rate, 1e-3)),
            num_warmup_steps=1,
            num_training_steps=100,
            scheduler_specific_kwargs=dict(cast(dict[str, Any], args.lr_scheduler_kwargs or {})),
        )

    lacks_liger = args.use_liger_kernel and not is_liger_kernel_available()
    with_args = f" --optim_args={args.optim_args}" if args.optim_args else ""
    with_kwargs = f" --lr_scheduler_kwargs={args.lr_scheduler_kwargs}" if args.lr_scheduler_kwargs else ""
    kind = getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type)
    return [
        *_fault(f"--optim={getattr(args.optim, 'value', args.optim)}{with_args}", optimizer),
        *_fault(f"--lr_scheduler_type={kind}{with_kwargs}", schedule, _WANTED.get(str(kind), "")),
        *(["--use_liger_kernel needs liger-kernel, which is not installed"] if lacks_liger else []),
    ]


# What a schedule cannot do without.
_WANTED = {
    "warmup_stable_decay": '--lr_scheduler_kwargs={"num_decay_steps": 100} works',
    "cosine_with_min_lr": '--lr_scheduler_kwargs={"min_lr_rate": 0.1} works',
    "cosine_warmup_with_min_lr": '--lr_scheduler_kwargs={"min_lr_rate": 0.1} works',
}


def _fault(given: str, make: Callable[[], Any], works: str = "") -> list[str]:
    try:
        make()
    except Exception as error:  # each optimizer and schedule has rules and errors of its own
        told = " ".join(str(error).split()) or type(error).__name__
        return [f"{given} cannot be used: {told}" + (f"; {works}" if works else "")]
    return []
