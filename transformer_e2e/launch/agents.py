"""Real `wandb agent` processes: started side by side, replaced when they leave early, stopped in order."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from transformer_e2e.errors import LaunchError
from transformer_e2e.launch.sessions import members, signal_members
from transformer_e2e.launch.sweep import WANDB, SweepPath

# A trial writes its checkpoint within the 30 s that W&B itself grants it; then the agent notices.
GRACE_SECONDS = 45.0
_POLL_SECONDS = 0.1
_STARTED = re.compile(r"Agent starting run with config")
_TOLD_TO_LEAVE = re.compile(r"Received exit command")
_GAVE_UP = re.compile(r"(Detected \d+ (?:consecutive )?failed runs[^,\n]*), shutting down")


class Leaving(Enum):
    """Why an agent is no longer there."""

    DONE = "the sweep has nothing left for it"
    COUNT = "it ran as many trials as --count says"
    GAVE_UP = "too many of its trials failed"
    DIED = "it ended without being told to"


@dataclass
class Agent:
    """One `wandb agent` process, leader of a session of its own, and the file that it writes to."""

    number: int
    process: subprocess.Popen[bytes]
    log: Path
    count: int | None

    def tail(self, lines: int = 6) -> list[str]:
        return self.text().rstrip().splitlines()[-lines:]

    def text(self) -> str:
        try:
            return self.log.read_text(errors="replace")
        except OSError:
            return ""


@dataclass(frozen=True)
class Departure:
    """An agent that has ended, and why."""

    agent: Agent
    reason: Leaving
    detail: str

    @property
    def early(self) -> bool:
        return self.reason in (Leaving.GAVE_UP, Leaving.DIED)


def agent_command(path: SweepPath, count: int | None) -> list[str]:
    """argv of one agent. Signals are forwarded, so that its trial can write a checkpoint."""
    limit = ["--count", str(count)] if count is not None else []
    return [*WANDB, "agent", "--forward-signals", *limit, str(path)]


def why_left(text: str, exit_code: int, count: int | None) -> tuple[Leaving, str]:
    """Read from an agent's log why it ended; its exit code is 0 for nearly every reason."""
    if _TOLD_TO_LEAVE.search(text):
        return Leaving.DONE, Leaving.DONE.value
    if found := _GAVE_UP.search(text):
        return Leaving.GAVE_UP, found[1]
    if count is not None and exit_code == 0 and len(_STARTED.findall(text)) >= count:
        return Leaving.COUNT, Leaving.COUNT.value
    if exit_code < 0:
        return Leaving.DIED, f"killed by {signal.Signals(-exit_code).name}"
    return Leaving.DIED, f"{Leaving.DIED.value} (exit code {exit_code})"


@dataclass
class AgentPool:
    """`size` agents of one sweep. Not to be shared between threads."""

    path: SweepPath
    size: int
    environment: Mapping[str, str]
    log_dir: Path
    count: int | None = None
    pass_fds: Sequence[int] = ()
    max_replacements: int = 6
    agents: list[Agent] = field(default_factory=list)
    _sessions: list[int] = field(default_factory=list)
    _replaced: int = 0

    def start(self) -> None:
        """Start all agents. Raises LaunchError when one cannot be started; those before it run on."""
        self.log_dir.mkdir(parents=True, exist_ok=True)
        for _ in range(self.size):
            self._start_one(self.count)

    def departures(self) -> list[Departure]:
        """The agents that ended since the last call, with their reasons."""
        gone = [agent for agent in self.agents if agent.process.poll() is not None]
        self.agents = [agent for agent in self.agents if agent not in gone]
        return [Departure(a, *why_left(a.text(), a.process.returncode, a.count)) for a in gone]

    def replace(self, departure: Departure) -> Agent | None:
        """A new agent in place of one that left early, for the trials that it still owed.

        None when it gave up on failing trials (the next one would, too), owes nothing, or too many left.
        """
        if departure.reason is not Leaving.DIED or self._replaced >= self.max_replacements:
            return None
        owed = departure.agent.count
        if owed is not None:
            owed -= len(_STARTED.findall(departure.agent.text()))
            if owed <= 0:
                return None
        self._replaced += 1
        return self._start_one(owed)

    def stop(self, hurry: Callable[[], int] = lambda: 0, grace: float = GRACE_SECONDS) -> None:
        """End every agent and trial, and return when they are gone.

        First each agent is asked: it hands the signal to its trial, which writes a checkpoint, and waits
        for it. After `grace` seconds, or when `hurry()` rises, it is asked again, then told to kill its
        trial, then killed itself together with whatever a dead agent had left behind.
        """
        pressed = hurry()
        for step, seconds in enumerate((grace, 10.0, 5.0)):
            self._ask()
            if self._wait(seconds, lambda step=step: hurry() > pressed + step):  # type: ignore[misc]
                return
        for session in self._sessions:
            signal_members(session, signal.SIGKILL)
        for agent in self.agents:
            agent.process.kill()
        self._wait(5.0, lambda: False)

    def alive(self) -> bool:
        """Whether an agent, or a trial that a dead agent had started, is still there."""
        return any(a.process.poll() is None for a in self.agents) or bool(self._orphans())

    def _start_one(self, count: int | None) -> Agent:
        number = self._number()
        log = self.log_dir / f"agent-{number}.log"
        command = agent_command(self.path, count)
        try:
            with log.open("xb") as output:
                process = subprocess.Popen(
                    command,
                    env=dict(self.environment),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C is for us: agents are asked, and before the server
                    pass_fds=tuple(self.pass_fds),
                )
        except OSError as error:
            raise LaunchError(f"cannot start `{' '.join(command)}`: {error}") from None
        agent = Agent(number, process, log, count)
        self.agents.append(agent)
        self._sessions.append(process.pid)
        return agent

    def _number(self) -> int:
        """The first one without a log: whoever goes on with a sweep keeps what was said before."""
        used = (log.stem.removeprefix("agent-") for log in self.log_dir.glob("agent-*.log"))
        return 1 + max((int(number) for number in used if number.isdigit()), default=0)

    def _ask(self) -> None:
        for agent in self.agents:
            if agent.process.poll() is None:
                agent.process.send_signal(signal.SIGTERM)
        for session in self._orphans():
            signal_members(session, signal.SIGTERM)

    def _orphans(self) -> list[int]:
        """Sessions whose agent is gone while a trial of it lives."""
        led = {agent.process.pid for agent in self.agents if agent.process.poll() is None}
        return [session for session in self._sessions if session not in led and members(session)]

    def _wait(self, seconds: float, until: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + seconds
        while self.alive():
            if time.monotonic() > deadline or until():
                return False
            time.sleep(_POLL_SECONDS)
        return True
