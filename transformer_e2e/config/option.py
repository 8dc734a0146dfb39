"""What a settings field knows about itself: its help, its range, and whether it changes the result.

One dataclass field is one flag, one sweep parameter and one key of config.yml (in upper case).
"""

from __future__ import annotations

from dataclasses import Field, dataclass, field, fields
from typing import Any

from transformer_e2e.errors import nearest


@dataclass(frozen=True)
class Rule:
    """The values a field accepts: a closed interval, unless a side is open or None (no bound)."""

    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None  # exclusive lower bound
    below: float | None = None  # exclusive upper bound
    choices: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The rule as `--help` shows it; empty if everything is accepted."""
        bounds = (
            ("at least", self.minimum),
            ("greater than", self.above),
            ("at most", self.maximum),
            ("less than", self.below),
        )
        return " and ".join(f"{words} {_plain(bound)}" for words, bound in bounds if bound is not None)

    def problem(self, name: str, value: Any) -> str | None:
        """Why `--name=value` is refused, or None. The text ends with a value that works."""
        if self.choices and value not in self.choices:
            hint = nearest(str(value), self.choices)
            return f"--{name}={value} is not one of {', '.join(self.choices)}{hint}"
        if self.minimum is not None and value < self.minimum:
            return f"--{name}={value} must be at least {_plain(self.minimum)}"
        if self.maximum is not None and value > self.maximum:
            return f"--{name}={value} must be at most {_plain(self.maximum)}"
        if self.above is not None and not value > self.above:
            return f"--{name}={value} must be greater than {_plain(self.above)}"
        if self.below is not None and not value < self.below:
            return f"--{name}={value} must be less than {_plain(self.below)}"
        return None


def _plain(bound: float) -> str:
    """2147483647 and not 2.14748e+09; 0.5 as it is."""
    return f"{bound:,}" if isinstance(bound, int) else f"{bound:g}"


def option(default: Any, help: str, *, counts: bool = True, **rule: Any) -> Any:
    """A settings field. `counts`: it changes the result, so it belongs to the trial's identity."""
    return field(default=default, metadata={"help": help, "counts": counts, "rule": Rule(**rule)})


def range_problems(settings: Any) -> list[str]:
    """The problems of each field taken alone; rules over several fields are the class's own."""
    found = []
    for item in fields(settings):
        value = getattr(settings, item.name)
        if value is not None and "rule" in item.metadata:
            problem = item.metadata["rule"].problem(item.name, value)
            if problem:
                found.append(problem)
    return found


def counted(settings: Any) -> dict[str, Any]:
    """The fields that decide the result, by name."""
    return {item.name: getattr(settings, item.name) for item in fields(settings) if is_counted(item)}


def is_counted(item: Field[Any]) -> bool:
    return bool(item.metadata.get("counts", False))
