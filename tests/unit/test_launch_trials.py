"""Counting trials, guessing the end, choosing the best; reading specs and the output of `wandb sweep`."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest

from transformer_e2e.errors import ConfigError, LaunchError
from transformer_e2e.launch import environment
from transformer_e2e.launch.report import failure_lines, next_steps, table, yardstick_lines
from transformer_e2e.launch.spec import load_spec, overridden, searched, setting_problems
from transformer_e2e.launch.sweep import SweepPath, parse_created
from transformer_e2e.launch.trials import (
    TrialRow,
    best,
    finished_best,
    progress,
    ranked,
    rows_of,
    setting,
)
from transformer_e2e.runs.times import clock
from transformer_e2e.runs.tracker_queries import RunView, SweepView

COMMAND = ["${env}", "${interpreter}", "-m", "transformer_e2e.scripts.train", "${args}"]


def row(name: str, outcome: str = "finished", value: float | None = None, **times: float) -> TrialRow:
    return TrialRow(run=name, run_id=name, outcome=outcome, value=value, **times)


def test_progress_counts_and_guesses_from_the_mean_duration():
    rows = [
        row("a", value=3.0, started=0.0, ended=60.0),
        row("b", "pruned", value=4.0, started=0.0, ended=20.0),
        row("c", "running", value=2.5, started=90.0),
        row("d", "pending"),
    ]
    seen = progress(rows, total=8, agents=2, goal="minimize", now=100.0)
    assert (seen.done, seen.running, seen.pruned, seen.failed) == (2, 1, 1, 0)
    assert seen.best is rows[2]
    assert seen.eta_seconds == (30.0 + 4 * 40.0) / 2  # c needs 30 s more, four are not issued yet
    assert "trials 2/8 done, 1 running, 1 pruned" in seen.text("eval/loss")


def test_trials_that_failed_are_not_passed_over_in_silence():
    rows = [row("a"), row("b", "failed"), row("c", "crashed"), row("d", "pruned")]
    (said,) = failure_lines(rows, Path("logs/s"))
    assert said.startswith("warning: 2 trials of 4 failed") and "grep -A3 error: logs/s/*" in said
    assert failure_lines(rows[:1], Path("logs/s")) == []


def test_what_to_type_next_names_the_folder_of_the_trials_if_it_is_not_the_usual_one():
    assert "manage_completed_runs.py --checkpoint_dir /x list" in next_steps("e/p/s", [], None, Path("/x"))[1]
    assert "manage_completed_runs.py list" in next_steps("e/p/s", [], None, Path("model_checkpoints"))[1]


def test_there_is_no_eta_without_an_end_or_an_ended_trial():
    ended, running = row("a", started=0.0, ended=9.0), row("b", "running", started=0.0)
    assert progress([ended], total=None, agents=1, goal="minimize", now=9).eta_seconds is None
    assert progress([running], total=2, agents=1, goal="minimize", now=9).eta_seconds is None


def test_the_best_follows_the_goal_and_skips_what_is_not_finite():
    rows = [row("a", value=1.0), row("b", value=math.inf), row("c", "pruned", value=0.5), row("d")]
    assert best(rows, "minimize") is rows[2]
    assert best(rows, "maximize") is rows[0]
    assert finished_best(rows, "minimize") is rows[0]
    assert [r.run for r in ranked(rows, "minimize")] == ["c", "a", "b", "d"]


def run_view(**fields) -> RunView:
    known = {"name": "r", "display_name": "tune", "state": "finished", "config": {}, "summary": {}}
    times = {"created_at": "2026-01-01T00:00:00Z", "heartbeat_at": "2026-01-01T00:01:00", "history_rows": 0}
    return RunView(**{**known, **times, **fields})


@pytest.mark.parametrize(
    ("sweep_state", "run", "outcome", "value"),
    [
        ("RUNNING", {"state": "killed"}, "pruned", None),
        ("CANCELED", {"state": "killed"}, "cancelled", None),
        ("RUNNING", {"summary": {"eval/loss": 1e9, "diverged": True}}, "diverged", None),
        ("RUNNING", {"summary": {"eval/loss": 3.0, "best/eval/loss": 2.0}}, "finished", 2.0),
        ("RUNNING", {"state": "preempted"}, "preempted", None),
    ],
)
def test_the_outcome_says_what_happened(sweep_state: str, run: dict, outcome: str, value: float | None):
    (found,) = rows_of(SweepView("s", sweep_state, {}, (run_view(**run),)), "eval/loss")
    assert (found.outcome, found.value) == (outcome, value)


def test_a_trial_is_named_by_its_run_id_and_timed_in_utc():
    view = SweepView("s", "RUNNING", {}, (run_view(config={"run_id": "tune_8_32-abc"}),))
    (found,) = rows_of(view, "eval/loss")
    assert (found.run_id, found.seconds, found.started) == ("tune_8_32-abc", 60.0, 1767225600.0)


def test_nested_settings_are_found_by_their_dotted_name():
    assert setting({"optimizer": {"lr": 1}}, "optimizer.lr") == 1
    assert setting({"lr": 1}, "optimizer.lr") is None


def test_clock():
    assert [clock(s) for s in (5, 75, 3725, 200_000)] == ["0:05", "1:15", "1:02:05", "2 d 7 h"]


def test_yardsticks_say_which_are_beaten_and_by_how_much():
    summary = {"best/eval/bits_per_byte": 2.3, "yardstick/gzip": 2.5, "yardstick/bigram": 2.1}
    lines = yardstick_lines(TrialRow(run="a", run_id="a", outcome="finished", summary=summary))
    assert lines[0].endswith("2.300")
    assert "2.500" in lines[1] and "beaten by 0.200" in lines[1]
    assert "2.100" in lines[2] and "missed by 0.200" in lines[2]
    assert yardstick_lines(row("b")) == []


def test_the_table_says_what_each_metric_was_measured_on():
    facts = {"data/name": "reviews.csv", "data/split": "validation", "data/examples": 1234}
    known = TrialRow(run="a", run_id="a", outcome="finished", value=1.5, summary=facts)
    head, first, second = table([row("b", "failed"), known], [], "eval/loss", "minimize").splitlines()
    assert head.split() == ["trial", "outcome", "data", "split", "examples", "eval/loss", "time"]
    assert first.split() == ["*", "a", "finished", "reviews.csv", "validation", "1,234", "1.5000"]
    assert second.split() == ["b", "failed"]
    long = "per_device_train_batch_size"
    wide = TrialRow(
        run="c", run_id="c" * 40, outcome="finished", settings={long: 16, "lr": 0.1}, summary=facts
    )
    *head, only = table([wide], [long, "lr"], "eval/loss", "minimize").splitlines()
    assert [line.split()[0] for line in head[:2]] == ["per_device_", "train_batch_"]
    assert only.split() == ["c" * 40, "finished", "16", "0.1", "reviews.csv", "validation", "1,234"]
    assert "examples" not in table([row("b")], [], "eval/loss", "minimize")


def test_a_narrow_screen_cuts_nothing_off(monkeypatch: pytest.MonkeyPatch):
    facts = {"data/name": "python-docstrings", "data/split": "validation", "data/examples": 1234}
    settings = {"per_device_train_batch_size": 16, "learning_rate": 0.1, "num_train_epochs": 3}
    rows = [
        TrialRow(run=name, run_id=name * 31, outcome="finished", value=0.5, summary=facts, settings=settings)
        for name in "ab"
    ]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for columns in ("80", "60"):
        monkeypatch.setenv("COLUMNS", columns)
        lines = table(rows, list(settings), "eval/f1", "maximize").splitlines()
        assert max(map(len, lines)) <= int(columns)
        assert lines[0].split() == ["*", "a" * 31, "finished", "eval/f1", "0.5000"]
        below = " ".join(
            line.strip() for line in lines[1 : lines.index(next(x for x in lines if "bbb" in x))]
        )
        for name, value in settings.items():
            assert f"{name} {value}" in below
        assert "python-docstrings, validation, 1,234 examples" in below
    monkeypatch.setenv("COLUMNS", "200")
    assert len(table(rows, list(settings), "eval/f1", "maximize").splitlines()) == 5  # 3 of the head


def test_the_sweep_is_read_from_what_wandb_prints():
    coloured = (
        "wandb: Creating sweep with ID: \x1b[33mab12\x1b[0m\n"
        "wandb: View sweep at: \x1b[34mhttp://127.0.0.1:1/me/demo/sweeps/ab12\x1b[0m\n"
        "wandb: Run sweep agent with: \x1b[33mwandb agent demo/ab12\x1b[0m\n"
    )
    assert parse_created(coloured) == SweepPath(
        "me", "demo", "ab12", "http://127.0.0.1:1/me/demo/sweeps/ab12"
    )
    assert str(parse_created("wandb: Run sweep agent with: wandb agent me/demo/ab12")) == "me/demo/ab12"
    with pytest.raises(LaunchError, match="made no sweep"):
        parse_created("wandb: nothing")


def test_a_sweep_path_may_leave_out_what_is_known():
    assert str(SweepPath.parse("id", entity="me", project="demo")) == "me/demo/id"
    assert str(SweepPath.parse("you/p/id", entity="me", project="demo")) == "you/p/id"
    for wrong in ("a/b/c/d", "", "a//c"):
        with pytest.raises(LaunchError, match="ENTITY/PROJECT/ID"):
            SweepPath.parse(wrong, entity="me", project="demo")
    with pytest.raises(LaunchError, match="lacks its entity"):
        SweepPath.parse("p/id", entity=None, project="demo")


def test_parameters_that_are_no_settings_and_values_out_of_range_are_all_named():
    spec = {
        "command": COMMAND,
        "parameters": {
            "learning_rat": {"values": [1e-3]},
            "dropout": {"values": [0.1, 1.5]},
            "num_layers": {"min": 0, "max": 4},
            "max_steps": {"value": "many"},
            "learning_rate": {"distribution": "log_uniform", "min": -9, "max": -3},
        },
    }
    problems = setting_problems(spec)
    assert len(problems) == 4
    assert "did you mean learning_rate?" in problems[0]
    assert setting_problems({**spec, "command": ["python", "mine.py"]}) == []


def test_a_metric_that_is_never_logged_is_refused() -> None:
    """Such a sweep would run to its end, stop nothing and find no best trial."""
    spec = {"command": ["python", "-m", "transformer_e2e.scripts.train"], "metric": {"name": "eval/los"}}
    assert setting_problems(spec) == [
        "metric: transformer_e2e.scripts.train logs no eval/los; did you mean eval/loss? (there are: "
        "eval/loss, eval/perplexity, eval/bits_per_byte, eval/word_perplexity, train/loss)"
    ]
    assert setting_problems({**spec, "metric": {"name": "eval/bits_per_byte"}}) == []


def test_the_other_program_is_asked_about_its_own_parameters():
    spec = {
        "program": "transformer_e2e.scripts.train_hf",
        "command": ["${interpreter}", "-m", "${program}", "--block_size=4", "${args}"],
        "parameters": {
            "lr": {"values": [1e-5, "high"]},
            "weight_deca": {"distribution": "normal"},
            "block_size": {"min": 4, "max": 64},
            "model_name_or_path": {"value": None},
        },
    }
    problems = setting_problems(spec)
    assert len(problems) == 3
    assert any("did you mean weight_decay?" in problem for problem in problems)
    assert any("--learning_rate=high" in problem for problem in problems)
    assert any("--block_size=4 must be at least 8" in problem for problem in problems)


def test_an_override_counts_key_by_key_and_parameter_by_parameter():
    spec = {"method": "grid", "run_cap": 9, "parameters": {"a": {"value": 1}, "b": {"values": [1, 2]}}}
    changes = {"run_cap": 2, "parameters": {"b": {"value": 7}, "c": {"value": None}}}
    assert overridden(spec, changes) == {
        "method": "grid",
        "run_cap": 2,
        "parameters": {"a": {"value": 1}, "b": {"value": 7}, "c": {"value": None}},
    }


def test_searched_parameters_are_those_that_vary():
    parameters = {
        "a": {"value": 1},
        "b": {"values": [1, 2]},
        "c": {"values": [1]},
        "d": {"parameters": {"e": {"min": 0, "max": 1}, "f": {"value": 2}}},
    }
    assert searched({"parameters": parameters}) == ["b", "d.e"]


def test_a_missing_spec_names_the_nearest_file(tmp_path: Path):
    (tmp_path / "lm_grid.yaml").write_text("method: grid\n")
    with pytest.raises(ConfigError, match=r"did you mean lm_grid\.yaml"):
        load_spec(tmp_path / "lm_gird.yaml")


def test_a_spec_that_is_no_mapping_or_no_yaml_is_refused(tmp_path: Path):
    path = tmp_path / "spec.yaml"
    for text, said in (("- a\n", "must hold a sweep with the keys"), ("a: [", "is not YAML")):
        path.write_text(text)
        with pytest.raises(ConfigError, match=said):
            load_spec(path)


@pytest.fixture
def no_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path))
    return tmp_path


def test_a_key_a_login_or_a_mode_counts_as_configured(no_wandb: Path, monkeypatch: pytest.MonkeyPatch):
    assert not environment.configured()
    (no_wandb / "netrc").write_text("machine example.org login a password b\n")
    assert not environment.configured()
    (no_wandb / "netrc").write_text("machine wandb.example.org login user password secret\n")
    (no_wandb / "settings").write_text("[default]\nbase_url = https://wandb.example.org\n")
    assert environment.configured()
    (no_wandb / "netrc").unlink()
    assert not environment.configured()
    for name, value in (("WANDB_MODE", "offline"), ("WANDB_API_KEY", "k" * 40)):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert environment.configured()


def test_dotenv_is_read_and_the_environment_wins(no_wandb: Path, monkeypatch: pytest.MonkeyPatch):
    (no_wandb / ".env").write_text("WANDB_API_KEY=from-file\nWANDB_PROJECT=from-file\n")
    monkeypatch.setenv("WANDB_PROJECT", "from-environment")
    monkeypatch.setenv("WANDB_API_KEY", "")  # so that monkeypatch takes back what load_dotenv sets
    monkeypatch.delenv("WANDB_API_KEY")
    environment.load_dotenv(no_wandb / ".env")
    import os

    assert (os.environ["WANDB_API_KEY"], os.environ["WANDB_PROJECT"]) == ("from-file", "from-environment")


def test_agents_share_the_cores_and_find_their_own_python_first():
    found = environment.for_agent({"PATH": "/bin"}, agents=2, cores=8)
    assert found["OMP_NUM_THREADS"] == "4"
    assert found["PATH"].split(":")[0] == str(Path(sys.executable).parent)
    assert found["WANDB_AGENT_DISABLE_FLAPPING"] == "true"
    assert environment.for_agent({"OMP_NUM_THREADS": "3"}, agents=4, cores=2)["OMP_NUM_THREADS"] == "3"
    assert environment.for_agent({}, agents=4, cores=2)["OMP_NUM_THREADS"] == "1"
