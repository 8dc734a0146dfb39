"""The Hugging Face program as people type it: real processes, a real W&B client and server."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.serving import REPOSITORY, ServerProcess, clean_environment
from tests.unit.test_hf_config_files import FILES, commands

SHAPES = {
    "bert": "hidden_size=32,num_hidden_layers=1,num_attention_heads=2,intermediate_size=64",
    "gpt2": "hidden_size=32,num_hidden_layers=1,num_attention_heads=2",
}


def run(env: dict[str, str], *arguments: str, exit_code: int = 0) -> str:
    """What the program prints, on both streams, unless it ends with another code."""
    done = subprocess.run(
        [sys.executable, "-m", "transformer_e2e.scripts.train_hf", *arguments],
        cwd=REPOSITORY,
        env={**env, "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == exit_code, done.stdout
    return done.stdout


def folders(folder: Path) -> dict[str, str]:
    return {
        "checkpoint_dir": str(folder / "trials"),
        "cache_dir": str(folder / "cache"),
        "plot_dir": str(folder / "plots"),
    }


def flags(**settings: Any) -> list[str]:
    return [f"--{name}={value}" for name, value in settings.items()]


def record(folder: Path) -> dict[str, Any]:
    (path,) = (folder / "trials" / "completion_tracking").glob("*.json")
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def colours(path: Path) -> Path:
    """Questions in SQuAD's nested form, all answerable."""
    paragraphs = []
    for number, (thing, colour) in enumerate([("sky", "blue"), ("grass", "green"), ("rose", "red")] * 8):
        context = f"In the garden the {thing} is {colour} on day {number}."
        answer = {"text": colour, "answer_start": context.index(colour)}
        question = {"id": str(number), "question": f"What colour is the {thing}?", "answers": [answer]}
        paragraphs.append({"context": context, "qas": [question]})
    path.write_text(json.dumps({"version": "1.1", "data": [{"title": "t", "paragraphs": paragraphs}]}))
    return path


def test_a_file_of_arguments_is_a_whole_trial_and_the_same_command_skips_it(
    tmp_path: Path, wandb_server: ServerProcess
) -> None:
    questions = str(colours(tmp_path / "train.json"))
    path = tmp_path / "arguments.yaml"
    settings = {
        "task": "generative_qa",
        "config_overrides": SHAPES["gpt2"],
        "vocab_size": 300,
        "max_seq_length": 64,
        "train_file": questions,
        "validation_file": questions,
        "max_eval_samples": 4,
        "max_steps": 4,
        "bs": 2,
        "lr": "1e-3",
        "wd": 0.01,
        "evaluation_strategy": "epoch",
        "fp16": True,
        "device": "cpu",
        "report_to": "wandb",
        **folders(tmp_path),
    }
    path.write_text(yaml.safe_dump(settings))
    env = wandb_server.env | {"WANDB_PROJECT": "course", "WANDB_WATCH": "all"}
    output = run(env, str(path))

    summary = ast.literal_eval(output.splitlines()[-1])
    assert list(summary) == ["lr", "bs", "wd", "eval_loss", "exact_match", "f1", "runtime"]
    assert (summary["lr"], summary["bs"], summary["wd"]) == (1e-3, 2, 0.01)
    done = record(tmp_path)
    assert summary["eval_loss"] == done["metrics"]["best/eval/loss"] and summary["runtime"] > 0
    for note in (
        "--evaluation_strategy is understood as --eval_strategy",
        "fp16 needs CUDA; on this cpu it is ",
        "WANDB_WATCH=all has no effect",
    ):
        assert f"note: {note}" in output

    assert done["status"] == "cleaned" and done["history_sent"]
    assert done["wandb_run"].split("/")[1] == "course" and done["artifact"].split("/")[1] == "course"
    assert {"config.json", "model.safetensors", "schema.json", "tokenizer.json"} <= set(done["digests"])
    assert not [name for name in done["digests"] if "optimizer" in name or "rng" in name]
    assert not list(tmp_path.glob("trials/*/step-*")), "local weights are gone"
    assert (tmp_path / "plots" / f"{done['run_id']}.png").exists()

    again = run(env, str(path))
    assert f"Run was previously completed: {done['run_id']}" in again
    assert ast.literal_eval(again.splitlines()[-1]) == summary


def test_report_to_none_tells_wandb_nothing_and_keeps_the_model(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("\n\n".join(f"line {n} of a small text" for n in range(200)))
    output = run(
        clean_environment(tmp_path),
        *flags(task="mlm", config_overrides=SHAPES["bert"], vocab_size=300, block_size=16, max_steps=4),
        *flags(train_file=tmp_path / "text.txt", report_to="none", device="cpu", **folders(tmp_path)),
    )
    done = record(tmp_path)
    assert (done["status"], done["artifact"], done["history_sent"]) == ("trained", None, False), output
    (trial,) = (tmp_path / "trials").glob("single_*")
    names = {path.name for path in trial.glob("step-*/*")}
    assert {"config.json", "model.safetensors", "schema.json"} <= names
    assert not (tmp_path / "wandb").exists() and not (REPOSITORY / "wandb").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["--lr=fast", "--tsk=mlm", "--report_to=tensorboard"],
            ["--learning_rate=fast", "unknown flag --tsk; did you mean --task?", "--report_to=tensorboard"],
        ),
        (["--train_file=none.csv", "--task=classification"], ["none.csv"]),
    ],
)
def test_bad_input_ends_with_2_and_leaves_nothing(
    tmp_path: Path, arguments: list[str], expected: list[str]
) -> None:
    # The key is wrong, too: W&B is not asked before the input was looked at.
    env = clean_environment(tmp_path) | {"WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_API_KEY": "0" * 40}
    output = run(env, *flags(**folders(tmp_path)), *arguments, exit_code=2)
    assert all(text in output for text in expected), output
    assert "Traceback" not in output
    assert not (tmp_path / "trials").exists()


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_ready_made_files_run_without_the_hub(tmp_path: Path, path: Path) -> None:
    _, offline = commands(path)
    kind = "gpt2" if ("clm" in path.stem or "bloom" in path.stem) else "bert"
    tiny = flags(config_overrides=SHAPES[kind], vocab_size=500, max_train_samples=40, max_eval_samples=8)
    few = flags(max_steps=3, num_train_epochs=1, report_to="none", device="cpu", **folders(tmp_path))
    output = run(clean_environment(tmp_path), *offline, *tiny, *few)
    assert record(tmp_path)["outcome"] == "finished", output
