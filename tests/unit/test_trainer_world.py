"""Processes that train together, as torchrun sets them up: what they tell each other arrives."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.serving import REPOSITORY, lasting_port
from transformer_e2e.compute.place import Place, place
from transformer_e2e.errors import ConfigError

TALK = """
import json, torch, torch.distributed as dist
from transformer_e2e.compute.place import place
from transformer_e2e.compute.world import joined
store, _, _ = next(dist.rendezvous("env://"))
with joined(place(), store, torch.device("cpu")) as world:
    mine = world.rank + 1
    numbers = torch.tensor([0.1, 1e-8]) * mine
    world.sum_(numbers)
    agreed = [world.agree(world.rank == 1), world.agree(False)]
    value = world.broadcast({"step": 7, "best": None} if world.is_main else None)
    tensors = {"a/b": torch.arange(3.0).bfloat16(), "steps": torch.tensor(4)} if world.is_main else {}
    received = world.broadcast_tensors(tensors)
    shown = {name: [str(t.dtype), t.tolist()] for name, t in received.items()}
print(json.dumps([numbers.tolist(), agreed, value, shown]))
"""

LEAVE = """
import os, signal, sys, torch, torch.distributed as dist
from transformer_e2e.errors import PeerLost
from transformer_e2e.compute.place import place
from transformer_e2e.compute.world import joined
store, _, _ = next(dist.rendezvous("env://"))
with joined(place(), store, torch.device("cpu")) as world:
    world.agree(False)
    if world.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    try:
        world.agree(False)
    except PeerLost as lost:
        print(lost)
"""


def together(script: str, size: int) -> list[tuple[int, str]]:
    """(exit code, output) of `size` processes with the variables that torchrun would set."""
    port = str(lasting_port())
    shared = {**os.environ, "WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            cwd=REPOSITORY,
            env={**shared, "RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]
    return [(process.wait(240), process.communicate()[0]) for process in processes]


def test_all_ranks_hear_the_same() -> None:
    answers = together(TALK, 3)
    assert {code for code, _ in answers} == {0}
    heard = {output for _, output in answers}
    assert len(heard) == 1
    numbers, agreed, value, tensors = json.loads(heard.pop())
    assert numbers == pytest.approx([0.6, 6e-8])
    assert agreed == [True, False]
    assert value == {"step": 7, "best": None}
    assert tensors == {"a/b": ["torch.bfloat16", [0.0, 1.0, 2.0]], "steps": ["torch.int64", 4]}


def test_a_killed_peer_is_noticed_without_a_time_out() -> None:
    (code, output), (killed, _) = together(LEAVE, 2)
    assert (code, killed) == (0, -9)
    assert "another process of this training has died" in output


def test_the_place_is_what_torchrun_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    assert place() == Place() and place().is_main
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(ConfigError, match="MASTER_ADDR and MASTER_PORT not: start the program with torchrun"):
        place()
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "1")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert place() == Place(rank=3, size=4, local_rank=1, local_size=2) and not place().is_main
    monkeypatch.setenv("RANK", "three")
    with pytest.raises(ConfigError, match="RANK=three"):
        place()
