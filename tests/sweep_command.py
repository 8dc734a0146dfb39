"""The sweep command as a real process, and what it leaves in the process table."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.serving import REPOSITORY, clean_environment

PATIENCE = 400.0  # seconds until something that must happen counts as missing; two very busy cores


@dataclass
class SweepCommand:
    """`python -m transformer_e2e.scripts.sweep` with every file below `folder`."""

    folder: Path
    process: subprocess.Popen[str] | None = field(default=None, repr=False)

    def spec(self, **keys: Any) -> Path:
        """A sweep file; `keys` are added to a grid search by the toy trial."""
        content = {
            "program": "tests/sweep_trial.py",
            "command": ["${env}", "${interpreter}", "-m", "tests.sweep_trial", "${args}"],
            "method": "grid",
            "metric": {"name": "eval/loss", "goal": "minimize"},
            **keys,
        }
        content["parameters"] = {"root": {"value": str(self.folder / "trials")}, **keys["parameters"]}
        path = self.folder / "spec.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    def start(self, *arguments: str, **env: str) -> SweepCommand:
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        clean = {
            k: v for k, v in clean_environment(home).items() if k not in ("WANDB_DIR", "WANDB_CACHE_DIR")
        }
        with self.output_path.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "transformer_e2e.scripts.sweep", *arguments, *self.folders()],
                cwd=REPOSITORY,
                env={**clean, **env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return self

    def folders(self) -> list[str]:
        names = {"root": "server", "log_dir": "logs", "plot_dir": "plots"}
        return [f"--{flag}={self.folder / name}" for flag, name in names.items()]

    @property
    def output_path(self) -> Path:
        return self.folder / "output.txt"

    @property
    def output(self) -> str:
        return self.output_path.read_text()

    def wait(self, patience: float = PATIENCE) -> int:
        assert self.process is not None
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"the command did not end:\n{self.output}") from None

    def until(self, what: str, happened: Any) -> Any:
        """Wait for `happened()` to be true, and return it."""
        deadline = time.monotonic() + PATIENCE
        while not (found := happened()):
            assert time.monotonic() < deadline, f"no {what}:\n{self.output}"
            time.sleep(0.05)
        return found

    def sweep(self) -> str:
        """The sweep's path, once the command has said it."""
        lines = self.until("sweep", lambda: [x for x in self.output.splitlines() if x.startswith("sweep ")])
        return str(lines[0].split()[1])

    def agents(self) -> list[int]:
        return [pid for pid, line in self.processes() if "wandb agent --forward" in line]

    def trials(self) -> list[int]:
        return [pid for pid, line in self.processes() if "tests.sweep_trial" in line]

    def servers(self) -> list[int]:
        return [pid for pid, line in self.processes() if "transformer_e2e.server" in line]

    def processes(self) -> list[tuple[int, str]]:
        """Those that this command has started, directly or not: its folder is in their environment."""
        found = []
        for place in Path("/proc").iterdir():
            if not place.name.isdigit() or int(place.name) == os.getpid():
                continue
            try:
                line = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if str(self.folder / "home").encode() in (place / "environ").read_bytes():
                    found.append((int(place.name), line))
            except (OSError, ValueError):
                continue
        return found
