"""What a sweep's YAML says, checked once when it arrives and read again at each heartbeat."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import yaml

from transformer_e2e.search import size, spec
from transformer_e2e.server.wire import Refusal

CLIENT_SIDE = ("controller", "scheduler")  # searches that W&B can run in a client


@dataclass(frozen=True)
class Definition:
    """A sweep's YAML with numbers for numbers. `config` is shared by all readers: not to be changed."""

    config: dict[str, Any]

    @property
    def method(self) -> str:
        return str(self.config.get("method", ""))

    @property
    def program(self) -> str:
        """What `${program}` of the command stands for; empty where the command names no program."""
        return str(self.config.get("program") or "")

    @property
    def metric(self) -> str | None:
        """The name of the number to be optimised, or None: the search looks at no results."""
        metric = self.config.get("metric")
        return str(metric["name"]) if isinstance(metric, dict) and "name" in metric else None

    @property
    def maximize(self) -> bool:
        metric = self.config.get("metric")
        return isinstance(metric, dict) and metric.get("goal") == "maximize"

    @property
    def stops_early(self) -> bool:
        return bool(self.config.get("early_terminate"))

    @cached_property
    def expected_runs(self) -> int | None:
        """Trials after which the search ends by itself; None: never."""
        return size.point_count(self.config)

    def seed(self, sweep: str) -> int:
        """The search's seed: the YAML's own, or one that follows from the name of the sweep."""
        given = self.config.get("seed")
        return given if isinstance(given, int) else zlib.crc32(sweep.encode())

    def best(self, values: Sequence[float]) -> float | None:
        """The best of finite or infinite `values` in the goal's direction, or None if there is no number."""
        numbers = [value for value in values if value == value]  # NaN is no result
        if not numbers:
            return None
        return max(numbers) if self.maximize else min(numbers)


def check(text: Any) -> list[str]:
    """Warnings about a sweep's YAML. Raises Refusal 400 with every problem where it cannot be searched."""
    raw = _loaded(text)
    if problems := spec.problems(raw):
        raise Refusal(400, "\n".join(["invalid sweep configuration:", *(f"  - {p}" for p in problems)]))
    elsewhere = [
        f"{key!r} is not used: this server does the searching" for key in CLIENT_SIDE if raw.get(key)
    ]
    return spec.warnings(raw) + elsewhere


@lru_cache(maxsize=256)
def parse(text: str) -> Definition:
    """The definition in a YAML text that `check` has accepted."""
    return Definition(spec.normalised(_loaded(text)))


def _loaded(text: Any) -> dict[str, Any]:
    try:
        raw = yaml.safe_load(text) if isinstance(text, str) else None
    except yaml.YAMLError as error:
        raise Refusal(400, f"invalid sweep configuration: not YAML: {error}") from None
    if not isinstance(raw, dict):
        raise Refusal(
            400, "invalid sweep configuration: expected keys such as method and parameters, got none"
        )
    return raw
