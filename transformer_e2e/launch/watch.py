"""Stay with the agents of a sweep until they are gone: show, replace, revive, or stop them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from transformer_e2e.errors import UserError
from transformer_e2e.launch.agents import AgentPool, Departure
from transformer_e2e.launch.interrupts import Interrupts
from transformer_e2e.launch.screen import Screen
from transformer_e2e.launch.trials import Progress, TrialRow

LOOK_SECONDS = 2.0
_TICK_SECONDS = 0.2
_REVIVE_SECONDS = 3.0
_PAUSE_SECONDS = 2.0  # before an agent is replaced; doubled each time, since the cause may need a while to go
_LEFTOVER_SECONDS = 15.0  # how long processes of a dead agent may outlive the last trial


@dataclass
class View:
    """The newest answer of W&B about the sweep, and why the last question failed, if it did."""

    state: str = "PENDING"
    rows: Sequence[TrialRow] = ()
    error: str | None = None
    answers: int = 0


@dataclass
class Lookout:
    """Asks W&B in a thread of its own, since an unreachable server can keep a question for minutes."""

    ask: Callable[[], tuple[str, Sequence[TrialRow]]]
    view: View = field(default_factory=View)
    _ended: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        threading.Thread(target=self._run, daemon=True, name="lookout").start()

    def stop(self) -> None:
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                state, rows = self.ask()
                self.view = View(state, rows, None, self.view.answers + 1)
            except UserError as error:
                self.view = View(self.view.state, self.view.rows, str(error), self.view.answers)
            self._ended.wait(LOOK_SECONDS)


@dataclass
class Watch:
    """One stay with `pool`. `summarise` turns trials into numbers; `revive` keeps the server alive."""

    pool: AgentPool
    lookout: Lookout
    screen: Screen
    interrupts: Interrupts
    summarise: Callable[[Sequence[TrialRow]], Progress]
    revive: Callable[[], str | None] = lambda: None
    lost: list[Departure] = field(default_factory=list)  # agents that left early and were not replaced
    _vacant: list[tuple[float, Departure]] = field(default_factory=list)  # when to fill which place
    _pause: float = _PAUSE_SECONDS
    _unreachable: bool = False

    def until_done(self) -> None:
        """Return when every agent has left, or at the first interrupt. Raises LaunchError if the server
        keeps dying; agents are then still there."""
        next_revive = time.monotonic() + _REVIVE_SECONDS
        idle_since: float | None = None
        while not self.interrupts.count:
            self._note_departures()
            self._fill_places()
            if time.monotonic() >= next_revive:
                if done := self.revive():
                    self.screen.say(done)
                next_revive = time.monotonic() + _REVIVE_SECONDS
            self._show()
            if self.pool.agents or self._vacant:
                idle_since = None
            else:
                idle_since = idle_since or time.monotonic()
                if not self._leftovers(time.monotonic() - idle_since):
                    return
            time.sleep(_TICK_SECONDS)

    def _leftovers(self, idle: float) -> bool:
        """Whether to wait for a trial whose agent was killed; it goes on and reports by itself."""
        running = any(row.live for row in self.lookout.view.rows)
        return self.pool.alive() and (running or idle < _LEFTOVER_SECONDS)

    def _note_departures(self) -> None:
        for departure in self.pool.departures():
            if not departure.early:
                continue
            agent = departure.agent
            self.screen.say(
                f"warning: agent {agent.number} left early: {departure.detail}; the end of {agent.log}:"
            )
            for line in agent.tail():
                self.screen.say(f"  | {line}")
            self._vacant.append((time.monotonic() + self._pause, departure))
            self._pause *= 2

    def _fill_places(self) -> None:
        for place in [place for place in self._vacant if time.monotonic() >= place[0]]:
            self._vacant.remove(place)
            _, departure = place
            if self.lookout.view.state.upper() in ("FINISHED", "CANCELED", "CANCELLED"):
                continue
            replacement = self.pool.replace(departure)
            if replacement is None:
                self.lost.append(departure)
                self.screen.say(
                    f"warning: agent {departure.agent.number} is not replaced: its trials failed, too many "
                    f"agents have left, or it owes no trial. Why is at the end of {departure.agent.log}"
                )
            else:
                self.screen.say(f"agent {replacement.number} takes its place, log {replacement.log}")

    def _show(self) -> None:
        view = self.lookout.view
        if view.error and not self._unreachable:
            self.screen.say(
                f"warning: W&B does not answer, asking on: {view.error}. Trials go on, and send later"
            )
        self._unreachable = view.error is not None
        if view.answers:
            self.screen.show(self.summarise(view.rows), view.rows)
