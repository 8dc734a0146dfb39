"""Muon: every hidden matrix moves by an orthogonal matrix, all else as AdamW moves it.

Sources: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/ (momentum, Newton-Schulz);
Liu et al. 2025, equation 4, https://arxiv.org/abs/2502.16982 (decay, and the scale at which learning rate
and decay mean what they mean for AdamW).
Shape letters: M matrices of one shape, R rows, C columns.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

MUON_STATE = "momentum"
UPDATE_RMS = 0.2  # of a number of AdamW's update, measured in section 2.2 of Liu et al.
# Of X, X X^T X and X (X^T X)^2 in one iteration: singular values from 0.002 to 1 end near 1 after five.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
SMALLEST_NORM = 1e-7  # a matrix of zeros stays one
# Matrices that are several linear maps stacked by rows; each is made orthogonal on its own.
STACKED = {"qkv.weight": 3, "gate_up.weight": 2}


class Muon(torch.optim.Optimizer):
    """Muon for the matrices inside blocks, `adamw` for the parameters that it was made for.

    The state of a matrix is its `momentum`, in fp32. Equal gradients give equal bits, so ranks that share
    their gradients stay equal.
    """

    def __init__(
        self,
        matrices: dict[str, nn.Parameter],
        adamw: torch.optim.AdamW,
        *,
        momentum: float,
        decay: float,
        kind: torch.dtype,
    ) -> None:
        group = {"params": list(matrices.values()), "weight_decay": decay, "momentum": momentum}
        super().__init__([group], {"lr": adamw.defaults["lr"]})
        self.parts = {parameter: parts_in(name) for name, parameter in matrices.items()}
        self.kind = kind  # of the products that make a matrix orthogonal
        self.adamw = adamw
        self.adamw.state = self.state  # one state and one list of groups for those who save or schedule
        self.param_groups += adamw.param_groups

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update from the gradients; parameters without one stay."""
        self.adamw.step()
        group = self.param_groups[0]
        moved = [parameter for parameter in group["params"] if parameter.grad is not None]
        directions = [part for p in moved for part in self.direction(p, p.grad, group["momentum"])]
        targets = [part for p in moved for part in p.chunk(self.parts[p])]
        torch._foreach_mul_(moved, 1 - group["lr"] * group["weight_decay"])
        for target, update in zip(targets, orthogonal(directions, self.kind), strict=True):
            target.add_(update, alpha=-group["lr"] * UPDATE_RMS * max(target.shape) ** 0.5)

    def direction(self, parameter: nn.Parameter, gradient: Tensor, momentum: float) -> tuple[Tensor, ...]:
        """Nesterov's mean of the gradients, part by part; counts the gradient into the momentum."""
        state = self.state[parameter]
        if MUON_STATE not in state:
            state[MUON_STATE] = torch.zeros_like(parameter)
        mean = state[MUON_STATE].lerp_(gradient, 1 - momentum)
        return gradient.lerp(mean, momentum).chunk(self.parts[parameter])


def parts_in(name: str) -> int:
    return next((parts for ending, parts in STACKED.items() if name.endswith(ending)), 1)


def orthogonal(matrices: list[Tensor], kind: torch.dtype) -> list[Tensor]:
    """U V^T (nearly) for each matrix U S V^T, in the type `kind`; equal shapes go together."""
    found = list(matrices)
    for shape in dict.fromkeys(matrix.shape for matrix in matrices):
        places = [place for place, matrix in enumerate(matrices) if matrix.shape == shape]
        made_MRC = newton_schulz([matrices[place] for place in places], kind)
        for place, made in zip(places, made_MRC.unbind(), strict=True):
            found[place] = made
    return found


def newton_schulz(matrices: list[Tensor], kind: torch.dtype) -> Tensor:
    """x_MRC in `kind`: all singular values of each matrix brought near 1, its singular vectors kept.

    Small singular values grow by up to 500, and errors with them: ranks that sum a batch in another order
    stay within 1e-5 of each other's losses in fp32, and not in bf16.
    """
    a, b, c = COEFFICIENTS
    norms_M = torch.stack(torch._foreach_norm(matrices)) + SMALLEST_NORM
    x_MRC = torch.stack([matrix.to(kind) for matrix in matrices])
    x_MRC /= norms_M.to(kind)[:, None, None]
    tall = x_MRC.shape[1] > x_MRC.shape[2]  # the smaller of the two Gram matrices is taken
    for _ in range(ITERATIONS):
        gram = x_MRC.mT @ x_MRC if tall else x_MRC @ x_MRC.mT
        factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        factor.diagonal(dim1=1, dim2=2).add_(a)
        x_MRC = x_MRC @ factor if tall else factor @ x_MRC
    return x_MRC
