"""Pages of a list, as GraphQL connections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformer_e2e.server.wire import Refusal


def page(items: Sequence[Any], first: int | None = None, after: str | None = None) -> dict[str, Any]:
    """The `first` items (None: all) behind the cursor `after` (None or "": from the start).

    A cursor is the position of its item, so a list that grows at its end is seen whole. Raises Refusal 400.
    """
    try:
        start = int(after) + 1 if after else 0
        size = len(items) if first is None else max(0, int(first))
    except (TypeError, ValueError):
        raise Refusal(400, f"after={after!r} and first={first!r} must be a cursor and a number") from None
    edges = [
        {"node": item, "cursor": str(start + index)} for index, item in enumerate(items[start : start + size])
    ]
    return {
        "edges": edges,
        "total_count": len(items),
        "page_info": {
            "start_cursor": str(start) if edges else None,
            "end_cursor": edges[-1]["cursor"] if edges else None,
            "has_next_page": start + size < len(items),
            "has_previous_page": start > 0,
        },
    }
