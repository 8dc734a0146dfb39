"""What a task hands to the bridge: a model, its examples, and how to judge it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from transformer_e2e.hf.pipeline import Pipeline

if TYPE_CHECKING:
    from transformers import EvalPrediction


class Examples(Protocol):
    """Map-style examples, as `datasets.Dataset` and `torch.utils.data.Dataset` are."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Mapping[str, Any]: ...


Collate = Callable[[Sequence[Mapping[str, Any]]], Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Prepared(Pipeline):
    """`model` is on the CPU, and in fp32."""

    # If it has a method `begin_epoch(epoch)`, the bridge calls it before it fetches an epoch's first batch,
    # also when it resumes an epoch. (Not `set_epoch`, which accelerate calls when it likes.)
    train: Examples
    evaluation: Examples
    # Examples with all their columns -> batch of tensors. A pure function of them: it draws from no
    # generator's state, so that a batch that is fetched early, or again after a kill, is the same one.
    collate: Collate
    # Metrics of an evaluation by name without prefix ("f1"); None: the loss alone.
    metrics: Callable[[EvalPrediction], dict[str, float]] | None = None
    # Logits, labels -> the small part of the logits that `metrics` needs (memory!).
    reduce_logits: Callable[[Any, Any], Any] | None = None
    # Given this and the evaluation's loss: metrics that need more than one pass, by generation; names without
    # prefix. The model is in evaluation mode. Draws from no generator's state.
    more_metrics: Callable[[Pipeline, float], dict[str, float]] | None = None
    split: str = "validation"  # what `evaluation` is made from
