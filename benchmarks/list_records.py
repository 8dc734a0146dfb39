"""How long `manage_completed_runs.py list` takes with many records, against Python's own start.

example:
  python -m benchmarks.list_records --records 1000
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
RUNS = 7


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=1000, help="completion records (default: %(default)s)")
    count = parser.parse_args().records
    with tempfile.TemporaryDirectory() as folder:
        write_records(Path(folder), count)
        listing = [sys.executable, "scripts/manage_completed_runs.py", "--checkpoint_dir", folder, "list"]
        times: dict[str, list[float]] = {"list": [], "python": []}
        for _ in range(RUNS):  # in turn, so that a change of the machine's speed meets both
            times["list"].append(seconds(listing))
            times["python"].append(seconds([sys.executable, "-c", "pass"]))
    listed, bare = (statistics.median(times[name]) for name in ("list", "python"))
    ratio = listed / bare
    print(
        f"{count} records: {listed:.3f} s, Python alone: {bare:.3f} s (medians of {RUNS}); ratio {ratio:.1f}"
    )


def seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def write_records(root: Path, count: int) -> None:
    """Records of the size that a real trial leaves."""
    folder = root / "completion_tracking"
    folder.mkdir()
    for number in range(count):
        run_id = f"single_bs8_cw128_lr2e-02-{number:012x}"
        record = {
            "run_id": run_id,
            "status": "cleaned",
            "outcome": "finished",
            "metrics": {f"eval/metric_{i}": 1.5 for i in range(25)},
            "metric_name": "eval/loss",
            "goal": "minimize",
            "best_metric": 4.5,
            "steps": 800,
            "seconds": 60.0,
            "counted": {f"setting_{i}": i for i in range(32)},
            "artifact": f"local/transformer-e2e/model-{run_id}:v0",
            "digests": {f"file_{i}": "0" * 64 for i in range(5)},
        }
        (folder / f"{run_id}_completed.json").write_text(json.dumps(record))


if __name__ == "__main__":
    main()
