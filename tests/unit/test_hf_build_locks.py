"""A lock that a killed compilation has left behind does not hold up the next one for ever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from transformer_e2e.hf import build_locks

# As torch.utils.cpp_extension does it, with a compiler that takes its time.
BUILD = """
import subprocess, sys, time
from torch.utils.file_baton import FileBaton
assert FileBaton(sys.argv[1] + "/lock").try_acquire()
subprocess.Popen(["sleep", sys.argv[2]], cwd=sys.argv[1], stdout=subprocess.DEVNULL)
print("compiling", flush=True)
time.sleep(600)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    found = tmp_path / "deepspeed_shm_comm"
    found.mkdir()
    return found


def building(folder: Path, compiler_seconds: float) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", BUILD, str(folder), str(compiler_seconds)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None and process.stdout.readline() == b"compiling\n"
    return process


def test_the_lock_of_a_live_process_stays_and_a_killed_ones_goes(folder: Path) -> None:
    assert build_locks.free_stale() == []
    process = building(folder, compiler_seconds=0)
    (note,) = build_locks.free_stale()
    assert f"process {process.pid} compiles in {folder}" in note and (folder / "lock").exists()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert (folder / "lock").exists()
    (note,) = build_locks.free_stale()
    assert f"{folder}/lock was left by a killed compilation" in note
    assert not (folder / "lock").exists()


def test_a_compiler_that_outlives_its_parent_is_awaited(folder: Path) -> None:
    process = building(folder, compiler_seconds=4)
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert Path(f"/proc/{child}").exists()
    assert "removed" in build_locks.free_stale()[0]
    assert not Path(f"/proc/{child}/cwd").exists()


def test_where_another_machine_may_build_a_person_decides(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "lock").touch()
    monkeypatch.setattr(build_locks, "SHARED", (build_locks._file_system(folder),))
    (note,) = build_locks.free_stale()
    assert "remove that file" in note and (folder / "lock").exists()
