"""What `target_loss` is measured against: transformers' GPT-2 in a plain training loop with AdamW.

Learned positions, LayerNorm, GELU, biases, tied embeddings. No dropout, which two passes over the text do
not need; decay on matrices, betas and clipping as for GPT-3 (Brown et al. 2020, appendix B).
Shape letters: B batch, T time, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel

from transformer_e2e.compute.device import products_in
from transformer_e2e.config.settings import ModelSettings, TrainSettings
from transformer_e2e.trainer.schedule import learning_rate_at


class PlainGPT2(nn.Module):
    """A GPT-2 with what an `Evaluator` asks of a model."""

    def __init__(self, sizes: ModelSettings, vocab_size: int, context_window: int) -> None:
        super().__init__()
        config = GPT2Config(
            vocab_size=vocab_size,
            n_positions=context_window,
            n_layer=sizes.num_layers,
            n_head=sizes.num_heads,
            n_embd=sizes.model_dim,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            use_cache=False,
            bos_token_id=None,
            eos_token_id=None,
        )
        self.gpt2 = GPT2LMHeadModel(config)
        self.embedding = self.gpt2.transformer.wte

    def token_losses(self, ids_BT: Tensor, targets_BT: Tensor) -> Tensor:
        logits_BTV = self.gpt2(input_ids=ids_BT).logits.float()
        return F.cross_entropy(logits_BTV.transpose(1, 2), targets_BT, reduction="none")

    def parameter_count(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())


def training_steps(
    model: PlainGPT2, batches: Callable[[int], np.ndarray], settings: TrainSettings, device: torch.device
) -> Iterator[float]:
    """Takes one step each time it is asked, until settings.max_steps; gives the step's mean loss."""
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": settings.weight_decay},
            {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
        ],
        betas=(settings.beta1, settings.beta2),
        fused=True,
    )
    model.train()
    for step in range(settings.max_steps):
        ids_BT1 = torch.from_numpy(batches(step)).to(device)
        optimizer.zero_grad(set_to_none=True)
        with products_in(settings.precision, device):
            logits_BTV = model.gpt2(input_ids=ids_BT1[:, :-1]).logits
            loss = F.cross_entropy(logits_BTV.flatten(0, 1), ids_BT1[:, 1:].flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, settings.max_grad_norm)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(step, settings)
        optimizer.step()
        yield loss.item()
