"""What of Hugging Face's TrainingArguments reaches the Trainer, and what is the trial's own affair."""

from __future__ import annotations

import copy

from transformers.training_args import TrainingArguments


def loop_arguments(args: TrainingArguments, metric_name: str, minimize: bool) -> TrainingArguments:
    """A copy of `args` without what a trial does itself: reporting, choosing the best, saving, resuming."""
    changed = copy.copy(args)
    changed.report_to = [name for name in args.report_to or () if name != "wandb"]
    changed.disable_tqdm = True
    changed.logging_nan_inf_filter = False
    changed.load_best_model_at_end = False
    changed.metric_for_best_model = metric_name.removeprefix("eval/")
    changed.greater_is_better = not minimize
    changed.ignore_data_skip = False
    changed.eval_on_start = False  # `Timetable` knows; the library would do it again at every resume
    # They draw from torch's generator once a training; a resumed one would draw again in its second epoch.
    changed.dataloader_persistent_workers = False
    changed._n_gpu = min(changed.n_gpu, 1)  # several GPUs take a process each, under torchrun
    changed.remove_unused_columns = False  # `collate` knows which it needs
    return changed
