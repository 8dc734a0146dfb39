"""Digests that say whether a training state is the one that was saved, part by part."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor


def digest_tensors(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over name, type, shape and bytes of every tensor, in the order of the names."""
    sha = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()


def digest_json(value: Any) -> str:
    """SHA-256 of the value's JSON with sorted keys; floats count by their exact value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def digest_ids(ids: np.ndarray) -> str:
    """SHA-256 of token ids, whatever their integer type."""
    return digest_tensors({"ids": torch.from_numpy(np.ascontiguousarray(ids, dtype=np.int64))})


def differences(recorded: Mapping[str, Any], found: Mapping[str, str]) -> list[str]:
    """The parts of `found` that `recorded` does not certify, by name."""
    return [part for part, digest in found.items() if recorded.get(part) != digest]
