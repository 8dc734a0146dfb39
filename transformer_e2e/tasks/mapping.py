"""Questions as a table of examples, worked out in several processes if asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from transformer_e2e.data.questions import Question

if TYPE_CHECKING:
    from datasets import Dataset

LONG = (
    1000  # questions; fewer are done before a progress bar could be read, and `infer` has many small tables
)


def map_questions(
    questions: Sequence[Question],
    function: Callable[..., dict[str, Any]],
    *,
    desc: str,
    workers: int,
    **options: Any,
) -> Dataset:
    """The columns that `function` gives, in the order of the questions; `options` are Dataset.map's."""
    from datasets import Dataset

    rows = Dataset.from_list([question.as_row() for question in questions])
    with _bar_shown(len(rows) >= LONG):
        return rows.map(
            function,
            remove_columns=rows.column_names,
            num_proc=workers if workers > 1 else None,
            desc=desc,
            **options,
        )


@contextmanager
def _bar_shown(shown: bool) -> Iterator[None]:
    from datasets.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    change = not shown and not are_progress_bars_disabled()
    if change:
        disable_progress_bars()
    try:
        yield
    finally:
        if change:
            enable_progress_bars()
