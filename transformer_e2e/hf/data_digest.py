"""Whether the examples are still those that a training began with."""

from __future__ import annotations

import torch
from torch import Tensor

from transformer_e2e.compute.certificate import digest_json, digest_tensors
from transformer_e2e.hf.prepared import Prepared

SAMPLES = (
    16  # of each set, evenly spread: a change of the text, the tokenizer or the masks shows in any of them
)


def data_digest(prepared: Prepared) -> str:
    """SHA-256 of the number of examples of both sets, and of a few of them as the model gets them."""
    parts = []
    for examples in (prepared.train, prepared.evaluation):
        count = len(examples)
        chosen = min(SAMPLES, count)
        places = [number * count // chosen for number in range(chosen)]
        batch = prepared.collate([examples[place] for place in places]) if places else {}
        tensors = {name: value for name, value in batch.items() if isinstance(value, Tensor)}
        parts.append(digest_tensors(tensors | {"number of examples": torch.tensor(count)}))
    return digest_json(parts)
