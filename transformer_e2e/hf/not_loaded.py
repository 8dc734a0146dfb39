"""What to say of a model or tokenizer that cannot be loaded by its name."""

from __future__ import annotations

from pathlib import Path

from transformer_e2e.data.hub_text import fault
from transformer_e2e.errors import nearest


def not_loaded(flag: str, name: str, error: Exception, works: str) -> str:
    """Whose fault it is, and what works instead."""
    path = Path(name).expanduser()
    if not path.exists() and (name.startswith((".", "/", "~")) or name.count("/") > 1):
        around = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        return f"--{flag}={name}: there is no such folder{nearest(path.name, around)}"
    why = (
        fault(error, "transformers") if not path.exists() else (str(error).splitlines() or ["it is empty"])[0]
    )
    return f"--{flag}={name} cannot be loaded: {why}. Without the hub: {works}"
