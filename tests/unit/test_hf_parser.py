"""The Hugging Face program's command line: names, forms of values, files, and all problems at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from transformer_e2e.errors import ConfigError
from transformer_e2e.hf.parser import Given, TrialArgumentParser, merge

PARSER = TrialArgumentParser()


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RUN_NAME", "WANDB_RUN_PREFIX"):
        monkeypatch.delenv(name, raising=False)


def given(*argv: str) -> Given:
    return merge(*PARSER.read(argv))


def values(*argv: str) -> dict[str, Any]:
    return given(*argv).values


def problems(*argv: str) -> str:
    with pytest.raises(ConfigError) as caught:
        given(*argv)
    return str(caught.value)


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--fp16"], True),
        (["--fp16=True"], True),
        (["--fp16=true"], True),
        (["--fp16", "false"], False),
        (["--fp16=False"], False),
        (["--fp16=0"], False),
        (["--no_fp16"], False),
        (["--no-fp16"], False),
        (["--fp16=None"], False),  # a sweep that holds null means the default
        (["fp16=true"], True),  # ${args_no_hyphens}
        (['{"fp16": true}'], True),  # ${args_json}
        (["--fp16", "--bf16=false"], True),
        ([], False),
    ],
)
def test_booleans_in_every_form_of_wandbs_macros(argv: list[str], expected: bool) -> None:
    assert values(*argv)["fp16"] is expected


def test_a_boolean_that_is_on_can_be_switched_off() -> None:
    assert values("--no_upload")["upload"] is False
    assert values("--upload=false")["upload"] is False
    assert values("--no_dataloader_pin_memory")["dataloader_pin_memory"] is False


@pytest.mark.parametrize(
    ("argv", "name", "expected"),
    [
        (["--lr", "1e-5"], "learning_rate", 1e-5),
        (["--bs=2"], "per_device_train_batch_size", 2),
        (["--bs=2.0"], "per_device_train_batch_size", 2),
        (["--wd", "0.01"], "weight_decay", 0.01),
        (["--epochs=5"], "num_train_epochs", 5.0),
        (["--learning-rate=3e-4"], "learning_rate", 3e-4),
        (["--model_name_or_path=None"], "model_name_or_path", None),
        (["--max_train_samples", "None"], "max_train_samples", None),
        (["--max_train_samples", "1000"], "max_train_samples", 1000),
        (["--eval_steps=None"], "eval_steps", None),
        (["--cache_dir=None"], "cache_dir", "data_snapshots"),
        (["--project=null"], "project", None),
        (["--learning_rate=None"], "learning_rate", 5e-4),
        (["--config_overrides", "hidden_size=128,num_hidden_layers=2"], "config_overrides", None),
        (['--lr_scheduler_kwargs={"num_cycles": 2}'], "lr_scheduler_kwargs", {"num_cycles": 2}),
        (["--lr_scheduler_kwargs={'num_cycles': 2}"], "lr_scheduler_kwargs", {"num_cycles": 2}),
        (["--deepspeed", "zero2.json"], "deepspeed", "zero2.json"),
        (
            ['--deepspeed={"zero_optimization": {"stage": 2}}'],
            "deepspeed",
            {"zero_optimization": {"stage": 2}},
        ),
        (["--report_to", "wandb", "wandb"], "report_to", ["wandb", "wandb"]),
        (["--report_to=['wandb']"], "report_to", ["wandb"]),
        (["--report_to=wandb"], "report_to", ["wandb"]),
        (["--lr_scheduler_type=cosine"], "lr_scheduler_type", "cosine"),
        (["--seed", "7"], "seed", 7),
        (["--include_num_input_tokens_seen=all"], "include_num_input_tokens_seen", "all"),
    ],
)
def test_values_have_the_type_of_their_field(argv: list[str], name: str, expected: Any) -> None:
    if name == "config_overrides":
        expected = "hidden_size=128,num_hidden_layers=2"
    found = values(*argv)[name]
    assert found == expected and type(found) is type(expected)


def test_old_spellings_are_taken_with_a_note() -> None:
    found = given(
        "--evaluation_strategy=epoch", "--overwrite_output_dir", "--warmup_ratio", "0.06", "--no_cuda"
    )
    assert found.values["eval_strategy"] == "epoch"
    assert found.values["warmup_steps"] == 0.06
    assert found.values["use_cpu"] is True
    notes = "\n".join(found.notes)
    assert "--evaluation_strategy is understood as --eval_strategy" in notes
    assert "--overwrite_output_dir has no effect here" in notes and "--force" in notes
    assert given("--output_dir", "elsewhere").values["checkpoint_dir"] == "elsewhere"
    # What every example says says nothing, and earns no note.
    assert given("--do_train", "--do_eval", "--no_overwrite_output_dir").notes == []


def test_every_problem_is_told_at_once_with_what_works() -> None:
    text = problems(
        "--lerning_rate=1",
        "--bs=0",
        "--lr=fast",
        "--eval_strategy=step",
        "--task=mml",
        "--lr_scheduler_kwargs={num_cycles",
        "--push_to_hub",
        "--do_train=false",
        "--max_seq_length=3",
        "--fp16",
        "--bf16",
        "--report_to=tensorboard",
        "stray",
    )
    for expected in (
        "unknown flag --lerning_rate; did you mean --learning_rate?",
        "--per_device_train_batch_size=0 must be at least 1",
        "--learning_rate=fast (flag) takes a number such as 0.001 or 1e-3",
        "--eval_strategy=step (flag) is not one of no, steps, epoch; did you mean steps?",
        "--task=mml is not one of mlm, clm, classification, extractive_qa, generative_qa; did you mean mlm?",
        "--lr_scheduler_kwargs={num_cycles (flag) is not JSON",
        "--push_to_hub is not possible here: the model is uploaded to W&B as an artifact",
        "--do_train=false: this program trains",
        "--max_seq_length=3 must be at least 8",
        "unexpected argument 'stray'",
        "--fp16 and --bf16 exclude each other",
        "--report_to=tensorboard is not possible here; wandb works",
    ):
        assert expected in text, text
    assert text.count("\n  - ") == 12


def test_two_names_of_one_setting_are_a_problem() -> None:
    assert "--lr and --learning_rate are two names of --learning_rate" in problems(
        "--learning_rate=1", "--lr=2"
    )


@pytest.mark.parametrize("suffix", ["yaml", "json"])
def test_a_file_alone_says_everything_and_flags_win_over_it(tmp_path: Path, suffix: str) -> None:
    content = {"task": "clm", "learning_rate": "1e-4", "fp16": True, "bs": 4, "eval_strategy": "no"}
    path = tmp_path / f"arguments.{suffix}"
    path.write_text(json.dumps(content))  # JSON is YAML, too
    found = given(str(path))
    assert found.sources["task"] == str(path)
    assert {name: found.values[name] for name in ("task", "learning_rate", "fp16", "eval_strategy")} == {
        "task": "clm",
        "learning_rate": 1e-4,
        "fp16": True,
        "eval_strategy": "no",
    }
    after = given(
        str(path), "--lr=2e-4", "--no_fp16"
    ).values  # an alias in a flag, the whole name in the file
    assert (after["learning_rate"], after["fp16"], after["task"]) == (2e-4, False, "clm")
    assert given("--fp16=true", "--lr", "3", str(path)).values["learning_rate"] == 3  # wherever it stands


def test_yamls_own_no_is_the_word_no(tmp_path: Path) -> None:
    path = tmp_path / "arguments.yaml"
    path.write_text("eval_strategy: no\nlearning_rate: 1e-4\nmodel_name_or_path:\n")
    found = values(str(path))
    assert (found["eval_strategy"], found["learning_rate"], found["model_name_or_path"]) == ("no", 1e-4, None)


def test_a_file_that_is_wrong_is_told_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "arguments.json"
    path.write_text('{"lerning_rate": 1}')
    assert f"{path}: unknown name lerning_rate; did you mean learning_rate?" in problems(str(path))
    path.write_text('{"learning_rate": 1')
    assert f"argument file {path} cannot be read as JSON" in problems(str(path))
    path.write_text("[]")
    assert "must hold" in problems(str(path))
    assert "no argument file" in problems(str(tmp_path / "none.yaml"))


def test_defaults_suit_where_the_model_begins_and_the_task() -> None:
    scratch, pretrained = values(), values("--model_name_or_path=bert-base-uncased")
    assert (scratch["learning_rate"], scratch["warmup_steps"]) == (5e-4, 0.1)
    assert (pretrained["learning_rate"], pretrained["warmup_steps"]) == (5e-5, 0)
    assert values("--lr=5e-5")["learning_rate"] == 5e-5
    assert scratch["max_seq_length"] == 256
    assert values("--task=generative_qa")["max_seq_length"] == 512
    assert scratch["save_total_limit"] == 2 and scratch["logging_steps"] == 10


def test_the_environment_names_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUN_NAME", "mine")
    assert values()["run_name"] == "mine"
    assert values("--run_name=flag")["run_name"] == "flag"


def test_what_print_config_shows_is_an_argument_file_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from transformer_e2e.scripts.train_hf import print_settings

    found = given(
        "--task=clm",
        "--lr=1e-5",
        "--evaluation_strategy=epoch",
        '--lr_scheduler_kwargs={"num_cycles": 2}',
        "--report_to=none",
    )
    print_settings(found)
    shown = capsys.readouterr().out
    assert "adam_epsilon: 1e-08" in shown and "# flag" in shown
    assert shown.startswith("# note: --evaluation_strategy is understood as --eval_strategy\n")
    (tmp_path / "all.yaml").write_text(shown)
    assert given(str(tmp_path / "all.yaml")).values == found.values


def test_a_reader_of_print_config_may_have_enough() -> None:
    command = f"{sys.executable} -m transformer_e2e.scripts.train_hf --print_config | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("model_name_or_path: null") and done.stderr == ""


def test_what_would_break_a_promise_is_refused_with_another_way() -> None:
    told = problems("--fsdp=full_shard", "--train_sampling_strategy=batch_rebalance")
    assert "--fsdp is not possible here: --deepspeed=transformer_e2e/configs/deepspeed/zero3.json" in told
    assert "--train_sampling_strategy=batch_rebalance is not possible here; group_by_length is" in told
