"""How long a sweep's parts wait for each other."""

from __future__ import annotations

from dataclasses import dataclass

AGENT_POLL = 5.0  # seconds between two heartbeats of `wandb agent` 0.31; neither flag nor variable changes it


@dataclass(frozen=True, kw_only=True)
class Timings:
    """All in seconds. A heartbeat's client gives up after 60 s, so `turn + suggestion` stays below that."""

    agent_silence: float = (
        120.0  # a silent agent's trial that never started counts as failed; clients back off 60 s
    )
    turn: float = 10.0  # longest wait for another heartbeat of the same sweep
    suggestion: float = 40.0  # longest search for one point; the search process is then replaced
    early_termination: float = 1.0  # least time between two looks at a sweep's curves
    idle_search: float = 300.0  # a search process unused for so long is ended
