"""A trained Hugging Face model is found wherever it is, judged and applied, and does the same everywhere."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.hf_trial import SCHEMAS, TEXT, save_model
from tests.serving import REPOSITORY, ServerProcess
from transformer_e2e.runs import completion
from transformer_e2e.scripts import evaluate, generate, infer

Run = Callable[..., tuple[int, str, str]]  # (exit code, standard output, standard error)
PROGRAMS = {"evaluate": evaluate.main, "infer": infer.main, "generate": generate.main}
WORDS = TEXT.split()
TEXTS = [" ".join(WORDS[start : start + 4 + start % 3]) for start in range(12)]


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory, shared_server: ServerProcess) -> Path:
    """Two finished trials: a classifier that is here and on W&B, and one of pairs that is only on W&B."""
    root = tmp_path_factory.mktemp("trials")
    cache = {"HF_TRIAL_CACHE": str(tmp_path_factory.mktemp("cache")), "HF_HUB_OFFLINE": "1"}
    for given in (
        {"task": "pair", "seed": 1},
        {"task": "classification", "seed": 1, "keep_local": True, "counted": data_settings(root)},
    ):
        done = subprocess.run(
            [sys.executable, "-m", "tests.hf_trial", json.dumps({"root": str(root), **given})],
            cwd=REPOSITORY,
            env={**shared_server.env, **cache},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return root


def data_settings(root: Path) -> dict[str, Any]:
    """The data that the classifier was made with, as a training's settings name them."""
    names = ("bad", "fair", "good")
    lines = [f"{text},{names[number % 3]}" for number, text in enumerate(TEXTS)]
    for name, part in (("train", lines), ("held_out", lines[:5])):
        (root / f"{name}.csv").write_text("\n".join(["text,label", *part]))
    return {
        "train_file": str(root / "train.csv"),
        "validation_file": str(root / "held_out.csv"),
        "dataset_name": None,
        "eval_batch_size": 2,
    }


@pytest.fixture
def run(trials: Path, typed: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def run(program: str, *arguments: str, root: Path = trials, content: str = "") -> tuple[int, str, str]:
        buffer = io.BytesIO(content.encode())
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=buffer, isatty=lambda: False))
        given = (f"--checkpoint_dir={root}", "--project=use", "--device=cpu", *arguments)
        return typed(PROGRAMS[program], *given)

    return run


def run_id_of(trials: Path, case: str) -> str:
    return next(item.run_id for item in completion.records(trials) if item.run_id.startswith(f"hf_{case}"))


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_the_same_labels_from_disk_checkpoint_artifact_and_wandb_alone(
    run: Run, trials: Path, tmp_path: Path
) -> None:
    run_id = run_id_of(trials, "classification")
    record = completion.read(trials, run_id)
    assert (
        record is not None
        and record.schema is not None
        and record.schema["labels"] == ["bad", "fair", "good"]
    )
    code, expected, source = run("infer", "--run_id=hf_cl", "--json", *TEXTS)
    assert code == 0
    assert f"model: {run_id}, step 3; classification (3 labels); BertForSequenceClassification" in source
    assert "weights: best local checkpoint" in source and "digests verified" in source
    found = objects(expected)
    assert [item["text"] for item in found] == TEXTS
    assert len({item["label"] for item in found}) > 1
    for item in found:
        assert item["confidence"] == item["confidences"][item["label"]] == max(item["confidences"].values())

    directory = trials / run_id
    elsewhere = tmp_path / "elsewhere"
    weightless = Path(shutil.copytree(trials, tmp_path / "copy", symlinks=True))
    for path in (weightless / run_id).glob("step-*"):
        shutil.rmtree(path)
    for root, arguments, where in (
        (trials, (f"--checkpoint={directory}",), "best local checkpoint"),
        (trials, (f"--checkpoint={directory / 'best'}",), "best local checkpoint"),
        (weightless, ("--run_id=hf_cl",), f"artifact {record.artifact}, {len(record.digests)} digests"),
        (elsewhere, ("--run_id=hf_cl",), f"artifact {record.artifact}"),
        (elsewhere, (f"--artifact=model-{run_id}",), f"artifact {record.artifact}"),
        (trials, (), "best local checkpoint"),  # the newest that is done
    ):
        code, text, source = run("infer", *arguments, "--json", *TEXTS, root=root)
        assert (code, text) == (0, expected), source
        assert where in source and f"model: {run_id}, step 3" in source


def test_a_model_of_pairs_takes_them_in_turn_from_lines_and_from_files(
    run: Run, trials: Path, tmp_path: Path
) -> None:
    code, expected, source = run("infer", "--run_id=hf_pair", "--json", *TEXTS)
    pairs = list(zip(TEXTS[::2], TEXTS[1::2], strict=True))
    found = objects(expected)
    assert code == 0 and "artifact" in source
    assert [(item["premise"], item["hypothesis"]) for item in found] == pairs
    lines = [json.dumps({"premise": one, "hypothesis": two}) for one, two in pairs]
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines))
    assert run("infer", "--run_id=hf_pair", "--json", "--file=pairs.jsonl")[1] == expected
    assert run("infer", "--run_id=hf_pair", "--json", content="\n".join(lines))[1] == expected
    code, text, _ = run("infer", "--run_id=hf_pair", "--batch_size=4", "--file=pairs.jsonl")
    assert code == 0
    assert [line.split("\t")[0] for line in text.splitlines()] == [item["label"] for item in found]


def test_metrics_are_those_of_the_predictions_on_any_file_split_and_batch(
    run: Run, trials: Path, tmp_path: Path
) -> None:
    _, text, _ = run("infer", "--run_id=hf_cl", "--json", *TEXTS)
    names = ("bad", "fair", "good")
    right = [item["label"] == names[number % 3] for number, item in enumerate(objects(text))]
    code, text, said = run("evaluate", "--run_id=hf_cl", "--json")
    found = json.loads(text)
    assert code == 0 and (found["split"], found["examples"], found["task"]) == (
        "validation",
        5,
        "classification",
    )
    assert found["metrics"]["accuracy"] == sum(right[:5]) / 5
    assert found["run_id"] == run_id_of(trials, "classification") and found["step"] == 3
    assert "scripts.infer --run_id hf_cl" in said

    found = json.loads(run("evaluate", "--json", "hf_cl", "--split=train")[1])
    assert found["examples"] == 12 and found["metrics"]["accuracy"] == pytest.approx(sum(right) / 12)
    (tmp_path / "mine.csv").write_text(
        "\n".join(
            ["body,verdict,text", *(f"{text},{names[n % 3]},x" for n, text in enumerate(TEXTS)), "y,,x"]
        )
    )
    mine = ("--data_file=mine.csv", "--text_column_names=body", "--label_column_name=verdict")
    code, text, said = run("evaluate", "--run_id=hf_cl", "--json", *mine, "--batch_size=5")
    other = json.loads(text)
    assert code == 0 and other["dataset"] == "mine.csv" and "have no label" in said
    assert other["metrics"] == pytest.approx(found["metrics"])
    code, table, _ = run("evaluate", "--run_id=hf_cl", "--max_samples=3")
    assert code == 0 and "3 examples" in table and table.count("\n") == 2 + len(found["metrics"])


def test_what_is_no_table_or_no_model_is_named(run: Run, tmp_path: Path) -> None:
    for name, content in (
        ("empty.csv", b""),
        ("other.csv", b"text;label\nthe cat;bad\n"),
        ("wide.csv", "text,label\nthe cat,bad\n".encode("utf-16")),
        ("latin.csv", b"text,label\ncaf\xe9,bad\n"),
        ("mark.csv", b"\xef\xbb\xbftext,label\nthe cat,awful\n"),
        ("half/schema.json", b'{"task": "classification"}'),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    for program, arguments, message in (
        ("evaluate", ("hf_cl", "--data_file=empty.csv"), "empty.csv is empty"),
        ("infer", ("--run_id=hf_cl", "--file=other.csv"), "separates its cells by semicolons"),
        ("evaluate", ("hf_cl", "--data_file=wide.csv"), "iconv -f utf-16 -t utf-8 wide.csv > utf8.csv"),
        ("infer", ("--run_id=hf_cl", "--file=latin.csv"), "iconv -f latin1 -t utf-8 latin.csv > utf8.csv"),
        ("evaluate", ("hf_cl", "--data_file=mark.csv"), "but the labels are bad, fair, good; a model knows"),
        ("infer", ("--checkpoint=haf", "a"), "there is no folder haf"),
        ("infer", ("--checkpoint=half", "a"), "half/schema.json lacks 'text_fields'"),
    ):
        code, text, errors = run(program, *arguments)
        assert (code, text) == (2, "") and message in errors and "Traceback" not in errors, errors


def test_what_cannot_be_used_is_refused_with_what_works(run: Run, trials: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("review,stars\nx,1\n")
    missing = run("evaluate", "--run_id=hf_cl", "--data_file=bad.csv")
    assert missing[0] == 2 and "no column text" in missing[2] and "no column label" in missing[2]
    for program, arguments, messages in (
        (
            "evaluate",
            ("--split=dev", "--data_file=x.csv", "--max_samples=0", "--dataset_revision=x"),
            ("--split and --data_file exclude", "--max_samples=0 must be", "give --dataset_name too"),
        ),
        ("evaluate", ("--dataset_name=a", "--data_file=b"), ("exclude each other",)),
        ("evaluate", ("a", "--run_id=b", "c"), ("unexpected argument 'a'", "unexpected argument 'c'")),
        ("evaluate", ("--run_id=hf_cl", "--split=tset"), ("no split named tset",)),
        ("evaluate", ("--run_id=hf_cl", "--data_file=none.csv"), ("there is no such file",)),
        ("evaluate", ("--run_id=hf_pair",), ("--data_file",)),
        ("infer", ("--run_id=hf_pair", "one"), ("two texts in turn, premise and hypothesis",)),
        ("infer", ("--run_id=hf_pair",), ("standard input held no text",)),
        ("infer", ("--run_id=hf_cl", "--context=x", "a"), ("--context is for models of two texts",)),
        ("infer", ("--run_id=nothing_such", "a"), ("no trial below",)),
        ("infer", (f"--checkpoint={tmp_path}", "a"), ("holds no model (no schema.json)",)),
        (
            "infer",
            ("--jsn", "--file=a", "a"),
            ("unknown flag --jsn; did you mean --json?", "exclude each other"),
        ),
    ):
        code, text, errors = run(program, *arguments)
        assert (code, text) == (2, ""), (arguments, errors)
        assert all(message in errors for message in messages), errors
        assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("case", "keys"),
    [
        ("regression", {"text", "value"}),
        ("mlm", {"text", "filled", "masks"}),
        ("clm", {"text", "continuation"}),
        ("extractive_qa", {"question", "context", "answer", "score", "start", "end"}),
        ("generative_qa", {"question", "context", "answer", "score"}),
    ],
)
def test_each_task_predicts_what_it_is_for_and_is_scored(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str, keys: set[str]
) -> None:
    monkeypatch.setenv("HF_TRIAL_CACHE", str(tmp_path / "cache"))
    save_model(tmp_path / case, case)
    fields = SCHEMAS[case]["text_fields"]
    texts = [f"{text} [MASK]" if case == "mlm" else text for text in TEXTS[:6]]
    code, text, source = run("infer", f"--checkpoint={case}", "--json", "--batch_size=2", *texts)
    found = objects(text)
    assert code == 0 and "without a manifest" in source
    assert len(found) == 6 / len(fields) and all(set(item) - {"truncated"} == keys for item in found)
    assert [item[field] for item in found for field in fields] == texts
    code, text, _ = run("infer", f"--checkpoint={case}", "--batch_size=3", *texts)
    assert code == 0 and len(text.splitlines()) == len(found)

    lines = {
        "regression": [{"text": text, "stars": len(text) / 10} for text in TEXTS],
        "mlm": [{"text": TEXT}] * 8,
        "clm": [{"text": TEXT}] * 8,
    }.get(case) or [
        {"question": "what sat?", "context": TEXT, "answers": {"text": ["cat"], "answer_start": [4]}}
    ] * 3
    (tmp_path / "truth.jsonl").write_text("\n".join(map(json.dumps, lines)))
    code, text, errors = run("evaluate", f"--checkpoint={case}", "--json", "--data_file=truth.jsonl")
    assert code == 0, errors
    metrics = json.loads(text)["metrics"]
    wanted = {"regression": "pearson", "mlm": "perplexity", "clm": "perplexity"}.get(case, "exact_match")
    assert {"loss", wanted} <= set(metrics)
    limited = run("evaluate", f"--checkpoint={case}", "--json", "--data_file=truth.jsonl", "--max_samples=1")
    assert limited[0] == 0, limited[2]
    if "qa" not in case:  # whose examples are all the same
        assert json.loads(limited[1])["metrics"]["loss"] != metrics["loss"]


def test_infer_says_how_many_inputs_were_read_in_part(run: Run, tmp_path: Path) -> None:
    save_model(tmp_path / "classes", "classification")
    code, text, errors = run(
        "infer", "--checkpoint=classes", "--json", "--batch_size=1", TEXT, TEXT * 9, TEXT
    )
    assert code == 0 and [item.get("truncated") for item in objects(text)] == [None, True, None]
    assert "note: 1 of 3 inputs do not fit into the model's 48 tokens: only their start is read" in errors


def test_the_status_of_a_trial_says_what_its_model_is_for(trials: Path, shared_server: ServerProcess) -> None:
    shown = subprocess.run(
        [
            *(sys.executable, "scripts/manage_completed_runs.py", f"--checkpoint_dir={trials}"),
            *("status", "hf_pair"),
        ],
        cwd=REPOSITORY,
        env=shared_server.env,
        capture_output=True,
        text=True,
    )
    assert "classification of premise + hypothesis" in shown.stdout and "label: no, yes" in shown.stdout


def test_a_model_of_the_other_program_is_told_with_its_command(
    run: Run, trials: Path, tmp_path: Path
) -> None:
    run_id = run_id_of(trials, "classification")
    for arguments in (
        ("--run_id=hf_cl",),
        ("--run_id=hf_pair",),
        (f"--checkpoint={trials / run_id}",),
        (f"--checkpoint={trials / run_id / 'best'}",),
        (f"--artifact=model-{run_id}",),
    ):
        code, text, errors = run("generate", *arguments)
        assert (code, text) == (2, "")
        assert "is a Hugging Face model; use it with: python -m transformer_e2e.scripts.infer --" in errors
    code, _, errors = run("generate")
    assert code == 2 and "no trial below" in errors and "from-scratch decoder" in errors

    decoder = tmp_path / "old" / "single-000000000000" / "step-00000001"
    decoder.mkdir(parents=True)
    (decoder / "model.json").write_text("{}")
    for program in ("infer", "evaluate"):
        code, _, errors = run(program, "--run_id=single", root=tmp_path / "old")
        assert code == 2 and "is a from-scratch decoder; use it with" in errors
        assert "scripts.generate" in errors


def test_damaged_and_foreign_weights_are_never_used(run: Run, trials: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(trials, tmp_path / "copy", symlinks=True))
    (weights,) = (copy / run_id_of(trials, "classification")).glob("step-*/model.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    code, text, errors = run("infer", "--run_id=hf_cl", "a", root=copy)
    assert (code, text) == (2, "") and "model.safetensors does not have the digest" in errors
    (weights.parent / "manifest.json").unlink()
    code, _, source = run("infer", f"--checkpoint={weights.parent}", "a")
    assert code == 0 and "without a manifest to check it by" in source


def test_predictions_come_batch_by_batch_and_a_closed_pipe_ends_quietly(
    trials: Path, shared_server: ServerProcess
) -> None:
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "transformer_e2e.scripts.infer", "--batch_size=2", "--device=cpu"),
            *("--run_id=hf_cl", f"--checkpoint_dir={trials}"),
        ],
        cwd=REPOSITORY,
        env={**shared_server.env, "HF_HUB_OFFLINE": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    process.stdin.write("the cat\ntwo dogs\n")
    process.stdin.flush()
    assert process.stdout.readline().endswith("the cat\n")  # while standard input is still open
    process.stdout.readline()
    process.stdout.close()
    process.stdin.write("the cat\ntwo dogs\n")
    process.stdin.close()
    assert process.wait(240) == 0
    assert "Traceback" not in process.stderr.read()
