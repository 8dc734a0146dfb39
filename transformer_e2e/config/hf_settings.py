"""What the Hugging Face program takes besides Hugging Face's own TrainingArguments.

Names are those of Hugging Face's example scripts where they have one. A field marked `counts` changes the
result and so belongs to the trial's identity.
"""

from __future__ import annotations

from dataclasses import dataclass

from transformer_e2e.config.option import option
from transformer_e2e.config.settings import DEVICES

TASKS = ("mlm", "clm", "classification", "extractive_qa", "generative_qa")
RUNNING_TEXT = ("mlm", "clm")  # tasks whose rows follow one another and whose examples are blocks, not rows
SHORTEST_BLOCK = 8  # tokens
PROBLEMS = ("auto", "classification", "regression")


def length_setting(task: str) -> str:
    """Which setting says how many tokens an input has."""
    return "block_size" if task in RUNNING_TEXT else "max_seq_length"


@dataclass
class ModelArguments:
    """Which model, and where it and its tokenizer come from."""

    model_name_or_path: str | None = option(
        None, "pretrained model: a name on the hub or a folder (None: from scratch, see model_type)"
    )
    model_type: str | None = option(
        None, "architecture of a model from scratch, e.g. bert, gpt2, bloom (None: the task's own small one)"
    )
    config_name: str | None = option(None, "configuration of a model from scratch: a hub name or a folder")
    config_overrides: str | None = option(
        None, "changes of that configuration: hidden_size=128,num_hidden_layers=2"
    )
    tokenizer_name: str | None = option(
        None, "tokenizer: a hub name or a folder (None: the model's; from scratch: trained on the data)"
    )
    vocab_size: int = option(4096, "token ids of a tokenizer that is trained on the data", minimum=300)
    model_revision: str = option("main", "branch, tag or commit of the model on the hub")
    cache_dir: str = option("data_snapshots", "folder for prepared data and trained tokenizers", counts=False)


@dataclass
class DataArguments:
    """Which examples, and how they become model inputs."""

    task: str = option("mlm", f"one of {', '.join(TASKS)}", choices=TASKS)
    dataset_name: str | None = option(
        None,
        "a data set on the hub, a folder written by save_to_disk, or python-docs, python-docstrings, "
        "python-docs-qa, made from this interpreter's documentation (None: the task's own of these)",
    )
    dataset_config_name: str | None = option(None, "configuration of a data set on the hub")
    dataset_revision: str | None = option(None, "commit or tag of a data set on the hub (None: its newest)")
    train_file: str | None = option(None, "training examples: .txt, .csv, .tsv, .json or .jsonl")
    validation_file: str | None = option(None, "validation examples, as train_file")
    test_file: str | None = option(None, "test examples, as train_file")
    validation_split_percentage: int = option(
        5,
        "share of the training examples held out where there is no validation split [%]",
        minimum=1,
        maximum=50,
    )
    block_size: int = option(128, "tokens in one block of mlm and clm", minimum=SHORTEST_BLOCK)
    max_seq_length: int = option(
        0,
        "tokens in one example of classification and question answering; longer ones are cut or windowed "
        "(0: 512 for generative_qa, 256 for the others)",
        minimum=8,
    )
    pad_to_max_length: bool = option(
        False,
        "pad question answering to max_seq_length, not to the longest of the batch: slower",
    )
    doc_stride: int = option(64, "tokens that two windows of one context share (extractive_qa)", minimum=0)
    max_answer_length: int = option(30, "most tokens of an answer", minimum=1)
    mlm_probability: float = option(0.15, "share of the tokens that mlm predicts", above=0, below=1)
    max_train_samples: int | None = option(None, "most training examples (None: all)", minimum=1)
    max_eval_samples: int | None = option(None, "most validation examples (None: all)", minimum=1)
    text_column_names: str | None = option(
        None, "column of the text, or of two texts: premise,hypothesis (None: inferred)"
    )
    label_column_name: str | None = option(None, "column of the label (None: inferred)")
    problem_type: str = option("auto", "kind of label: auto, classification or regression", choices=PROBLEMS)
    drop_unlabeled: bool = option(False, "leave out examples whose label is missing or -1, with their count")
    preprocessing_num_workers: int = option(1, "processes that tokenise", minimum=1, counts=False)

    def __post_init__(self) -> None:
        if self.max_seq_length == 0:  # here, so that the default and its value are one trial
            self.max_seq_length = 512 if self.task == "generative_qa" else 256

    @property
    def length(self) -> int:
        """Most tokens of one input."""
        return int(getattr(self, length_setting(self.task)))


@dataclass
class RunArguments:
    """The life of the trial. Nothing here changes the result, but `early_stopping_patience`."""

    early_stopping_patience: int = option(
        0, "evaluations without a better metric after which training ends (0: never)", minimum=0
    )
    device: str = option("auto", "auto, cpu, cuda or mps", choices=DEVICES, counts=False)
    checkpoint_dir: str = option("model_checkpoints", "folder of trials and completion records", counts=False)
    plot_dir: str = option("training_plots", "folder of pictures", counts=False)
    log_file: str | None = option(None, "file that gets what the console says", counts=False)
    run_prefix: str | None = option(
        None, "first part of the run ID (None: single, in a sweep tune)", counts=False
    )
    entity: str | None = option(None, "W&B entity (None: the API key's own)", counts=False)
    upload: bool = option(True, "upload the best model as an artifact, then delete it here", counts=False)
    upload_pruned: bool = option(
        False, "upload the model of a trial that the sweep pruned, too", counts=False
    )
    keep_local: bool = option(False, "keep the local weights after the upload", counts=False)
    disk_budget: float = option(
        0.0, "most that checkpoint_dir may hold [GB]; 0: no limit", minimum=0, counts=False
    )
    force: bool = option(False, "train again from step 0 although the trial is done", counts=False)
    no_wait: bool = option(False, "end with 75 if another process works on this trial", counts=False)
