"""The same command on a trial that is done trains nothing; another name is another trial, at step 0."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

from tests.integration.trial_driver import wait_until
from tests.serving import REPOSITORY, ServerProcess
from tests.training import Workplace, offline
from transformer_e2e.runs.checkpoints import newest_step

SHORT = {"max_steps": 6, "eval_interval": 3, "checkpoint_interval": 2}
SKIP = """
import sys
from transformer_e2e.scripts.train import main
code = main(sys.argv[1:])
print(code, sorted({"torch", "transformers"} & set(sys.modules)))
"""


def test_a_done_trial_says_what_it_came_to_and_how_to_train_it_again(
    tmp_path: Path, wandb_server: ServerProcess
) -> None:
    workplace = Workplace(tmp_path).prepare()
    workplace.finish(wandb_server.env, "a", **SHORT)
    command = workplace.command("a", **SHORT)
    skip = subprocess.run(
        [sys.executable, "-c", SKIP, *command[3:]],
        cwd=REPOSITORY,
        env=wandb_server.env,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    record = workplace.record("a")
    assert f"Run was previously completed: {record['run_id']}" in skip
    assert f"after 6 steps, best eval/loss {record['best_metric']:.4g}" in skip
    assert f"model: artifact {record['artifact']}" in skip
    assert skip.splitlines()[-1] == "0 []"  # nothing heavy was imported

    (line,) = (line for line in skip.splitlines() if line.startswith("To train it again from step 0: "))
    typed = shlex.split(line.partition(": ")[2])
    again = subprocess.run(typed, cwd=REPOSITORY, env=wandb_server.env, capture_output=True, text=True)
    assert again.returncode == 0 and "starting at step 0" in again.stdout, again.stdout + again.stderr


def test_another_name_or_prefix_starts_at_step_0_and_leaves_older_checkpoints_alone(tmp_path: Path) -> None:
    workplace, root = Workplace(tmp_path).prepare(), tmp_path / "a"
    killed = workplace.start_and_await(offline(tmp_path), "a", 4, **SHORT)
    (first,) = root.glob("single_*")
    wait_until(lambda: newest_step(first), "the checkpoint of step 2, written meanwhile")
    killed.kill()
    killed.communicate()
    before, newest = content(first), newest_step(first)
    for setting in ("run_name", "run_prefix"):
        output = workplace.finish(offline(tmp_path), "a", **SHORT, **{setting: "other"})
        assert "starting at step 0" in output and "attempt" not in output
        assert content(first) == before
    names = sorted(path.name.partition("-")[0] for path in root.glob("*-*"))
    assert names == ["other", "other_bs4_cw16_lr2e", first.name.partition("-")[0]]
    output = workplace.finish(offline(tmp_path), "a", **SHORT)
    assert f"attempt 2 at {first.name}; attempt 1 (" in output and ") was killed" in output
    assert f"continuing {first.name} from step {newest}" in output


def content(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }
