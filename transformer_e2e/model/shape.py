"""What decides the shape of every weight: two decoders of equal shape can exchange their weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from transformer_e2e.config.settings import ModelSettings
from transformer_e2e.errors import CheckpointError

NORM_EPSILON = 1e-5  # of every RMSNorm
MLP_MULTIPLE = 32  # bf16 matrix tiles are 32 channels wide; other widths leave part of a tile idle

# What a model was whose file does not name the field: it was written before there was a choice.
ADDED_LATER = {"qk_norm": False}


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """The decoder's sizes, with nothing left to be derived. Lengths in tokens, widths in channels."""

    vocab_size: int
    context_window: int
    num_layers: int
    num_heads: int
    model_dim: int
    mlp_dim: int
    dropout: float = 0.0
    rope_theta: float = 10_000.0
    qk_norm: bool = False

    @property
    def head_dim(self) -> int:
        return self.model_dim // self.num_heads

    @classmethod
    def of(cls, settings: ModelSettings, vocab_size: int, context_window: int) -> ModelShape:
        """The shape that `settings` mean for this vocabulary; `mlp_dim=0` becomes 8/3 of the width."""
        return cls(
            vocab_size=vocab_size,
            context_window=context_window,
            num_layers=settings.num_layers,
            num_heads=settings.num_heads,
            model_dim=settings.model_dim,
            mlp_dim=settings.mlp_dim or default_mlp_dim(settings.model_dim),
            dropout=settings.dropout,
            rope_theta=settings.rope_theta,
            qk_norm=settings.qk_norm,
        )

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ModelShape:
        """The shape that `to_json` wrote, now or before a field of ADDED_LATER was there.

        Raises CheckpointError, naming every field that is missing or unknown.
        """
        values = {**ADDED_LATER, **values}
        known = {item.name for item in fields(cls)}
        if set(values) != known:
            missing, unknown = sorted(known - set(values)), sorted(set(values) - known)
            raise CheckpointError(f"not a model's shape: missing {missing}, unknown {unknown}")
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def default_mlp_dim(model_dim: int) -> int:
    """8/3 of the width, rounded up: three gated matrices then hold what two of 4x the width would.

    Source: Shazeer 2020, section 3, https://arxiv.org/abs/2002.05202.
    """
    exact = -(-8 * model_dim // 3)
    return -(-exact // MLP_MULTIPLE) * MLP_MULTIPLE
