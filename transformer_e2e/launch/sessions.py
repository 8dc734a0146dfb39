"""Processes of a session that we started, found again although the process that led it is gone."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

_PROC = Path("/proc")


def members(session: int) -> list[int]:
    """Live processes of the session whose leader had the pid `session`; [] where /proc does not tell.

    The kernel does not give a pid away while a session of that number has members, so what is found
    descends from the process that we started.
    """
    if not _PROC.is_dir():
        return []
    return [pid for pid in (int(p.name) for p in _PROC.iterdir() if p.name.isdigit()) if _is_in(pid, session)]


def signal_members(session: int, signum: signal.Signals) -> int:
    """Send `signum` to every live member of `session`. Returns how many got it."""
    sent = 0
    for pid in members(session):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signum)
            sent += 1
    return sent


def _is_in(pid: int, session: int) -> bool:
    try:
        # After the name in parentheses: state, parent, group, session (proc(5)).
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return False
    return len(fields) > 3 and fields[0] not in "ZX" and int(fields[3]) == session
