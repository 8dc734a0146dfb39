"""Flags of Hugging Face's examples and of older versions: taken with a note, or refused with what works."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from tests.unit.test_hf_parser import given, problems, values
from transformer_e2e.config.hf_settings import DataArguments, ModelArguments, RunArguments
from transformer_e2e.hf.spelling import known_words


@pytest.mark.parametrize(
    ("argv", "name", "expected"),
    [
        (["--group_by_length"], "train_sampling_strategy", "group_by_length"),
        (["--group_by_length=True"], "train_sampling_strategy", "group_by_length"),
        (["--adafactor"], "optim", "adafactor"),
        (["--do_regression", "true"], "problem_type", "regression"),
        (["--use_mps_device"], "device", "mps"),
        (["--answer_column=reply"], "label_column_name", "reply"),
        (["--shuffle_seed=3"], "data_seed", 3),
        (["--torchdynamo", "inductor"], "torch_compile_backend", "inductor"),
    ],
)
def test_a_word_of_older_material_means_a_setting_of_today(
    argv: list[str], name: str, expected: object
) -> None:
    found = given(*argv)
    assert found.values[name] == expected
    word = argv[0].partition("=")[0]
    assert any(note.startswith(f"{word} is understood as --{name}") for note in found.notes), found.notes


def test_a_switch_of_older_material_that_is_off_changes_nothing() -> None:
    off = (
        "group_by_length",
        "adafactor",
        "do_regression",
        "use_mps_device",
        "trust_remote_code",
        "streaming",
    )
    found = given(*(f"--{name}=False" for name in off))
    assert found.values == values() and found.notes == []
    assert values("--group_by_length=False", "--train_sampling_strategy=sequential")[
        "train_sampling_strategy"
    ] == ("sequential")
    text = problems("--group_by_length", "--train_sampling_strategy=sequential")
    assert "--train_sampling_strategy and --group_by_length are two names of" in text


SETTINGS = Path("transformer_e2e/config/hf_settings.py")
EXAMPLES = """
--model_name_or_path m --tokenizer_name t --cache_dir c --use_fast_tokenizer True --model_revision main
--low_cpu_mem_usage --torch_dtype auto --attn_implementation sdpa --ignore_mismatched_sizes
--dataset_name d --dataset_config_name e --max_train_samples 10 --max_eval_samples 10 --max_predict_samples 3
--block_size 128 --overwrite_cache --validation_split_percentage 5 --preprocessing_num_workers 4
--keep_linebreaks --max_seq_length 128 --pad_to_max_length --mlm_probability 0.15 --max_answer_length 30
--doc_stride 128 --n_best_size 20 --version_2_with_negative --null_score_diff_threshold 0
--predict_with_generate --shuffle_train_dataset --metric_name f1 --text_column_names a,b
--text_column_delimiter , --label_column_name l --remove_splits x
"""
OLD_TRAINING_ARGUMENTS = """
--do_train --do_eval --do_predict --overwrite_output_dir --output_dir o --evaluation_strategy epoch
--per_gpu_train_batch_size 4 --per_gpu_eval_batch_size 4 --logging_first_step --no_cuda --warmup_ratio 0.1
--past_index 3 --jit_mode_eval --use_ipex --half_precision_backend auto --fp16_opt_level O1
--fp16_backend auto --tpu_num_cores 3
--ray_scope last --include_inputs_for_metrics --include_tokens_per_second --logging_dir l
--save_safetensors --evaluate_during_training --mp_parameters a --push_to_hub_model_id x
"""


@pytest.mark.parametrize("text", [EXAMPLES, OLD_TRAINING_ARGUMENTS], ids=["examples", "old"])
def test_every_harmless_flag_of_the_examples_is_taken(text: str) -> None:
    given(*text.split())


@pytest.mark.parametrize(
    ("argv", "way_out"),
    [
        (["--trust_remote_code"], "code from the hub is never run"),
        (["--token", "hf_secret"], "HF_TOKEN"),
        (["--use_auth_token"], "HF_TOKEN"),
        (["--streaming"], "--max_train_samples"),
        (["--line_by_line"], "--block_size"),
        (["--task_name", "sst2"], "--dataset_name=nyu-mll/glue --dataset_config_name=sst2"),
        (["--validation_split_name", "dev"], "found by their names"),
        (["--num_beams", "4"], "likeliest"),
        (["--question_column", "q"], "--text_column_names=question,context"),
        (["--accelerator_config", '{"split_batches": true}'], "--gradient_accumulation_steps"),
        (["--debug", "underflow_overflow"], "train/grad_norm"),
        (["--sharded_ddp", "simple"], "--deepspeed=transformer_e2e/configs/deepspeed/zero3.json"),
    ],
)
def test_a_flag_that_would_change_the_result_is_refused_with_a_way_out(argv: list[str], way_out: str) -> None:
    text = problems(*argv)
    assert f"{argv[0]} is not possible here" in text and way_out in text, text
    assert "hf_secret" not in text


def test_what_an_example_switches_off_is_answered() -> None:
    (note,) = given("--do_eval=false").notes
    assert "--eval_strategy=no" in note
    (note,) = given("--overwrite_cache").notes
    assert note.startswith("--overwrite_cache has no effect here: prepared data is kept by the hash")


def test_every_setting_of_our_own_is_read_somewhere() -> None:
    code = "".join(path.read_text() for path in Path("transformer_e2e").rglob("*.py") if path != SETTINGS)
    own = {item.name for group in (ModelArguments, DataArguments, RunArguments) for item in fields(group)}
    unread = {name for name in own if f".{name}" not in code and f'"{name}"' not in code}
    assert unread == {"test_file"}  # as f"{split}_file"


def test_no_setting_of_our_own_is_taken_for_a_word_without_effect() -> None:
    own = {item.name for group in (ModelArguments, DataArguments, RunArguments) for item in fields(group)}
    assert own & set(known_words()) == set()
    found = given("--task=generative_qa", "--pad_to_max_length")
    assert found.values["pad_to_max_length"] is True and found.notes == []
    (note,) = given("--task=classification", "--pad_to_max_length").notes
    assert note.startswith("--pad_to_max_length has no effect with --task=classification")


def test_an_unknown_flag_and_its_value_are_one_problem() -> None:
    text = problems("--beam_width", "4", "--nonsense", "a", "stray", "--bs=0")
    assert text.count("\n  - ") == 4, text
    assert "unexpected argument 'stray'" in text
    assert "did you mean --learning_rate?" in problems("--LEARNING_RATE", "1e-3")


def test_a_flag_for_json_says_so(tmp_path: Path) -> None:
    text = problems("--lr_scheduler_kwargs=num_cycles=2", "--deepspeed=zero2")
    assert '--lr_scheduler_kwargs=num_cycles=2 (flag) takes JSON such as {"name": 1}' in text
    assert "--deepspeed=zero2 (flag) takes JSON" in text
    assert values("--deepspeed=parts.json")["deepspeed"] == "parts.json"


def test_steps_are_at_least_one_or_none_given() -> None:
    assert "--max_steps=0 must be at least 1; -1: as many as --num_train_epochs says" in problems(
        "--max_steps=0"
    )
    assert values("--max_steps=-1")["max_steps"] == -1


def test_only_what_can_be_resumed_exactly_or_measured_is_taken() -> None:
    text = problems("--optim=adamw", "--batch_eval_metrics")
    assert (
        "--optim=adamw is not one of adamw_torch, adamw_torch_fused, adafactor, sgd, adagrad, rmsprop" in text
    )
    assert "did you mean adamw_torch?" in text and "--batch_eval_metrics is not possible here" in text
    assert "--optim=adamw_8bit is not one of adamw_torch" in problems("--optim=adamw_8bit")
    for name in ("adafactor", "sgd", "rmsprop"):
        assert values(f"--optim={name}")["optim"] == name
