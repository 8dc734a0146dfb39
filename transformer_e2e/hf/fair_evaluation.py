"""An evaluation counts each example once and each label alike, whatever the batches and the processes.

What the library (transformers 5.23, accelerate 1.15) does otherwise, and where it is mended:

- several processes fill up the last batch with the first examples: of predictions `gather_for_metrics` takes
  them off again, but they are in the mean loss of the batch: `prediction_step`
- the loss is the mean over the labels of a batch, and then over the examples, so that of masked tokens, or of
  answers of unequal length, depends on how many examples make a batch: `evaluation_loop`
- the loss of spans is taken over the padding, too: `compute_loss`
- --dataloader_drop_last leaves examples of the evaluation out, too: `get_eval_dataloader`
- examples grouped by length are judged in another order than that of the data set, in which the answers to
  questions are looked up: `_get_eval_sampler`
"""

from __future__ import annotations

from typing import Any

import torch
from accelerate.utils import find_batch_size
from accelerate.utils.operations import recursively_apply
from torch import Tensor, nn
from torch.utils.data import SequentialSampler
from transformers.trainer_utils import EvalLoopOutput

from transformer_e2e.compute.world import World
from transformer_e2e.hf.fair_loss import FairLossTrainer
from transformer_e2e.hf.labels import labels_in, span_loss
from transformer_e2e.hf.rows import EVALUATION


class FairEvaluationTrainer(FairLossTrainer):
    """Gives `eval_loss` as the mean over all labels of all examples; on all ranks the same bits."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.world = World.of_library()
        self._judging = False
        self._parts: list[Tensor] = []  # of the evaluation under way: mean loss and labels of each batch

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> EvalLoopOutput:
        self._parts, self._judging = [], True
        try:
            output = super().evaluation_loop(*args, **kwargs)
        finally:
            self._judging = False
        parts = [part.to("cpu", torch.float64) for part in self._parts]
        total = sum((torch.stack([loss * labels, labels]) for loss, labels in parts), torch.zeros(2).double())
        self.world.sum_(total)
        assert output.metrics is not None
        output.metrics[f"{EVALUATION}loss"] = float(total[0] / total[1].clamp(min=1))
        return output

    def prediction_step(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor | Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """The model sees the rows that are examples. What it says of them is repeated for the rows that are
        none, and taken off again where all ranks' predictions are put together."""
        rows = find_batch_size(inputs)
        own = self._own_rows(rows)
        if own == rows:
            return self._judged(model, inputs, prediction_loss_only, ignore_keys)
        seen = torch.arange(max(own, 1))  # all ranks take part in a step
        before = len(self._parts)
        loss, *found = self._judged(model, _rows(inputs, seen), prediction_loss_only, ignore_keys)
        if not own:
            del self._parts[before:]
        logits, labels = _rows(found, torch.arange(rows).clamp(max=len(seen) - 1))
        return loss, logits, labels

    def _judged(self, model: nn.Module, inputs: Any, *how: Any) -> tuple[Any, Any, Any]:
        """As `prediction_step`, of examples alone; counts them."""
        loss, logits, labels = super().prediction_step(model, inputs, *how)
        if loss is not None:
            counted = labels_in(inputs, shifted=self.shifted).to(loss.device)
            self._parts.append(torch.stack([loss.float(), counted.float()]))
        return loss, logits, labels

    def compute_loss(self, model: nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        found = super().compute_loss(model, inputs, *args, **kwargs)
        if not self._judging or "start_positions" not in inputs:
            return found
        outputs = found[1]
        return span_loss(outputs, self._prepare_inputs(inputs)), outputs

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> Tensor | int | None:
        """Of an evaluation None: the loss is the mean over the labels that this rank sees."""
        return None if self._judging else super()._get_num_items_in_batch(batch_samples, device)

    def _own_rows(self, rows: int) -> int:
        """How many of this rank's `rows` are examples; the rest fill up the last batch of all ranks."""
        state = self.accelerator.gradient_state
        if not state.end_of_dataloader or state.remainder <= 0:
            return rows
        return min(max(state.remainder - self.world.rank * rows, 0), rows)

    def _get_eval_sampler(self, eval_dataset: Any) -> SequentialSampler:
        return SequentialSampler(eval_dataset)

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        given = self.args.dataloader_drop_last
        self.args.dataloader_drop_last = False
        try:
            return super().get_eval_dataloader(eval_dataset)
        finally:
            self.args.dataloader_drop_last = given


def _rows(values: Any, numbers: Tensor) -> Any:
    """Those rows of every tensor in `values`, a mapping or a sequence."""
    return recursively_apply(lambda tensor: tensor[numbers.to(tensor.device)], values)
