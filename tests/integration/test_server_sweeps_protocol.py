"""What agents are told, request by request: exactly once, whatever is repeated, lost, slow or killed."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.integration.sweep_driver import Agent, Sweep, ask, children_of, finish, grid
from tests.serving import ServerProcess

POLL = 5.1  # an agent that got its answer asks again no sooner than 5 s later


def hyperband(**more: Any) -> dict[str, Any]:
    return grid(
        20,
        metric={"name": "loss", "goal": "minimize"},
        early_terminate={"type": "hyperband", "min_iter": 1, "eta": 2},
        **more,
    )


def after_one_trial(server: Any) -> tuple[Sweep, Agent, int]:
    """A grid whose first trial has finished, its idle agent, and the process that searches for it."""
    before = children_of(server.process.pid)
    sweep = Sweep(server, grid(9))
    agent = sweep.agent()
    finish(sweep, agent.next()["run_id"])
    (search,) = children_of(server.process.pid) - before
    return sweep, agent, search


def test_each_of_200_points_is_issued_once_to_64_agents_at_once(shared_server: ServerProcess) -> None:
    spec = {
        "method": "grid",
        "program": "t.py",
        "parameters": {"x": {"values": list(range(40))}, "y": {"values": ["a", "b", "c", "d", "e"]}},
    }
    sweep = Sweep(shared_server, spec)

    def work(_: int) -> list[tuple[str, int, str]]:
        agent, got = sweep.agent(), []
        while True:
            for command in agent.beat():
                if command["type"] == "exit":
                    return got
                args = command["args"]
                got.append((command["run_id"], args["x"]["value"], args["y"]["value"]))
                finish(sweep, command["run_id"])
            time.sleep(0.05)

    with ThreadPoolExecutor(64) as pool:
        got = [item for items in pool.map(work, range(64)) for item in items]
    wanted = {(x, y) for x in range(40) for y in "abcde"}
    assert Counter((x, y) for _, x, y in got) == dict.fromkeys(wanted, 1)
    assert len({run for run, _, _ in got}) == 200
    assert [row["number"] for row in sweep.ledger()] == list(range(200))
    view = sweep.view()
    assert (view["state"], view["runCount"], view["runCountExpected"]) == ("FINISHED", 200, 200)


def test_a_busy_agent_gets_no_second_trial(shared_server: ServerProcess) -> None:
    agent = Sweep(shared_server, grid(2)).agent()
    run = agent.next()["run_id"]
    assert agent.beat(run) == []
    assert agent.beat(run) == []


def test_a_command_whose_answer_was_lost_is_given_again(shared_server: ServerProcess) -> None:
    sweep = Sweep(shared_server, grid(3))
    agent = sweep.agent()
    lost = agent.next()
    assert agent.next() == lost  # asked again sooner than an agent that got its answer would
    assert agent.beat(lost["run_id"]) == []
    assert len(sweep.ledger()) == 1


def test_a_trial_that_ended_before_it_began_is_failed_and_not_repeated(shared_server: ServerProcess) -> None:
    sweep = Sweep(shared_server, grid(2))
    agent, watched = sweep.agent(), sweep.agent()
    first, second = agent.next(), watched.next()
    assert watched.beat(second["run_id"]) == []
    assert watched.beat() == []  # seen, then gone; the other agent's trial is still open
    assert sweep.state(second["run_id"]) == "failed"
    assert sweep.state(first["run_id"]) == "pending"
    time.sleep(POLL)
    assert agent.next() == {"type": "exit"}
    assert sweep.state(first["run_id"]) == "failed"
    assert sweep.view()["state"] == "FINISHED"


def test_a_running_trial_that_vanished_is_failed(shared_server: ServerProcess) -> None:
    sweep = Sweep(shared_server, grid(2))
    agent = sweep.agent()
    run = agent.next()["run_id"]
    sweep.log(run, 0.5)
    assert sweep.state(run) == "running"
    assert agent.beat(run) == []
    assert agent.next()["args"] == {"x": {"value": 1}}
    assert sweep.state(run) == "failed"


def test_a_preempted_trial_is_handed_back_with_run_and_parameters(shared_server: ServerProcess) -> None:
    sweep = Sweep(shared_server, grid(2))
    first, second = sweep.agent(), sweep.agent()
    command = first.next()
    run = command["run_id"]
    sweep.log(run, 0.5)
    assert first.beat(run) == []
    sweep.post(run, preempting=True)
    sweep.post(run, complete=True, exitcode=1)
    assert sweep.state(run) == "preempted"
    again = second.next()
    assert again == {**command, "type": "resume"}
    assert [(row["run_name"], row["attempt"]) for row in sweep.ledger()] == [(run, 2)]
    assert second.beat(run) == []
    assert first.next()["args"] == {"x": {"value": 1}}  # the trial is no longer its own
    assert sweep.state(run) == "pending"
    finish(sweep, run)
    assert sweep.state(run) == "finished"


def test_a_sweep_waits_for_its_preempted_trial_and_ends_with_it(shared_server: ServerProcess) -> None:
    sweep = Sweep(shared_server, grid(1))
    agent = sweep.agent()
    run = agent.next()["run_id"]
    sweep.post(run, preempting=True)
    sweep.post(run, complete=True, exitcode=1)
    assert sweep.view()["state"] == "RUNNING"
    assert agent.next()["type"] == "resume"
    assert agent.beat(run) == []
    assert agent.next() == {"type": "exit"}  # it died before it began: no second preemption
    assert sweep.state(run) == "failed"
    assert sweep.view()["state"] == "FINISHED"


def test_pause_resume_and_stop(shared_server: ServerProcess) -> None:
    sweep = Sweep(shared_server, grid(5))
    busy, idle = sweep.agent(), sweep.agent()
    run = busy.next()["run_id"]
    sweep.set(state="PAUSED")
    assert busy.beat(run) == idle.beat() == []
    sweep.set(state="RUNNING")
    other = idle.next()
    assert other["type"] == "run"
    finish(sweep, other["run_id"])
    sweep.set(state="FINISHED")
    assert busy.beat(run) == []  # its trial may finish
    assert idle.next() == {"type": "exit"}
    finish(sweep, run)
    assert busy.next() == {"type": "exit"}
    assert {node["state"] for node in sweep.view()["runs"]} == {"finished"}


def test_cancel_stops_every_trial_and_says_so_until_it_is_gone(shared_server: ServerProcess) -> None:
    sweep = Sweep(shared_server, grid(5))
    agent, other = sweep.agent(), sweep.agent()
    run, unseen = agent.next()["run_id"], other.next()["run_id"]
    sweep.log(run, 0.5)
    sweep.set(state="CANCELED")
    assert agent.next(run) == agent.next(run) == {"type": "stop", "run_id": run}
    assert agent.next() == other.next() == {"type": "exit"}
    states = {node["name"]: (node["state"], node["stopReason"]) for node in sweep.view()["runs"]}
    assert states == {run: ("killed", "cancelled"), unseen: ("killed", "cancelled")}


def test_hyperband_stops_the_worse_trials_for_the_recorded_reason(shared_server: ServerProcess) -> None:
    sweep = Sweep(shared_server, hyperband())
    agents = [sweep.agent() for _ in range(4)]
    runs = [agent.next()["run_id"] for agent in agents]
    for run, loss in zip(runs, (0.1, 0.2, 0.3, 0.9), strict=True):
        sweep.log(run, loss)
    time.sleep(1.1)  # a sweep's curves are looked at once a second
    told = [agent.beat(run) for agent, run in zip(agents, runs, strict=True)]
    assert told == [[], [], [], [{"type": "stop", "run_id": runs[3]}]]
    sweep.post(runs[3], complete=True, exitcode=0)  # a clean end does not hide that it was told to stop
    node = next(node for node in sweep.view()["runs"] if node["name"] == runs[3])
    assert (node["state"], node["stopReason"]) == ("killed", "pruned")


def test_the_best_value_comes_from_the_history_else_the_summary(shared_server: ServerProcess) -> None:
    sweep = Sweep(shared_server, grid(3, metric={"name": "loss", "goal": "minimize"}))
    assert sweep.view()["bestLoss"] is None
    first, second = (sweep.agent().next()["run_id"] for _ in range(2))
    sweep.log(first, 0.5, 0.2, 0.7)
    assert sweep.view()["bestLoss"] == 0.2
    sweep.log(first, 0.1, offset=3)
    assert sweep.view()["bestLoss"] == 0.1
    sweep.post(second, files={"wandb-summary.json": {"offset": 0, "content": ['{"loss": 0.05}']}})
    assert sweep.view()["bestLoss"] == 0.05


def test_run_cap_ends_a_sweep_even_after_its_agent_has_left(shared_server: ServerProcess) -> None:
    uniform = {"x": {"min": 0.0, "max": 1.0}}
    sweep = Sweep(shared_server, {"method": "random", "program": "t.py", "run_cap": 2, "parameters": uniform})
    agent = sweep.agent()
    runs = []
    for _ in range(2):
        runs.append(agent.next()["run_id"])
        agent.beat(runs[-1])
        finish(sweep, runs[-1])
    assert sweep.view()["state"] == "FINISHED"
    assert agent.next() == {"type": "exit"}
    assert len(sweep.ledger()) == 2


def test_an_agent_waits_while_another_works_on_the_last_trial(shared_server: ServerProcess) -> None:
    sweep = Sweep(shared_server, grid(1))
    busy, idle = sweep.agent(), sweep.agent()
    run = busy.next()["run_id"]
    assert idle.beat() == []  # it may be preempted and handed back
    finish(sweep, run)
    assert idle.next() == busy.next() == {"type": "exit"}


def test_a_changed_config_decides_from_the_next_trial_on(shared_server: ServerProcess) -> None:
    sweep = Sweep(shared_server, grid(2))
    agent = sweep.agent()
    first = agent.next()
    finish(sweep, first["run_id"])
    assert not sweep.set(config="{method: grid, program: new.py, parameters: {x: {values: [0, 7]}}}").errors
    second = agent.next()
    assert (second["program"], second["args"]) == ("new.py", {"x": {"value": 7}})


def test_a_bad_config_is_refused_with_every_problem_and_changes_nothing(shared_server: ServerProcess) -> None:
    sweep = Sweep(shared_server, grid(2))
    answer = sweep.set(config="{method: gird, run_cap: 0, parameters: {x: {values: []}}}", state="PAUSED")
    assert answer.status == 400
    for part in ("gird", "did you mean grid", "run_cap", "x"):
        assert part in answer.errors
    assert sweep.view()["state"] == "PENDING"
    assert sweep.agent().next()["args"] == {"x": {"value": 0}}
    for text in ("- 1\n- 2\n", "{", ""):
        assert "invalid sweep configuration" in sweep.set(config=text or " ").errors


def test_numbers_without_a_point_are_numbers(shared_server: ServerProcess) -> None:
    learning_rate = {"distribution": "log_uniform_values", "min": "1e-5", "max": "1e-4"}
    parameters = {"learning_rate": learning_rate}
    sweep = Sweep(shared_server, {"method": "random", "program": "t.py", "parameters": parameters})
    values = [sweep.agent().next()["args"]["learning_rate"]["value"] for _ in range(5)]
    assert all(isinstance(value, float) and 1e-5 <= value <= 1e-4 for value in values)
    assert len(set(values)) == 5


def test_nested_parameters_keep_their_shape(shared_server: ServerProcess) -> None:
    nested = {"parameters": {"kind": {"value": "adam"}, "decay": {"values": [0.0, 0.1]}}}
    spec = {"method": "grid", "program": "t.py", "parameters": {"optimizer": nested}}
    got = [Sweep(shared_server, spec).agent().next()["args"]]
    assert got == [{"optimizer": {"value": {"kind": "adam", "decay": 0.0}}}]


def test_an_unknown_agent_is_sent_home(shared_server: ServerProcess) -> None:
    sweep = Sweep(shared_server, grid(1))
    known = sweep.agent()
    unknown = Agent(shared_server, "QWdlbnQ6OTk5OQ==")  # Agent:9999
    query = 'mutation H($id: ID!) { agentHeartbeat(input: {id: $id, runState: "{}"}) { commands } }'
    assert ask(shared_server, query, id=unknown.id).status == 404  # wandb reads it as a deleted sweep
    assert ask(shared_server, query, id=known.id).status == 200
    assert ask(shared_server, query, id="nonsense").status == 400


def test_agents_are_listed_with_their_trials(shared_server: ServerProcess) -> None:
    sweep = Sweep(shared_server, grid(3))
    agent = sweep.agent()
    agent.next()
    (seen,) = sweep.view()["agents"]
    assert (seen["id"], seen["host"], seen["state"], seen["totalRuns"]) == (agent.id, "here", "RUNNING", 1)


def test_a_search_that_died_is_replaced(shared_server: ServerProcess) -> None:
    _, agent, search = after_one_trial(shared_server)
    os.kill(search, signal.SIGKILL)
    assert agent.next()["args"] == {"x": {"value": 1}}


def test_nobody_else_waits_for_a_slow_search(shared_server: ServerProcess) -> None:
    slow, idle, search = after_one_trial(shared_server)
    busy, quick = slow.agent(), Sweep(shared_server, grid(9)).agent()
    run = busy.next()["run_id"]
    os.kill(search, signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(idle.next)
            time.sleep(0.3)
            start = time.monotonic()
            assert busy.beat(run) == []
            slow.log(run, 0.5)
            assert quick.next()["type"] == "run"
            assert slow.view()["state"] == "RUNNING"
            assert time.monotonic() - start < 9  # whoever waits for a turn of the sweep waits for 10 s
            assert not asked.done()
            os.kill(search, signal.SIGCONT)
            assert asked.result()["args"] == {"x": {"value": 2}}
    finally:
        os.kill(search, signal.SIGCONT)


def test_a_pause_that_comes_while_the_search_thinks_is_obeyed(shared_server: ServerProcess) -> None:
    sweep, agent, search = after_one_trial(shared_server)
    os.kill(search, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(agent.beat)
        time.sleep(0.3)
        sweep.set(state="PAUSED")
        os.kill(search, signal.SIGCONT)
        assert asked.result() == []
    assert len(sweep.ledger()) == 1
