"""The search as a process: one JSON object a line in, one a line out.

In  {"config": spec, "trials": [{"params": {...}, "state": "finished", "value": 0.5}, ...], "seed": 1}
Out {"params": {...}}, {"params": null} when nothing is left to try, or {"error": "what is wrong"}

Each line gets exactly one answer, in order; a bad line gets an error and the next line is served as ever.
Grid and random answer at once; the first bayes suggestion imports torch. Ends at the end of input.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import traceback
from typing import Any, TextIO

from transformer_e2e.errors import UserError
from transformer_e2e.search.suggest import Observation, suggest

_EXAMPLE = """example:
  echo '{"config": {"method": "grid", "parameters": {"x": {"values": [1, 2]}}}, "trials": [], "seed": 1}' \\
    | python -m transformer_e2e.search
"""


def answer(line: str) -> dict[str, Any]:
    """The reply to one request; never raises for anything a line can hold."""
    try:
        request = json.loads(line)
        trials = [
            Observation(trial["params"], trial["state"], trial.get("value")) for trial in request["trials"]
        ]
        return {"params": suggest(request["config"], trials, seed=request["seed"])}
    except UserError as error:
        return {"error": str(error)}
    except KeyError as error:
        return {
            "error": f"the request lacks {error}; it needs config, trials (params, state, value) and seed"
        }
    except Exception as error:
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}"}


def serve(requests: TextIO, answers: TextIO) -> None:
    """Answer each line of `requests` until it ends."""
    for line in requests:
        answers.write(json.dumps(answer(line)) + "\n")
        answers.flush()


def main() -> int:
    argparse.ArgumentParser(
        prog="python -m transformer_e2e.search",
        description=__doc__,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    for pool in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[pool] = "1"  # before numpy and torch read it: one thread is what keeps answers repeatable
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C is the server's; it closes our input when it is done
    answers, sys.stdout = sys.stdout, sys.stderr  # whatever a library prints must not look like an answer
    try:
        serve(sys.stdin, answers)
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), answers.fileno()
        )  # nobody listens; leave without a traceback
    return 0


if __name__ == "__main__":
    sys.exit(main())
