"""Tables as people bring them: what cannot be learnt from is refused in words, the rest works."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from tests.hf_arguments import arguments as all_arguments
from tests.unit.test_tasks_schema import TEXTS, cycle, infer
from tests.unit.test_tasks_tables import arguments, quiet, write
from transformer_e2e.data.tables import load_table, load_tables
from transformer_e2e.errors import ConfigError, DataError
from transformer_e2e.tasks import mlm
from transformer_e2e.tasks.classification import open_task

FEATURES = Features({"text": Value("string"), "label": Value("int64")})


def saved(folder: Path, **splits: int) -> Path:
    """A folder with so many rows in each split."""
    made = {
        name: Dataset.from_dict(
            {"text": [f"text {n}" for n in range(rows)], "label": [n % 2 for n in range(rows)]},
            features=FEATURES,
        )
        for name, rows in splits.items()
    }
    DatasetDict(made).save_to_disk(str(folder / "saved"))
    return folder / "saved"


def test_named_classes_of_which_there_is_one_are_refused() -> None:
    with pytest.raises(DataError, match="holds only the label only; there must be two or more"):
        infer({"text": TEXTS, "label": cycle(0)}, {"label": ClassLabel(names=["only"])})


def test_a_metric_of_the_other_kind_of_label_is_refused_before_anything_begins(tmp_path: Path) -> None:
    rows = "text,score\n" + "".join(f"text {n},{n / 7}\n" for n in range(40))
    changes: dict[str, Any] = {"train_file": str(write(tmp_path / "a.csv", rows)), "metric": "eval_f1"}
    with pytest.raises(ConfigError, match="=eval_f1 is not measured by a regression, which gives loss, mse"):
        open_task(all_arguments(task="classification", **changes), quiet)
    open_task(all_arguments(task="classification", **{**changes, "metric": "r2"}), quiet)
    with pytest.raises(ConfigError, match=r"--label_smoothing_factor=.* is for classes"):
        open_task(
            all_arguments(task="classification", **{**changes, "metric": None, "smoothing": 0.1}), quiet
        )


def test_labels_that_are_lists_are_named_in_the_refusal() -> None:
    with pytest.raises(DataError, match="labels holds lists or objects; one label for each example works"):
        infer({"text": TEXTS, "labels": cycle(["a", "b"], ["a"])})


def test_a_saved_split_without_rows_is_told_by_its_name(tmp_path: Path) -> None:
    data = arguments(dataset_name=saved(tmp_path, train=20, validation=0, test=5))
    with pytest.raises(DataError, match="no examples in its split validation; without that split, a share"):
        load_tables(data, seed=0, say=quiet)
    assert len(load_table(data, "test", quiet)) == 5  # which evaluate can use all the same


def test_a_log_gets_no_progress_bars(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = saved(tmp_path, train=20)
    datasets.enable_progress_bars()
    capfd.readouterr()
    found = load_tables(arguments(dataset_name=folder), seed=0, say=quiet)
    found.train.map(lambda row: row, keep_in_memory=True, load_from_cache_file=False)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("task", ["mlm", "clm"])
def test_the_end_of_a_book_in_one_line_is_held_out(tmp_path: Path, task: str) -> None:
    words = " ".join(f"word{n}" for n in range(1000))
    data = arguments(task, train_file=write(tmp_path / "book.txt", words))
    found = load_tables(data, seed=0, say=quiet)
    train, validation = found.train["text"][0], found.validation["text"][0]
    assert train + validation == words and train.endswith(" ")
    assert 0.04 * len(words) < len(validation) < 0.06 * len(words)
    assert found.validation_split == "5% of train"
    assert load_table(data, "validation", quiet)["text"][:] == [validation]


def test_a_text_that_is_too_short_for_any_block_is_refused_as_such(tmp_path: Path) -> None:
    changes = {"train_file": str(write(tmp_path / "a.txt", "a" * 500)), "cache_dir": str(tmp_path)}
    with pytest.raises(DataError, match=r"--block_size=8, but the training text .* tokens; give more text"):
        mlm.open_task(all_arguments(task="mlm", vocab_size=300, block_size=8, **changes), quiet)


def test_the_column_that_is_read_as_running_text_is_said(tmp_path: Path) -> None:
    rows = "".join(f'{{"body": "{"some words " * 60}{n}", "title": "t"}}\n' for n in range(20))
    said: list[str] = []
    changes: dict[str, Any] = {
        "train_file": str(write(tmp_path / "a.jsonl", rows)),
        "cache_dir": str(tmp_path),
    }
    mlm.open_task(all_arguments(task="mlm", vocab_size=300, block_size=16, **changes), said.append)
    assert "text: body" in said
