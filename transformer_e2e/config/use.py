"""Settings of the commands that use a trained Hugging Face model: judge it, or apply it to texts."""

from __future__ import annotations

from dataclasses import dataclass

from transformer_e2e.config.model_choice import ModelChoice
from transformer_e2e.config.option import option


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings(ModelChoice):
    """One evaluation. Without a data set it is made on the one that the model was trained with."""

    EXCLUSIVE = (*ModelChoice.EXCLUSIVE, ("dataset_name", "data_file"))

    dataset_name: str | None = option(
        None,
        "a data set on the hub, a folder written by save_to_disk, or python-docs, python-docstrings, "
        "python-docs-qa (None: that of the training)",
        counts=False,
    )
    dataset_config_name: str | None = option(None, "configuration of a data set on the hub", counts=False)
    dataset_revision: str | None = option(
        None, "commit or tag of a data set on the hub (None: its newest)", counts=False
    )
    data_file: str | None = option(
        None, "examples with their truth: .txt, .csv, .tsv, .json or .jsonl", counts=False
    )
    split: str | None = option(
        None, "train, validation, test or the data set's own name of a split (None: validation)", counts=False
    )
    text_column_names: str | None = option(
        None, "columns that hold what the model's text columns held, in their order", counts=False
    )
    label_column_name: str | None = option(None, "column that holds the label", counts=False)
    max_samples: int | None = option(
        None,
        "most examples (None: as many as the evaluations of the training took)",
        counts=False,
        minimum=1,
    )
    batch_size: int | None = option(
        None,
        "examples at a time (None: as in the evaluations of the training, else 16)",
        counts=False,
        minimum=1,
        maximum=4096,
    )
    json: bool = option(False, "a JSON object instead of a table", counts=False)

    def problems(self) -> list[str]:
        found = []
        if self.data_file is not None and self.split is not None:
            found.append("--split and --data_file exclude each other: all of a file is taken")
        if self.dataset_name is None:
            found += [
                f"--{name} is of a data set on the hub: give --dataset_name too"
                for name in ("dataset_config_name", "dataset_revision")
                if getattr(self, name) is not None
            ]
        return found


@dataclass(frozen=True, kw_only=True)
class InferenceSettings(ModelChoice):
    """What to apply a model to. Without texts and without a file, standard input is read."""

    EXCLUSIVE = (*ModelChoice.EXCLUSIVE, ("text", "file"))

    text: tuple[str, ...] = option(
        (), "as the argument TEXT, for texts that begin with a dash; may be given several times", counts=False
    )
    context: str | None = option(
        None, "second text of every input: what all the questions are about", counts=False
    )
    file: str | None = option(
        None,
        "inputs: .txt with one a line, or .csv, .tsv, .json, .jsonl with the model's columns; - is standard "
        "input with one a line, as text or as a JSON object",
        counts=False,
    )
    text_column_names: str | None = option(
        None, "columns of the file that hold what the model's text columns held, in their order", counts=False
    )
    batch_size: int = option(16, "inputs at a time", counts=False, minimum=1, maximum=4096)
    json: bool = option(False, "one JSON object a line instead of text", counts=False)
