"""`python -m transformer_e2e.search`: a line in, a line out, whatever it is; cheap until bayes is asked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from transformer_e2e.search.suggest import suggest

ROOT = Path(__file__).parents[2]
WORKER = [sys.executable, "-m", "transformer_e2e.search"]
GRID = {"method": "grid", "program": "t.py", "parameters": {"x": {"values": [1, 2]}}}


def test_every_line_gets_one_answer_and_bad_lines_do_not_end_it() -> None:
    trials = [{"params": {"x": 1}, "state": "finished", "value": float("nan")}]
    lines = [
        json.dumps({"config": GRID, "trials": [], "seed": 1}),
        "{not json",
        "",
        "[1]",
        json.dumps({"config": GRID, "seed": 1}),
        json.dumps({"config": {"method": "gird"}, "trials": [], "seed": 1}),
        json.dumps({"config": GRID, "trials": trials, "seed": 1}),
        json.dumps(
            {"config": GRID, "trials": [*trials, {"params": {"x": 2}, "state": "pending"}], "seed": 1}
        ),
    ]
    done = subprocess.run(
        WORKER, input="\n".join(lines) + "\n", capture_output=True, text=True, cwd=ROOT, timeout=240
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert [list(answer) for answer in answers] == [["params"]] + [["error"]] * 5 + [["params"]] * 2
    assert answers[0] == {"params": {"x": 1}}
    assert "trials" in answers[4]["error"]
    assert "did you mean grid?" in answers[5]["error"] and "parameters is missing" in answers[5]["error"]
    assert answers[6:] == [{"params": {"x": 2}}, {"params": None}]


@pytest.mark.parametrize("method", ["grid", "random"])
def test_grid_and_random_import_nothing_heavy(method: str) -> None:
    spec = GRID | {"method": method}
    code = (
        "import sys, transformer_e2e.search.__main__\n"
        "from transformer_e2e.search.suggest import suggest\n"
        f"assert suggest({spec!r}, [], seed=1)\n"
        "heavy = {'torch', 'optuna', 'numpy', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=240)


def test_the_process_answers_like_the_function() -> None:
    spec = GRID | {"method": "random", "parameters": {"x": {"min": 0.0, "max": 1.0}}}
    line = json.dumps({"config": spec, "trials": [], "seed": 5})
    done = subprocess.run(WORKER, input=line + "\n", capture_output=True, text=True, cwd=ROOT, timeout=240)
    assert json.loads(done.stdout) == {"params": suggest(spec, [], seed=5)}


def test_it_ends_with_its_input_and_quietly_when_nobody_listens() -> None:
    worker = subprocess.Popen(
        WORKER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    )
    assert worker.stdin and worker.stdout and worker.stderr
    worker.stdout.close()
    worker.stdin.write(b"{}\n")
    worker.stdin.close()
    assert worker.wait(timeout=240) == 0
    assert worker.stderr.read() == b""
    worker.stderr.close()
