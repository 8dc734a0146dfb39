"""A trained model is found wherever it is, its source is said, and its texts are the same from everywhere."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.serving import REPOSITORY, ServerProcess, become_client, clean_environment, run_client
from tests.training import Workplace
from transformer_e2e.runs.lock import TrialLock
from transformer_e2e.scripts import generate

SMALL = {"max_steps": 6, "eval_interval": 3, "checkpoint_interval": 3, "project": "gen", "keep_local": True}
TEXTS = ("--prompt=word1 word2", "--prompt=", "--prompt=zzz " + "word3 " * 20, "--max_new_tokens=24")

BEGIN = """
import sys, wandb
for name in sys.argv[1:]:
    with wandb.init(project="gen", name=name, config={"run_id": name}):
        pass
"""

Run = Callable[..., tuple[int, str, str]]  # (exit code, standard output, standard error)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, shared_server: ServerProcess) -> Workplace:
    """A trial whose model is both on this disk and on W&B."""
    workplace = Workplace(tmp_path_factory.mktemp("trained")).prepare()
    workplace.finish(shared_server.env, "trials", **SMALL)
    return workplace


@pytest.fixture
def run(trained: Workplace, typed: Run) -> Run:
    def run(*arguments: str, root: Path | None = None) -> tuple[int, str, str]:
        where = f"--checkpoint_dir={root or trained.folder / 'trials'}"
        return typed(generate.main, where, "--project=gen", *arguments)

    return run


@pytest.fixture
def copy(trained: Workplace, tmp_path: Path) -> Path:
    """The trials' folder, to be damaged."""
    return Path(shutil.copytree(trained.folder / "trials", tmp_path / "copy", symlinks=True))


def without_weights(root: Path) -> Path:
    for path in list(root.rglob("model.safetensors")):
        shutil.rmtree(path.parent)
    return root


def test_the_same_text_from_disk_artifact_and_wandb_alone(run: Run, trained: Workplace, copy: Path) -> None:
    record = trained.record("trials")
    code, expected, source = run("--run_id=single_bs4", *TEXTS)
    assert code == 0
    assert f"model: {record['run_id']}, step 6" in source and "tokens/s" in source
    assert f"hyperparameters: W&B {record['wandb_run']}" in source
    assert "weights: best local checkpoint" in source and "digests verified" in source

    code, text, source = run("--run_id=single", *TEXTS, root=without_weights(copy))
    assert (code, text) == (0, expected)
    assert f"weights: artifact {record['artifact']}, {len(record['digests'])} digests verified" in source

    code, text, source = run("--run_id=single_bs4", *TEXTS, root=copy / "nothing here")
    assert (code, text) == (0, expected)
    assert f"model: {record['run_id']}, step 6" in source and record["artifact"] in source
    assert f"hyperparameters: W&B {record['wandb_run']}" in source

    name = record["artifact"].rpartition("/")[2].partition(":")[0]
    code, text, source = run(f"--artifact={name}", *TEXTS, root=copy / "nothing here")
    assert (code, text) == (0, expected)
    assert record["artifact"] in source and "hyperparameters: the artifact" in source

    trial = trained.folder / "trials" / record["run_id"]
    for directory in (trial, trial / "best", trial / "step-00000006"):
        code, text, source = run(f"--checkpoint={directory}", *TEXTS, root=copy / "nothing here")
        assert (code, text) == (0, expected)
        assert f"model: {record['run_id']}, step 6" in source


def test_without_wandb_the_checkpoint_tells_the_hyperparameters_and_that_is_said(
    run: Run, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, expected, _ = run(*TEXTS)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{unused.getsockname()[1]}")
    code, text, source = run(*TEXTS)
    assert (code, text) == (0, expected)
    assert (
        "hyperparameters: the checkpoint, for W&B was not asked" in source and "cannot be reached" in source
    )

    monkeypatch.setenv("WANDB_MODE", "offline")
    code, text, source = run(*TEXTS)
    assert (code, text) == (0, expected) and "WANDB_MODE=offline" in source
    for arguments in (("--run_id=single",), ("--run_id=other",), ("--artifact=model-x",)):
        code, text, errors = run(*arguments, root=without_weights(copy))
        assert (code, text) == (2, "") and "WANDB_MODE=offline" in errors and "unset it" in errors
        if "single" in arguments[0]:
            assert "no longer on this disk, but in its artifact local/gen/model-single" in errors

    become_client(clean_environment(tmp_path / "home"), monkeypatch)
    code, text, source = run(*TEXTS)
    assert (code, text) == (0, expected) and "no W&B is configured" in source
    assert not Path("wandb_server").exists()


def test_a_trial_that_diverged_before_it_had_a_model_is_not_to_be_trained_again(run: Run, copy: Path) -> None:
    (path,) = (copy / "completion_tracking").iterdir()
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "outcome": "diverged", "artifact": None, "best_metric": None}))
    code, text, errors = run("--run_id=single", root=without_weights(copy))
    assert (code, text) == (2, "") and "diverged before it had a model" in errors


def test_a_run_that_was_synced_after_an_offline_training_is_found(
    run: Run, trained: Workplace, copy: Path
) -> None:
    (path,) = (copy / "completion_tracking").iterdir()
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "wandb_run": record["wandb_run"].removeprefix("local")}))
    assert f"hyperparameters: W&B {record['wandb_run']}" in run(*TEXTS, root=copy)[2]


def test_what_wandb_and_the_checkpoint_say_differently_is_named(
    run: Run, trained: Workplace, shared_server: ServerProcess
) -> None:
    change = """
import sys, wandb
run = wandb.Api().run(sys.argv[1])
before = run.config["dropout"]
run.config["dropout"] = float(sys.argv[2])
run.update()
"""
    record = trained.record("trials")
    run_client(shared_server, change, record["wandb_run"], "0.7")
    code, _, source = run(*TEXTS)
    assert code == 0
    assert "differ, the checkpoint counts: dropout (0.7 on W&B, 0.2 in the checkpoint)" in source
    run_client(shared_server, change, record["wandb_run"], "0.2")
    assert "differ" not in run(*TEXTS)[2]


def test_a_trial_that_is_not_finished_is_used_and_that_is_said(
    run: Run, copy: Path, shared_server: ServerProcess
) -> None:
    shutil.rmtree(copy / "completion_tracking")
    (trial,) = copy.glob("single*")
    code, text, source = run("--run_id=single", "--prompt=word1", root=copy)
    assert code == 0 and text.startswith("word1")
    assert "best local checkpoint" in source and "training not finished" in source
    lock = TrialLock(trial, no_wait=True, say=print)
    assert "in training now" in run("--run_id=single", root=copy)[2]
    lock.release()

    run_client(shared_server, BEGIN, "elsewhere-000000000000")
    code, text, errors = run("--run_id=elsewhere", root=copy)
    assert (code, text) == (2, "")
    assert "W&B knows the trial elsewhere-" in errors and "is made when" in errors


def test_damaged_files_are_never_used(run: Run, copy: Path) -> None:
    _, expected, _ = run(*TEXTS)
    (trial,) = [path for path in copy.glob("single*") if path.is_dir()]
    for path in sorted(trial.glob("step-*")):
        weights = path / "model.safetensors"
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(content)
        code, text, errors = run(*TEXTS, root=copy)
        if path.name == "step-00000003":
            assert (code, text) == (0, expected)
    assert code == 2 and text == ""
    assert errors.count("model.safetensors does not have the digest") == 2


def test_what_names_no_single_model_is_refused(
    run: Run, trained: Workplace, shared_server: ServerProcess, tmp_path: Path
) -> None:
    run_client(shared_server, BEGIN, "twin_a-000000000000", "twin_b-000000000000")
    code, text, errors = run("--run_id=twin")
    assert (code, text) == (2, "")
    assert "begins 2 run IDs in local/gen on W&B" in errors and "\n  twin_b-000000000000" in errors
    empty = tmp_path / "empty"
    empty.mkdir()
    for arguments, message in (
        (("--run_id=sngle_bs4_cw16_lr4e",), "the nearest is single_bs4"),
        (("--run_id=sngle",), "local/gen on W&B has none either"),
        (("--run_id=../x",), "cannot be a run name"),
        (("--artifact=model-none",), "model-none"),
        (("--artifact=model-none",), "manage_completed_runs.py list` shows the artifacts"),
        ((f"--checkpoint={empty}",), "holds no model (no model.json)"),
        ((f"--checkpoint={empty}/x",), f"there is no folder {empty}/x"),
        (("--device=mps",), "use one of auto, cpu"),
        (("--prompt=\udcff",), "no valid Unicode"),
        (("--prompt_file=missing.txt",), "missing.txt cannot be read"),
    ):
        code, text, errors = run(*arguments)
        assert (code, text) == (2, ""), arguments
        assert message in errors


def test_texts_are_those_that_each_prompt_gets_alone(run: Run, tmp_path: Path) -> None:
    prompts = ["word1 word2", "zzz é🦄", "word7 " * 30, "a"]
    (tmp_path / "prompts.txt").write_text("\n".join(prompts))
    options = ("--json", "--max_new_tokens=30", "--num_samples=2", "--stop=word3", "--stop=word4")
    code, output, errors = run("--prompt_file=prompts.txt", "--batch_size=3", *options)
    lines = [json.loads(line) for line in output.splitlines()]
    assert code == 0 and [(line["prompt"], line["sample"]) for line in lines] == [
        (prompt, sample) for prompt in prompts for sample in (0, 1)
    ]
    assert "its context window" in errors
    assert {line["finish"] for line in lines} <= {"stop", "length", "end_of_text"}
    assert len({line["text"] for line in lines}) == 8
    for number, prompt in enumerate(prompts):
        _, alone, _ = run(f"--prompt={prompt}", "--no_cache", *options)
        assert [json.loads(line) for line in alone.splitlines()] == lines[2 * number : 2 * number + 2]
    _, others, _ = run("--prompt_file=prompts.txt", "--seed=2", *options)
    assert others != output


def test_tokens_are_shown_as_they_come_and_a_closed_pipe_ends_quietly(
    trained: Workplace, shared_server: ServerProcess
) -> None:
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "transformer_e2e.scripts.generate", "--max_new_tokens=100000"),
            *(f"--checkpoint={trained.trial('trials')}", "--prompt=word1 ", "--temperature=1.5"),
        ],
        cwd=REPOSITORY,
        env=shared_server.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    assert len(process.stdout.read(40)) == 40  # long before 100,000 tokens are made
    process.stdout.close()
    assert process.wait(240) == 0
    assert b"Traceback" not in process.stderr.read()
