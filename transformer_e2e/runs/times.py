"""Times as people read them."""

from __future__ import annotations

from datetime import datetime


def clock(seconds: float) -> str:
    """`75` -> `1:15`, `3725` -> `1:02:05`, from two days on `2 d 3 h`."""
    whole = round(seconds)
    if whole >= 172_800:
        return f"{whole // 86_400} d {whole % 86_400 // 3600} h"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def local_time(text: str) -> str:
    """`2026-11-22 03:12` on this machine's clock; the text itself if it is no ISO time."""
    try:
        return f"{datetime.fromisoformat(text).astimezone():%Y-%m-%d %H:%M}"
    except ValueError:
        return text
