"""A step's loss is the mean over all its labels, however they are spread over micro-batches and processes.

The library (transformers 5.23) hands the number of labels to every model whose forward takes `**kwargs` and
expects it to divide by it. Many only pass it over, BERT's heads among them: their loss and gradient come out
times the number of micro-batches, and on several processes times their number.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, Trainer
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from transformer_e2e.hf.labels import labels_in


class FairLossTrainer(Trainer):
    loss_is_scaled_for_ga = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.model_accepts_loss_kwargs = False  # each model returns the mean over the labels it sees
        # The library looks at `loss_type` alone, which GPT-2, for one, does not have.
        model = cast(PreTrainedModel, self.model)
        causal = type(model).__name__ in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values()
        self.shifted = self._loss_shifts_labels or causal
        if causal and model.loss_type is None:
            model.loss_type = "ForCausalLM"  # which the library takes then, with a warning

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The micro-batch's part in the step's mean; without `num_items_in_batch`, its own mean.

        A micro-batch without any label has no part, rather than a loss that is not a number.
        """
        labels = labels_in(inputs, shifted=self.shifted)
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True)
        loss = torch.where(labels > 0, loss, torch.zeros_like(loss))
        if num_items_in_batch is not None:  # gradients are averaged over processes
            loss = loss * (labels * self.accelerator.num_processes / num_items_in_batch)
        return (loss, outputs) if return_outputs else loss

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> Tensor | int | None:
        """Labels of the whole step, over all micro-batches and processes."""
        if not batch_samples:
            return None
        counts = [labels_in(batch, shifted=self.shifted) for batch in batch_samples]
        total = torch.stack(counts).sum().to(device)
        return self.accelerator.gather(total).sum() if self.args.world_size > 1 else total
