"""A sweep from its file to its best model: server, `wandb sweep`, agents, table, pictures, sample."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transformer_e2e.errors import ConfigError, LaunchError, complain
from transformer_e2e.launch import report
from transformer_e2e.launch.agents import AgentPool
from transformer_e2e.launch.console import open_console
from transformer_e2e.launch.environment import (
    DEFAULT_PROJECT,
    available_cores,
    default_agents,
    for_agent,
    with_own_python_first,
)
from transformer_e2e.launch.interrupts import Interrupts
from transformer_e2e.launch.samples import uses
from transformer_e2e.launch.screen import Screen, screen_for
from transformer_e2e.launch.server import EmbeddedServer, connected
from transformer_e2e.launch.spec import load_spec, metric_of, searched
from transformer_e2e.launch.sweep import SweepPath, create_sweep, set_state
from transformer_e2e.launch.sweep_pictures import picture_sweep
from transformer_e2e.launch.trials import Progress, TrialRow, finished_best, progress, rows_of
from transformer_e2e.launch.watch import Lookout, Watch
from transformer_e2e.runs.tracker_connection import Connection, is_online
from transformer_e2e.runs.tracker_queries import sweep_state

SAMPLE_SECONDS = 300.0


@dataclass(frozen=True, kw_only=True)
class SweepOrder:
    """What the user asked for: `spec` (a new sweep) or `sweep` (`entity/project/id`, go on with it)."""

    spec: Path | None = None
    spec_name: str | None = None  # what messages call it; None: by its path
    override: Path | None = None  # what of `spec` is to be otherwise
    sweep: str | None = None
    agents: int | None = None  # None: what suits the cores
    count: int | None = None  # trials an agent runs before it leaves; None: until the sweep ends
    root: Path = Path("wandb_server")
    project: str | None = None
    entity: str | None = None
    sample: bool = True
    prompt: str = "Return a"
    log_dir: Path = Path("logs")
    plot_dir: Path = Path("training_plots")
    log_file: str | None = None


@dataclass(frozen=True)
class _Sweep:
    """The sweep at work: its path on W&B and what its specification says."""

    path: SweepPath
    spec: dict[str, Any]
    say: Callable[[str], None]

    @property
    def metric(self) -> str:
        return metric_of(self.spec)[0]

    @property
    def goal(self) -> str:
        return metric_of(self.spec)[1]

    def look(self) -> tuple[str, list[TrialRow]]:
        """State and trials as W&B has them now. Raises TrackerError."""
        view = sweep_state(str(self.path))
        return view.state, rows_of(view, self.metric)


def run_sweep(order: SweepOrder) -> int:
    """Run the sweep to its end and report it; the exit code.

    0: the agents did what was asked and a trial finished; 1: they did not; 130 (143): interrupted, agents
    and trials have ended after a checkpoint. Raises UserError before anything is left running.
    """
    say = open_console(order.log_file)
    order = _checked(order)
    spec = load_spec(order.spec, override=order.override, called=order.spec_name) if order.spec else None
    with Interrupts() as interrupts, connected(order.root) as server:
        if server:
            say(server.introduction)
        else:
            Connection.configured().viewer(seconds=15.0)  # `wandb` itself tries a wrong address for minutes
        sweep = _create(order, spec, say) if spec is not None else _existing(order, say)
        root = order.root if server else None
        say(f"sweep {sweep.path}" + (f"  {sweep.path.url}" if sweep.path.url else ""))
        say(report.join_line(str(sweep.path), server.url if server else None, order.root))
        try:
            lost = 0 if interrupts.count else _work(order, sweep, server, interrupts)
        finally:
            if interrupts.count:
                say("stopped; trials that had begun to train kept a checkpoint. To go on:")
                say(report.continue_line(str(sweep.path), root))
        if interrupts.count:
            return interrupts.exit_code
        return _finish(order, sweep, root, lost) or interrupts.exit_code


def _checked(order: SweepOrder) -> SweepOrder:
    """`order` with its defaults; everything wrong with it at once."""
    problems = []
    if (order.spec is None) == (order.sweep is None):
        problems.append("give a sweep file such as sweeps/quickstart.yaml, or --sweep ENTITY/PROJECT/ID")
    if order.override and not order.spec:
        problems.append("--override changes a sweep file; a sweep that exists cannot be changed")
    for name, value in (("agents", order.agents), ("count", order.count)):
        if value is not None and value < 1:
            problems.append(f"--{name}={value} must be at least 1")
    if not is_online():
        problems.append(
            f"WANDB_MODE={os.environ['WANDB_MODE']}: a sweep needs a server to hand out its trials; unset it "
            f"(without a W&B account the embedded server is used)"
        )
    ConfigError.raise_if(problems, title="cannot run a sweep")
    return replace(order, agents=order.agents or default_agents(available_cores()))


def _create(order: SweepOrder, spec: dict[str, Any], say: Callable[[str], None]) -> _Sweep:
    project = order.project or os.environ.get("WANDB_PROJECT") or spec.get("project") or DEFAULT_PROJECT
    environment = with_own_python_first(os.environ)
    return _Sweep(create_sweep(spec, environment, project=project, entity=order.entity), spec, say)


def _existing(order: SweepOrder, say: Callable[[str], None]) -> _Sweep:
    """The sweep that `--sweep` names, running again if it was paused."""
    entity = order.entity or os.environ.get("WANDB_ENTITY")
    if (order.sweep or "").count("/") < 2 and entity is None:
        entity = Connection.configured().viewer()
    project = order.project or os.environ.get("WANDB_PROJECT") or DEFAULT_PROJECT
    path = SweepPath.parse(order.sweep or "", entity=entity, project=project)
    view = sweep_state(str(path))
    if view.state.upper().startswith("CANCEL"):
        raise LaunchError(f"sweep {path} was cancelled and hands out no more trials; start a new one")
    if view.state.upper() == "PAUSED":
        set_state(path, "resume", with_own_python_first(os.environ))
    return _Sweep(path, view.config, say)


def _work(order: SweepOrder, sweep: _Sweep, server: EmbeddedServer | None, interrupts: Interrupts) -> int:
    """Run the agents until they leave. Returns how many left early without a replacement."""
    agents = order.agents or 1
    state, known = sweep.look()
    if state.upper() == "FINISHED":
        return 0
    pool = AgentPool(
        path=sweep.path,
        size=agents,
        environment=for_agent(os.environ, agents=agents, cores=available_cores()),
        log_dir=order.log_dir / sweep.path.id,
        count=order.count,
        pass_fds=(server.users_fd,) if server else (),
    )
    total = _total(sweep.spec, len(known), agents, order.count)

    def summarise(rows: Sequence[TrialRow]) -> Progress:
        return progress(rows, total=total, agents=agents, goal=sweep.goal, now=time.time())

    sweep.say(f"{agents} agents, logs in {pool.log_dir}/" + (f", server in {order.root}/" if server else ""))
    lookout = Lookout(sweep.look)
    with screen_for(sweep.metric, sweep.goal, sweep.say) as screen:
        watch = Watch(pool, lookout, screen, interrupts, summarise, server.revive if server else lambda: None)
        try:
            pool.start()
            lookout.start()
            watch.until_done()
        finally:
            lookout.stop()
            _end(pool, screen, interrupts)
    return len(watch.lost)


def _end(pool: AgentPool, screen: Screen, interrupts: Interrupts) -> None:
    """Agents and trials first; the server ends when the block that holds it does."""
    if pool.alive():
        screen.say("asking the agents to stop; their trials write a checkpoint (again Ctrl-C: faster)")
        pool.stop(hurry=lambda: interrupts.count)


def _total(spec: dict[str, Any], known: int, agents: int, count: int | None) -> int | None:
    """Trials of the sweep when these agents are done; None if nothing ends it."""
    from transformer_e2e.search.size import point_count

    limits = [point_count(spec), None if count is None else known + agents * count]
    return min((limit for limit in limits if limit is not None), default=None)


def _finish(order: SweepOrder, sweep: _Sweep, root: Path | None, lost: int) -> int:
    """Report, and judge the sweep."""
    state, rows = sweep.look()
    best = finished_best(rows, sweep.goal)
    names = searched(sweep.spec)
    sweep.say("\n" + report.table(rows, names, sweep.metric, sweep.goal))
    picture_sweep(sweep.path, sweep.spec, rows, order.plot_dir, sweep.say)
    commands: list[list[str]] = []
    trials = report.checkpoint_root(best or rows[0]) if rows else Path("model_checkpoints")
    if best is not None:
        if yardsticks := report.yardstick_lines(best):
            sweep.say("\n" + "\n".join(yardsticks))
        artifact = report.artifact_of(best, f"{sweep.path.entity}/{sweep.path.project}")
        commands = uses(best.settings, ["--artifact", artifact], order.prompt)
        if order.sample:
            _sample(artifact, commands[0], sweep.say)
    sweep.say("\n" + "\n".join(report.next_steps(str(sweep.path), commands, root, trials)))
    for line in report.failure_lines(rows, order.log_dir / sweep.path.id):
        sweep.say(line)
    return _verdict(sweep, state, rows, lost, order)


def _verdict(sweep: _Sweep, state: str, rows: Sequence[TrialRow], lost: int, order: SweepOrder) -> int:
    logs = order.log_dir / sweep.path.id
    if not any(row.outcome in ("finished", "diverged") for row in rows):
        complain(
            f"no trial of {len(rows)} finished; what they said is in {logs}/. Start one by hand with the "
            f"arguments that its log shows, and see why"
        )
        return 1
    if lost and state.upper() != "FINISHED":
        complain(
            f"the sweep is not finished: {lost} agents left early; why is at the end of their logs in "
            f"{logs}/. The command with --sweep above goes on with it"
        )
        return 1
    return 0


def _sample(artifact: str, command: Sequence[str], say: Callable[[str], None]) -> None:
    """Let the best model work, as a user would; a failure is shown and changes nothing else."""
    say(f"\na sample from {artifact}:")
    with contextlib.suppress(subprocess.TimeoutExpired):
        done = subprocess.run(
            [sys.executable, *command],
            env={**os.environ, "WANDB_SILENT": "true"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            timeout=SAMPLE_SECONDS,
        )
        if done.returncode == 0:
            say(done.stdout.rstrip())
            return
    say(f"warning: no sample; try it by hand: {shlex.join(['python', *command])}")
