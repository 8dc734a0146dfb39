"""Settings of the from-scratch language model, grouped by what they decide.

Every field is one flag (`--learning_rate`), one sweep parameter and one key of config.yml
(`LEARNING_RATE`). A field marked `counts` changes the result and so belongs to the trial's identity.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from transformer_e2e.config.option import counted, option, range_problems

OPTIMIZERS = ("adamw", "muon")
SCHEDULES = ("cosine", "linear", "constant", "wsd")
PRECISIONS = ("fp32", "bf16")
DEVICES = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """The text, its tokens, and how they are cut into training windows."""

    dataset: str = option(
        "python-docs",
        "python-docs (made from this interpreter's documentation), a text file or a folder of .txt "
        "files, a folder written by save_to_disk, or a Hugging Face data set such as Salesforce/wikitext",
    )
    dataset_config: str | None = option(
        None, "configuration of a Hugging Face data set, e.g. wikitext-2-raw-v1"
    )
    dataset_revision: str | None = option(None, "commit or tag of a Hugging Face data set (None: its newest)")
    text_column: str = option("text", "column that holds the text of a data set")
    tokenizer: str = option(
        "bpe:2048", "bytes, bpe:N (N token ids, trained on the training split), or a Hugging Face tokenizer"
    )
    context_window: int = option(128, "tokens in one training sequence", minimum=2, maximum=1_048_576)
    validation_fraction: float = option(
        0.05,
        "share of the text held out, in whole documents, where the data set has no validation split",
        above=0,
        below=0.9,
    )


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """The decoder's shape, without the vocabulary that the tokenizer decides."""

    num_layers: int = option(4, "Transformer blocks", minimum=1)
    num_heads: int = option(4, "attention heads in each block", minimum=1)
    model_dim: int = option(
        128, "width of the residual stream [channels]; a multiple of 2 * num_heads", minimum=2
    )
    mlp_dim: int = option(
        0, "hidden width of the gated MLP [channels]; 0: 8/3 of model_dim, rounded up to 32", minimum=0
    )
    dropout: float = option(
        0.0, "drop probability of attention, MLP and embedding outputs", minimum=0, below=1
    )
    rope_theta: float = option(10_000.0, "base of the rotary frequencies", above=0)
    qk_norm: bool = option(False, "normalise queries and keys (RMSNorm over each head) before the rotation")


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """The optimisation: what is done at each step, and for how many."""

    batch_size: int = option(8, "sequences in one forward pass", minimum=1)
    gradient_accumulation: int = option(1, "forward passes summed into one optimizer step", minimum=1)
    max_steps: int = option(800, "optimizer steps to train for", minimum=1)
    optimizer: str = option(
        "muon", "adamw, or muon for the matrices inside blocks and adamw for the rest", choices=OPTIMIZERS
    )
    learning_rate: float = option(
        2e-2, "peak learning rate; adamw alone wants about a fifth of what muon wants", above=0
    )
    schedule: str = option("cosine", "learning rate after the warm-up", choices=SCHEDULES)
    warmup_steps: int = option(40, "steps of linear warm-up from 0", minimum=0)
    min_lr_ratio: float = option(
        0.1, "learning rate at the end, as a share of the peak", minimum=0, maximum=1
    )
    decay_fraction: float = option(0.2, "share of max_steps in which wsd decays", above=0, maximum=1)
    weight_decay: float = option(0.1, "decay of matrices; vectors are never decayed", minimum=0)
    beta1: float = option(0.9, "AdamW's decay of the first moment", minimum=0, below=1)
    beta2: float = option(0.95, "AdamW's decay of the second moment", minimum=0, below=1)
    momentum: float = option(0.9, "Muon's decay of the mean gradient", minimum=0, below=1)
    max_grad_norm: float = option(1.0, "gradients are scaled down to this norm; 0: never", minimum=0)
    eval_interval: int = option(100, "steps between evaluations (one is a Hyperband iteration)", minimum=1)
    eval_windows: int = option(
        0,
        "validation windows that eval/loss is measured on; 0: all. The last evaluation also measures all",
        minimum=0,
    )
    patience: int = option(0, "evaluations without a better loss before stopping; 0: never", minimum=0)
    seed: int = option(1, "of weights, dropout and data order", minimum=0, maximum=2**31 - 1)
    precision: str = option(
        "fp32",
        "fp32, or matrix products under bf16 autocast: quicker where the machine has bf16 instructions",
        choices=PRECISIONS,
    )
    compile: bool = option(
        False,
        "compile the training step at the first step of each attempt: quicker steps after a start that takes "
        "longer (changes the last bits of a result)",
    )
    threads: int = option(
        0,
        "CPU threads, of all processes of a torchrun together; 0: one for each core at the first start "
        "(torchrun: one for each process), kept by every later attempt (the count can change the last bits "
        "of a result)",
        minimum=0,
    )


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Where and how a trial runs; nothing here changes its result."""

    run_name: str | None = option(None, "replaces the readable part of the run ID", counts=False)
    run_prefix: str | None = option(
        None,
        "first word of the run ID (None: single alone, tune in a sweep); env WANDB_RUN_PREFIX",
        counts=False,
    )
    device: str = option("auto", "auto takes cuda, then mps, then cpu", counts=False, choices=DEVICES)
    gradient_checkpointing: bool = option(
        False,
        "compute each block again in the backward pass instead of keeping its insides: less memory, slower "
        "steps, the same result",
        counts=False,
    )
    log_interval: int = option(10, "steps between two logged training losses", counts=False, minimum=1)
    checkpoint_interval: int = option(
        100, "steps between two checkpoints; 0: only at the end", counts=False, minimum=0
    )
    keep_checkpoints: int = option(2, "newest checkpoints kept beside the best", counts=False, minimum=1)
    disk_budget: float = option(
        0.0,
        "most that all of checkpoint_dir may hold, shared by all its trials [GB]; 0: no limit. What is "
        "spare goes first, then checkpoints are refused",
        counts=False,
        minimum=0,
    )
    upload: bool = option(
        True, "upload the best model as an artifact, then delete local weights", counts=False
    )
    upload_pruned: bool = option(False, "also upload the model of a pruned trial", counts=False)
    keep_local: bool = option(False, "keep local weights after the upload is verified", counts=False)
    force: bool = option(
        False, "train again although the completion record says that it is done", counts=False
    )
    no_wait: bool = option(
        False, "exit 75 instead of waiting when another attempt holds the trial", counts=False
    )
    project: str | None = option(
        None, "W&B project (None: WANDB_PROJECT, else transformer-e2e)", counts=False
    )
    entity: str | None = option(None, "W&B entity (None: WANDB_ENTITY, else the key's own)", counts=False)
    checkpoint_dir: str = option("model_checkpoints", "folder of trials and completion records", counts=False)
    cache_dir: str = option("data_snapshots", "folder of corpora, tokenizers and tokens", counts=False)
    plot_dir: str = option("training_plots", "folder of pictures", counts=False)
    log_file: str | None = option(None, "also write the console's messages to this file", counts=False)


@dataclass(frozen=True)
class Settings:
    """All settings of one from-scratch trial. Raises nothing; see `problems`."""

    data: DataSettings = field(default_factory=DataSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    run: RunSettings = field(default_factory=RunSettings)

    def problems(self) -> list[str]:
        """Every rule that is broken, one sentence each."""
        found = [problem for group in self.groups() for problem in range_problems(group)]
        model, train = self.model, self.train
        if model.num_heads >= 1 and (rest := model.model_dim % (2 * model.num_heads)):
            works = model.model_dim - rest + 2 * model.num_heads
            found.append(
                f"--model_dim={model.model_dim} is not a multiple of 2 * --num_heads={model.num_heads} "
                f"(rotary positions pair channels); the next width that works is {works}"
            )
        if train.warmup_steps > train.max_steps:
            found.append(
                f"--warmup_steps={train.warmup_steps} is more than --max_steps={train.max_steps}; "
                f"at most {train.max_steps} works"
            )
        if train.compile and self.run.gradient_checkpointing:
            found.append(
                "--compile and --gradient_checkpointing exclude each other: compiled, blocks computed again "
                "may differ in the last bits, which no setting outside the run ID must change; leave one out"
            )
        return found

    def groups(self) -> tuple[Any, ...]:
        return (self.data, self.model, self.train, self.run)

    def counted(self) -> dict[str, Any]:
        """The settings that decide the result, flat, by name. Plain JSON values."""
        return {name: value for group in self.groups() for name, value in counted(group).items()}

    def flat(self) -> dict[str, Any]:
        """Every setting, flat, by name. Plain JSON values."""
        return {item.name: getattr(group, item.name) for group in self.groups() for item in fields(group)}


GROUPS: dict[str, type[Any]] = {
    "data": DataSettings,
    "model": ModelSettings,
    "train": TrainSettings,
    "run": RunSettings,
}
