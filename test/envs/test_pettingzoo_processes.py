"""Copies of an environment in several processes give what they give in one, and none of them outlives its use."""

import contextlib
import gc
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from kdmarl_core.contract import Box, Discrete, KdmarlError
from kdmarl_core.envs import pettingzoo_processes
from kdmarl_core.envs.base import EXPERT
from kdmarl_core.envs.pettingzoo import PettingZooEnv
from kdmarl_core.envs.pettingzoo_copies import Recipe
from kdmarl_core.evaluate import episodes
from running import descendants
from support import REPOSITORY

CREW = '''
"""Two hands choose what is open to them, a winch gives two numbers and is out early; away from home it may fail."""

import os
import signal
import sys
import time

import numpy as np
from gymnasium import spaces
from pettingzoo import ParallelEnv

DOORS = spaces.Dict({"observation": spaces.Box(-9, 9, (2,)), "action_mask": spaces.Box(0, 1, (4,), np.int8)})
PULL = spaces.Box(np.float32([-1, -2]), np.float32(1.5))


class Crew(ParallelEnv):
    def __init__(self, home=0, fault=""):
        self.possible_agents = ["hand_0", "winch", "hand_1"]
        self.fault = fault if os.getpid() != home else ""
        self.fail("make")

    def fail(self, when):
        what, _, at = self.fault.partition(" in ")
        if at != when:
            return
        if what == "raise":
            raise RuntimeError("the rope\\nparts")
        if what == "leave":
            sys.exit("enough")
        if what == "die":
            os._exit(7)
        if what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "hang":
            time.sleep(60)

    def observation_space(self, agent):
        return spaces.Box(-np.inf, np.inf, (3,), np.float64) if agent == "winch" else DOORS

    def action_space(self, agent):
        return PULL if agent == "winch" else spaces.Discrete(4)

    def observe(self):
        self.open = {agent: self.rng.integers(0, 2, 4).astype(np.int8) for agent in self.agents}
        for mask in self.open.values():
            mask[self.time % 4] = 1
        vector = {agent: self.rng.normal(size=2).astype(np.float32) for agent in self.agents}
        seen = {agent: {"observation": vector[agent], "action_mask": self.open[agent]} for agent in self.agents}
        return seen | ({"winch": self.rng.normal(size=3) + self.pulled} if "winch" in self.agents else {})

    def reset(self, seed=None, options=None):
        self.fail("reset")
        self.rng, self.time, self.pulled, self.agents = np.random.default_rng(seed), 0, 0.0, self.possible_agents[:]
        self.length = self.rng.integers(4, 8)
        return self.observe(), {agent: {} for agent in self.agents}

    def step(self, actions):
        self.fail("step")
        assert list(actions) == self.agents
        for agent, action in actions.items():
            if agent == "winch":
                assert PULL.contains(action)
                self.pulled += float(action.sum())
                action *= 0  # its own, to do with as it likes
            else:
                assert self.open[agent][action] == 1
        self.time += 1
        out = {agent: self.time >= (3 if agent == "winch" else self.length) for agent in self.agents}
        no = dict.fromkeys(self.agents, False)
        given = self.observe(), {agent: self.rng.normal() + self.pulled for agent in self.agents}
        self.agents = [agent for agent in self.agents if not out[agent]]
        return *given, out, no, {agent: {} for agent in no}
'''
DRIVER = """
import os, signal, sys
from kdmarl_core.envs.pettingzoo import PettingZooEnv
from kdmarl_core.envs.pettingzoo_copies import Recipe
from kdmarl_core.evaluate import episodes

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background processes ignore it
recipe = Recipe("crew_of_a_test:Crew", sys.argv[1], {"home": os.getpid(), "fault": sys.argv[2]})
env = PettingZooEnv(recipe, 2, 9, processes=2)
act = episodes.random_commands(0)
print("ready", flush=True)
while True:
    env.step(act(env))
    env.reset_ended()
"""
CREW_NAME, SPREAD, LISTENER = "crew_of_a_test:Crew", "mpe2.simple_spread_v3", "mpe2.simple_speaker_listener_v4"


def left_within(seconds: float, before: set[int]) -> set[int]:
    """Processes that were started since ``before`` and still run, at the latest after so long."""
    deadline = time.monotonic() + seconds
    while (left := set(descendants()) - before) and time.monotonic() < deadline:
        time.sleep(0.01)
    return left


@pytest.fixture(autouse=True)
def before():
    """Processes that run before the test; it must leave no others."""
    running = set(descendants())
    yield running
    gc.collect()
    left = left_within(10, running)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert not left


@pytest.fixture
def crew(tmp_path):
    """Makes environments of copies that fail in other processes than this one."""
    (tmp_path / "crew_of_a_test.py").write_text(CREW)

    def make(fault="", copies=3, processes=2) -> PettingZooEnv:
        recipe = Recipe(CREW_NAME, str(tmp_path), {"home": os.getpid(), "fault": fault})
        return PettingZooEnv(recipe, copies, 9, processes=processes)

    return make


def all_that_it_gives(env: PettingZooEnv) -> list[bytes]:
    """Bytes of two runs, the second from running episodes of different ages."""
    given: list[np.ndarray] = []
    for seed in (3, 4):
        env.reset(seed)
        if seed == 4:
            env.desynchronize()
        act = episodes.random_commands(seed)
        for _ in range(11):
            given += [*env.observe(EXPERT).values(), *env.state().values()]
            step = env.step(act(env))
            given += [step.reward, step.terminated, step.truncated, *step.episodes.values()]
            env.reset_ended()
    return [array.tobytes() for array in given]


@pytest.mark.parametrize(
    ("name", "arguments", "processes"),
    [
        (CREW_NAME, {}, (2, 3)),
        (f"{LISTENER}:parallel_env", {}, (2, 3)),
        (f"{SPREAD}:parallel_env", {"continuous_actions": True, "N": 2}, (3,)),
    ],
    ids=["crew", "listener", "spread"],
)
def test_results_do_not_depend_on_the_number_of_processes(crew, before, tmp_path, name, arguments, processes):
    recipe = Recipe(name, str(tmp_path), arguments)
    alone = PettingZooEnv(recipe, 5, 6)
    expected = all_that_it_gives(alone)
    assert len(set(expected)) > 50  # nothing stands still
    for count in processes:
        env = PettingZooEnv(recipe, 5, 6, processes=count)
        assert [len(env.copies), len(set(descendants()) - before)] == [-(-5 // count), count - 1]
        assert env.groups == alone.groups
        assert all_that_it_gives(env) == expected
        env.close()


def test_the_crew_has_masks_numbers_and_agents_that_are_out_early(crew):
    env = crew(copies=2, processes=1)
    assert [(group.name, type(group.action)) for group in env.groups] == [("hand", Discrete), ("winch", Box)]
    act = episodes.random_commands(0)
    rewards = [env.step(act(env)).reward[:, 2] for _ in range(4)]
    assert (rewards[3] == 0).all()
    assert (rewards[2] != 0).all()


def test_other_processes_end_with_their_environment(crew, before):
    env = crew(processes=3)
    assert len(set(descendants()) - before) == 2
    env.close()
    assert not left_within(0, before)
    with pytest.raises(KdmarlError, match=f"task.env: {CREW_NAME}: its processes have ended; make the environment ag"):
        env.reset(1)
    env.close()  # a second time does nothing
    env = crew()
    assert set(descendants()) - before
    del env
    gc.collect()
    assert not left_within(0, before)


@pytest.mark.parametrize(
    ("fault", "sentence", "shown"),
    [
        (
            "raise in make",
            r"copy 2: called with \(.*\) it fails \(RuntimeError: the rope parts\); correct its arg",
            False,
        ),
        ("raise in reset", "copy 2: its reset raises RuntimeError: the rope parts; fix the environment, see", True),
        ("raise in step", "copy 2: its step raises RuntimeError: the rope parts; fix the environment, see the", True),
        ("leave in step", "copy 2: its step raises SystemExit: enough; fix the environment", True),
        (
            "die in step",
            "copy 2: its process has ended with exit code 7; if memory ran out, lower task.processes",
            False,
        ),
        ("kill in make", "copy 2: its process was ended by SIGKILL; if memory ran out, lower task.processes or", False),
    ],
)
def test_what_goes_wrong_elsewhere_is_one_sentence(crew, capfd, before, fault, sentence, shown):
    with pytest.raises(KdmarlError, match=sentence) as caught:
        crew(fault).step({"hand": np.zeros((3, 2, 1)), "winch": np.zeros((3, 1, 2))})
    assert str(caught.value).startswith(f"task.env: {CREW_NAME}: copy 2: ")
    assert not left_within(0, before)
    err = capfd.readouterr().err
    assert (err.count("Traceback"), err.count("self.fail(")) == ((1, 1) if shown else (0, 0))


def test_a_copy_that_is_not_made_in_time(crew, monkeypatch, before):
    monkeypatch.setattr(pettingzoo_processes, "START", 0.1)
    with pytest.raises(KdmarlError, match=r"copies 2 to 3: not made 0.1 s after those of the first process; see what"):
        crew("hang in make", copies=4)
    assert not left_within(0, before)


def test_the_first_process_reports_its_own_copies_alike(crew, capfd, monkeypatch):
    env = crew()
    monkeypatch.setattr(env.copies[1], "fault", "raise in reset")
    with pytest.raises(KdmarlError, match=f"{CREW_NAME}: copy 1: its reset raises RuntimeError: the rope parts; fix"):
        env.reset(1)
    assert capfd.readouterr().err.count("Traceback") == 1


@pytest.mark.parametrize(
    ("fault", "sent", "shown"),
    [("", signal.SIGKILL, 0), ("hang in step", signal.SIGKILL, 0), ("", signal.SIGINT, 1)],
    ids=["killed", "killed while a copy hangs", "interrupted from the keyboard"],
)
def test_other_processes_end_with_their_parent(crew, tmp_path, before, fault, sent, shown):
    command = [sys.executable, "-c", textwrap.dedent(DRIVER), str(tmp_path), fault]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    ) as parent:
        try:
            assert parent.stdout.readline() == "ready\n"
            assert len(set(descendants()) - before) == 2
            os.killpg(parent.pid, sent)  # all that the keyboard would reach
            _, err = parent.communicate(timeout=20)  # ends when nobody can write there any more
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(parent.pid, signal.SIGKILL)
    assert not left_within(1, before)
    assert err.count("Traceback") == shown


def test_arguments_reach_other_processes_as_they_are(tmp_path):
    for value in ((1, 2), np.zeros(2), Path("x"), 2**70):
        with pytest.raises(KdmarlError, match=r"arguments are .*, and other processes can be given numbers, texts"):
            PettingZooEnv(Recipe(f"{SPREAD}:parallel_env", str(tmp_path), {"N": value}), 2, 5, processes=2)


@pytest.mark.parametrize("processes", [-1, 0, 4])
def test_each_process_needs_a_copy(crew, processes):
    with pytest.raises(KdmarlError, match=f"processes is {processes}; give 1 to 3, as there are copies to share out"):
        crew(processes=processes)


def test_what_has_no_name_stays_in_one_process():
    with pytest.raises(KdmarlError, match="processes is 2, and only a Recipe can be made in others; give one, or 1"):
        PettingZooEnv(lambda: None, 2, 5, processes=2)
