"""Models for tests that are about more than a fresh one."""

from __future__ import annotations

import torch

from transformer_e2e.model.decoder import Decoder


@torch.no_grad()
def with_writers(model: Decoder) -> Decoder:
    """The same model with random numbers in the matrices that write to the residual stream.

    In a fresh model they are 0: its blocks do nothing, and a wrong one would go unseen.
    """
    share = (2 * model.shape.num_layers) ** -0.5  # of one writer in the stream
    for name, parameter in model.named_parameters():
        if name.endswith(("attention.out.weight", "mlp.down.weight")):
            parameter.normal_(0.0, share * parameter.shape[1] ** -0.5)
    return model
