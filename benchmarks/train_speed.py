"""How quick training is here: our loop and the Hugging Face Trainer, in turn, on equal sizes.

Each contender is a process of its own that trains through its real loop. They take turns, one at
a time, for several rounds; what is compared are the medians, so that a change of the machine's
speed meets all. The Hugging Face Trainer's best over precision, compilation and thread settings
is what counts.

Examples:
  python -m benchmarks.train_speed
  python -m benchmarks.train_speed --quick
  python -m benchmarks.train_speed --profile --only ours
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from benchmarks.speed_contenders import Contender

REPOSITORY = Path(__file__).resolve().parents[1]
# The published dense bf16 peak by the start of the device's name [FLOP/s].
PEAKS = {"NVIDIA H200": 989e12, "NVIDIA H100": 989e12, "NVIDIA A100": 312e12, "NVIDIA L4": 121e12}


@dataclass
class Result:
    contender: Contender
    start: float = 0.0  # seconds of the warm-up, compilation and all
    seconds: list[float] = field(default_factory=list)  # of each turn
    cpu_seconds: list[float] = field(default_factory=list)  # the same turns, summed over the threads
    operations: float = 0.0

    @property
    def tokens_per_second(self) -> float:
        return self.contender.tokens / statistics.median(self.seconds)

    @property
    def cpu_per_step(self) -> float:
        """Milliseconds of all cores; what another process took away does not count."""
        return 1e3 * statistics.median(self.cpu_seconds) / self.contender.steps

    @property
    def operations_per_second(self) -> float:
        """Of a product: the best of the rounds."""
        return self.operations / min(self.seconds)


class Process:
    """A contender's process, which trains only inside `turn`."""

    def __init__(self, contender: Contender) -> None:
        self.result = Result(contender)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.speed_contenders", json.dumps(asdict(contender))],
            cwd=REPOSITORY,
            env=environment(contender),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.result.start, _ = self.answered()

    def turn(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        seconds, cpu_seconds = self.answered()
        self.result.seconds.append(seconds)
        self.result.cpu_seconds.append(cpu_seconds)

    def answered(self) -> tuple[float, float]:
        """(seconds, seconds of CPU) of the warm-up or of a turn."""
        assert self.process.stdout
        for line in self.process.stdout:
            if line.startswith('{"seconds"'):
                content = json.loads(line)
                self.result.operations = content.get("operations", 0.0)
                return float(content["seconds"]), float(content.get("cpu_seconds", 0.0))
        raise SystemExit(f"{self.result.contender.name} ended early; its messages are above")


def environment(contender: Contender) -> dict[str, str]:
    found = dict(os.environ) | {"TRANSFORMERS_VERBOSITY": "error", "HF_HUB_OFFLINE": "1"}
    if contender.pinned:
        found["GOMP_CPU_AFFINITY"] = " ".join(map(str, sorted(os.sched_getaffinity(0))))
    return found


def main() -> None:
    arguments = parser().parse_args()
    rounds, steps = (1, 3) if arguments.quick else (arguments.rounds, arguments.steps)
    common = Contender(name="", who="", steps=steps, turns=rounds, profile=arguments.profile)
    print(machine())
    groups = {"cpu": on_cpu(common)}
    if cuda_name():
        groups["cuda"] = on_cuda(common)
    for device, contenders in groups.items():
        chosen = [one for one in contenders if arguments.only in one.name]
        results = compete(chosen, rounds)
        print("\n" + (table(results) if device == "cpu" else cuda_lines(results)) + "\n")


def parser() -> argparse.ArgumentParser:
    built = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    built.add_argument("--rounds", type=int, default=5, help="turns of each contender (default %(default)s)")
    built.add_argument("--steps", type=int, default=20, help="steps in a turn (default %(default)s)")
    built.add_argument("--only", default="", help="contenders whose name holds this text")
    built.add_argument(
        "--quick", action="store_true", help="one round of 3 steps: a smoke run, no measurement"
    )
    built.add_argument("--profile", action="store_true", help="print where each contender's time goes")
    return built


def machine() -> str:
    import torch

    flags = [flag for flag in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if flag in cpu_flags()]
    instructions = ", ".join(flags) or "no vectors"
    return (
        f"{len(os.sched_getaffinity(0))} cores, {platform.machine()} ({instructions}), "
        f"torch {torch.__version__}, Python {platform.python_version()}"
    )


def cpu_flags() -> str:
    info = Path("/proc/cpuinfo")
    return info.read_text() if info.is_file() else ""


def cuda_name() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else ""


def on_cpu(common: Contender) -> list[Contender]:
    def one(name: str, who: str, **values: object) -> Contender:
        return replace(common, name=name, who=who, **values)  # type: ignore[arg-type]

    return [
        one("product fp32", "product"),
        one("product bf16", "product", precision="bf16"),
        one("HF Trainer, fp32", "hf"),
        one("HF Trainer, fp32, torch_compile", "hf", compile=True),
        one("HF Trainer, bf16", "hf", precision="bf16"),
        one("HF Trainer, bf16, one thread", "hf", precision="bf16", threads=1),
        one("HF Trainer, bf16, pinned threads", "hf", precision="bf16", pinned=True),
        one("HF Trainer, bf16, torch_compile", "hf", precision="bf16", compile=True),
        one(
            "HF Trainer, bf16, torch_compile, pinned threads",
            "hf",
            precision="bf16",
            compile=True,
            pinned=True,
        ),
        one("ours, fp32", "ours"),
        one("ours, bf16", "ours", precision="bf16"),
        one("ours, fp32, --compile", "ours", compile=True),
        one("ours, bf16, --compile", "ours", precision="bf16", compile=True),
        one("ours, bf16, --compile, muon", "ours", precision="bf16", compile=True, optimizer="muon"),
    ]


def on_cuda(common: Contender) -> list[Contender]:
    """A decoder of GPT-2's 124 M sizes. Written without such a device at hand: never run."""
    base = replace(common, device="cuda", precision="bf16")
    sizes = {"num_layers": 12, "num_heads": 12, "model_dim": 768, "context_window": 1024}
    ours = replace(base, name="ours, bf16, --compile", who="ours", compile=True, vocab_size=50304, **sizes)
    return [replace(base, name="product bf16", who="product"), ours]


def compete(contenders: list[Contender], rounds: int) -> list[Result]:
    processes = []
    for contender in contenders:
        print(f"starting {contender.name}", file=sys.stderr)
        processes.append(Process(contender))
    for number in range(rounds):
        for process in processes:
            process.turn()
        print(f"round {number + 1} of {rounds} done", file=sys.stderr)
    for process in processes:
        process.process.stdin.close()  # type: ignore[union-attr]
        process.process.wait()
    return [process.result for process in processes]


def table(results: list[Result]) -> str:
    """Markdown: tokens/s, what the start took, and the ratio to the Hugging Face Trainer's best."""
    rows = [result for result in results if result.contender.who != "product"]
    best = max(
        (result.tokens_per_second for result in rows if result.contender.who == "hf"), default=float("nan")
    )
    lines = [
        "| trainer | tokens/s | of HF's best | CPU ms a step | start [s] |",
        "|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {row.contender.name} | {row.tokens_per_second:,.0f} | {row.tokens_per_second / best:.2f} "
        f"| {row.cpu_per_step:,.0f} | {row.start:.0f} |"
        for row in rows
    ]
    products = [
        f"{result.contender.name} {result.operations_per_second / 1e9:,.0f} GFLOP/s"
        for result in results
        if result.contender.who == "product"
    ]
    return "\n".join([*lines, "", "Matrix products of 1024 x 1024: " + ", ".join(products)])


def cuda_lines(results: list[Result]) -> str:
    """Tokens/s, and the share of the chip's bf16 rate: the measured one and the published one."""
    by_who = {result.contender.who: result for result in results}
    ours = by_who["ours"]
    used = ours.tokens_per_second * operations_per_token(ours.contender)
    peak = next((rate for name, rate in PEAKS.items() if cuda_name().startswith(name)), float("nan"))
    return (
        f"{cuda_name()}: {ours.contender.name}, {ours.tokens_per_second:,.0f} tokens/s, "
        f"{used / by_who['product'].operations_per_second:.0%} of the measured product rate, "
        f"{used / peak:.0%} of the published peak"
    )


def operations_per_token(contender: Contender) -> float:
    """Forward and backward: 6 for every weight, 12 * layers * width * context / 2 for causal attention."""
    from transformer_e2e.model.shape import default_mlp_dim

    width = contender.model_dim
    weights = contender.num_layers * (4 * width**2 + 3 * width * default_mlp_dim(width))
    attention = 6 * contender.num_layers * width * contender.context_window
    return 6.0 * (weights + contender.vocab_size * width) + attention


if __name__ == "__main__":
    main()
