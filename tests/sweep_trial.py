"""The toy trial as a sweep's program: what `wandb agent` starts in tests, quickly and without torch."""

from __future__ import annotations

import sys

from tests.toy_trial import Toy, work
from transformer_e2e.runs.life import run_trial


def main() -> int:
    given = dict(argument.removeprefix("--").split("=", 1) for argument in sys.argv[1:])
    if given.pop("broken", "false") == "true":
        print("this program is broken")
        return 1
    toy = Toy(
        root=given["root"],
        steps=int(given.get("steps", 4)),
        eval_interval=1,
        seed=int(given["seed"]),
        slow=float(given.get("slow", 0)),
        waits_at=1 if "gate" in given else None,
        gate=given.get("gate"),
    )
    return run_trial(toy.spec(), lambda trial: work(toy, trial))


if __name__ == "__main__":
    sys.exit(main())
