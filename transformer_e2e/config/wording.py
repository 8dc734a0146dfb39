"""Numbers in sentences."""

from __future__ import annotations


def several(count: int | None, noun: str) -> str:
    """`1 step`, `1,200 steps`, `? steps` where the count is not known."""
    if count is None:
        return f"? {noun}s"
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
