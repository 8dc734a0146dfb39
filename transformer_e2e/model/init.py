"""The weights a decoder starts with."""

from __future__ import annotations

import torch
from torch import nn

EMBEDDING_STD = 0.02


@torch.no_grad()
def initialise(model: nn.Module) -> None:
    """Fill every weight from torch's CPU generator, in the order of definition.

    Matrices: normal, standard deviation 1 / sqrt(fan-in), so that outputs have the scale of inputs.
    The two matrices of a block that write to the residual stream: 0, so that at the start every block lets
    the stream pass (Yang et al. 2022, appendix D.2, https://arxiv.org/abs/2203.03466).
    Embedding: normal, 0.02: as the output matrix it then gives nearly equal logits at the start.
    Norm gains: 1.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            if name.endswith(("attention.out", "mlp.down")):
                module.weight.zero_()
            else:
                module.weight.normal_(0.0, module.in_features**-0.5)
        elif isinstance(module, nn.Embedding):
            module.weight.normal_(0.0, EMBEDDING_STD)
        elif isinstance(module, nn.RMSNorm):
            module.weight.fill_(1.0)
