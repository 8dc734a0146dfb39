"""A decoder-only Transformer, from token ids to the logits of the next token.

Rotary positions, RMSNorm before each sub-layer, gated MLP (SwiGLU), no biases, one matrix for the token
embedding and the output. With equal weights it computes what Llama computes (a test holds it to that).
Shape letters: B batch, T time, D model_dim, V vocab_size, R = head_dim / 2.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from transformer_e2e.model.block import Block
from transformer_e2e.model.cache import KeyValueCache
from transformer_e2e.model.dropout import dropout
from transformer_e2e.model.init import initialise
from transformer_e2e.model.loss import tied_cross_entropy, tied_token_losses
from transformer_e2e.model.rotary import rotary_tables
from transformer_e2e.model.shape import NORM_EPSILON, ModelShape


class Decoder(nn.Module):
    """Weights are drawn from torch's generator on the CPU (see `init`), so equal seeds give equal models
    on every device. Parameters are fp32; run it under `torch.autocast` for bf16 products."""

    cos_TR: Tensor
    sin_TR: Tensor

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocab_size, shape.model_dim)
        self.blocks = nn.ModuleList(Block(shape, layer) for layer in range(shape.num_layers))
        self.final_norm = nn.RMSNorm(shape.model_dim, eps=NORM_EPSILON)
        self.recompute = False  # in training; may be set at any time, see `through`
        self.fill_tables()
        initialise(self)

    def fill_tables(self) -> None:
        """Compute the rotary tables, which are no weights and are never saved."""
        shape = self.shape
        cos_TR, sin_TR = rotary_tables(shape.context_window, shape.head_dim, shape.rope_theta)
        self.register_buffer("cos_TR", cos_TR, persistent=False)
        self.register_buffer("sin_TR", sin_TR, persistent=False)

    def hidden(self, ids_BT: Tensor, cache: KeyValueCache | None = None) -> Tensor:
        """The normalised last layer x_BTD. T counted from the cache's length is at most context_window."""
        time = ids_BT.shape[1]
        end = (cache.length if cache else 0) + time
        if end > self.shape.context_window:
            raise ValueError(f"{end} positions do not fit in a context window of {self.shape.context_window}")
        positions = cache.begin(time) if cache else slice(0, time)
        cos_TR, sin_TR = self.cos_TR[positions], self.sin_TR[positions]
        x_BTD = dropout(self.embedding(ids_BT), self.shape.dropout, self.training)
        for block in self.blocks:
            x_BTD = self.through(block, x_BTD, cos_TR, sin_TR, cache)
        if cache:
            cache.advance(time)
        normed_BTD: Tensor = self.final_norm(x_BTD)
        return normed_BTD

    def through(
        self, block: nn.Module, x_BTD: Tensor, cos_TR: Tensor, sin_TR: Tensor, cache: KeyValueCache | None
    ) -> Tensor:
        """block(x). With `recompute`, a training step keeps x alone and computes the block a second time in
        the backward pass: same bits, dropout's masks among them (Chen et al. 2016, section 4.1,
        https://arxiv.org/abs/1604.06174). Measured on a CPU for 12 blocks of width 256, 4,096 tokens, dropout
        0.1, fp32: 1.7 GB above an idle process become 0.5, a step takes a quarter longer.
        """
        if self.recompute and self.training:
            drawing = self.shape.dropout > 0
            again: Tensor = checkpoint(
                block, x_BTD, cos_TR, sin_TR, cache, use_reentrant=False, preserve_rng_state=drawing
            )
            return again
        y_BTD: Tensor = block(x_BTD, cos_TR, sin_TR, cache)
        return y_BTD

    def forward(self, ids_BT: Tensor, cache: KeyValueCache | None = None) -> Tensor:
        """logits_BTV: row t scores the token after ids[:, t] and depends on ids[:, : t + 1] alone."""
        return F.linear(self.hidden(ids_BT, cache), self.embedding.weight)

    def loss(self, ids_BT: Tensor, targets_BT: Tensor) -> Tensor:
        """Summed cross-entropy [nats] of the targets that are not IGNORED; a scalar in fp32."""
        return tied_cross_entropy(self.hidden(ids_BT), self.embedding.weight, targets_BT)

    def token_losses(self, ids_BT: Tensor, targets_BT: Tensor) -> Tensor:
        """nats_BT: the terms of `loss`, 0 for IGNORED targets. For evaluation: it keeps no gradient."""
        return tied_token_losses(self.hidden(ids_BT), self.embedding.weight, targets_BT)

    def parameter_count(self) -> int:
        """Trained numbers; the tied embedding counts once."""
        return sum(parameter.numel() for parameter in self.parameters())
