"""The weights a decoder starts with."""

from __future__ import annotations

import torch
from torch import nn

EMBEDDING_STD = 0.02


@torch.no_grad()
def initialise(model: nn.Module, num_layers: int) -> None:
    """Fill every weight from torch's CPU generator, in the order of definition.

    Matrices: normal, standard deviation 1 / sqrt(fan-in), so that outputs have the scale of inputs.
    The two matrices of a block that write to the residual stream: that times 1 / sqrt(2 * num_layers),
    so that the stream's variance does not grow with depth (Radford et al. 2019, section 2.3).
    Embedding: normal, 0.02: as the output matrix it then gives nearly equal logits at the start.
    Norm gains: 1.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            std = module.in_features**-0.5
            if name.endswith(("attention.out", "mlp.down")):
                std *= (2 * num_layers) ** -0.5
            module.weight.normal_(0.0, std)
        elif isinstance(module, nn.Embedding):
            module.weight.normal_(0.0, EMBEDDING_STD)
        elif isinstance(module, nn.RMSNorm):
            module.weight.fill_(1.0)
