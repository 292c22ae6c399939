"""PettingZoo environments that lack something, or do not keep what their spaces say: refused when they are loaded."""

import os
import re

import numpy as np
import pytest

from kdmarl_core.contract import KdmarlError
from kdmarl_core.envs.pettingzoo import PettingZooEnv
from kdmarl_core.envs.pettingzoo_copies import Recipe
from kdmarl_core.envs.pettingzoo_task import PettingZooConfig

MODULE = '''
"""A pair of agents, of which ``b`` has a fault."""

import os

import numpy as np
from gymnasium import spaces
from pettingzoo import ParallelEnv

ACTIONS = {
    "one action": spaces.Discrete(1),
    "equal limits": spaces.Box(np.float32([0, 1]), np.float32([1, 1])),
    "huge limits": spaces.Box(-1e30, 1e30, (2,)),
    "no numbers": spaces.Box(0, 1, (0,)),
}
SEEN = {
    "other shape": np.zeros(3),
    "one number": 0.5,
    "nan": np.array([0, np.nan]),
    "infinity": np.array([-np.inf, 0]),
    "text": "left",
    "ragged": [[1], [1, 2]],
    "dict": {"camera": 1},
    "no mask": {"observation": np.zeros(2)},
    "other mask": {"observation": np.zeros(2), "action_mask": np.ones(4)},
}
MASKED = spaces.Dict({"observation": spaces.Box(-1, 1, (2,)), "action_mask": spaces.Box(0, 1, (3,), np.int8)})


class Pair(ParallelEnv):
    def __init__(self, fault="", start=0, home=0):
        fault = "" if os.getpid() == home else fault
        self.fault, self.start, self.episode = fault, start, 0
        if fault != "no list":
            self.possible_agents = [] if fault == "empty list" else [0, 1] if fault == "numbers" else ["a", "b"]

    def observation_space(self, agent):
        if agent == "b" and self.fault == "no space":
            raise KeyError(agent)
        return MASKED if agent == "b" and "mask" in self.fault else spaces.Box(-1, 1, (2,))

    def action_space(self, agent):
        return ACTIONS.get(self.fault if agent == "b" else "", spaces.Discrete(3))

    def reset(self, seed=None, options=None):
        self.agents, self.episode = self.possible_agents[:], self.episode + 1
        fault = self.fault if self.episode > self.start else ""
        if fault == "raises":
            raise RuntimeError("the door is shut")
        b = {"observation": np.zeros(2), "action_mask": np.ones(3)} if "mask" in self.fault else np.zeros(2)
        seen = {"a": np.zeros(2)} if fault == "missing" else {"a": np.zeros(2), "b": SEEN.get(fault, b)}
        return seen if fault == "no infos" else 3 if fault == "a number" else (seen, {})

    def step(self, actions):
        raise ZeroDivisionError("by no one")
'''
NAME = "faulty_pairs_of_a_test:Pair"
COPY = "copy 0: its reset gives 'b' an observation"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    (folder / "faulty_pairs_of_a_test.py").write_text(MODULE)
    return folder


def test_a_pair_without_fault_is_accepted(folder):
    for fault in ("", "masks"):
        assert PettingZooConfig(env_name=NAME, max_steps=5, arguments={"fault": fault}).types(folder) == {"a", "b"}


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (
            "one action",
            "b: acts in Discrete(1), which leaves it no choice; give it two actions or more, or leave it out",
        ),
        (
            "equal limits",
            "b: acts in Box([0. 1.], 1.0, (2,), float32), whose number 1 is 1 at least and 1 at most; give",
        ),
        ("huge limits", "whose number 0 is from -1e+30 to 1e+30; give it limits between -1e+09 and 1e+09"),
        ("no numbers", "b: acts in Box([], [], (0,), float32), which has no numbers; give it one or more"),
        ("no list", "has no possible_agents; set it to the list of its agents' names"),
        ("empty list", "possible_agents is empty; list its agents' names"),
        ("numbers", "possible_agents has 0, an int; name each agent by a string"),
        ("no space", "b: its observation_space raises KeyError: 'b'; give one for each of possible_agents"),
        ("missing", "copy 0: its reset gives no observation of 'b'; give one of each of possible_agents"),
        ("raises", "copy 0: its reset raises RuntimeError: the door is shut; fix the environment, see the traceback"),
        ("no infos", "copy 0: its reset gives a dict; give two dicts, agent → observation and agent → info"),
        ("a number", "copy 0: its reset gives an int; give two dicts"),
        ("other shape", f"{COPY} of shape (3,), and its observation_space has (2,); make them equal"),
        ("one number", f"{COPY} of shape (), and its observation_space has (2,); make them equal"),
        ("nan", f"{COPY} whose number 1 is nan; give finite numbers only"),
        ("infinity", f"{COPY} whose number 0 is -inf; give finite numbers only"),
        ("text", f"{COPY} that is not an array of numbers; give one of shape (2,)"),
        ("ragged", f"{COPY} that is not an array of numbers; give one of shape (2,)"),
        ("dict", f"{COPY} that is not an array of numbers; give one of shape (2,)"),
        ("no mask", f"{COPY} without 'action_mask', which its observation_space has; add it"),
        ("other mask", f"{COPY} whose 'action_mask' has shape (4,), and its observation_space has (3,); make them eq"),
    ],
)
def test_faults_are_one_sentence_when_the_environment_is_loaded(folder, fault, sentence):
    config = PettingZooConfig(env_name=NAME, max_steps=5, arguments={"fault": fault})
    with pytest.raises(KdmarlError, match=re.escape(sentence)) as caught:
        config.types(folder)
    assert str(caught.value).startswith(f"task.env: {NAME}: ")
    assert str(caught.value).count(NAME) == 1
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("processes", [1, 2])
def test_later_episodes_and_other_processes_are_checked_alike(folder, processes):
    recipe = Recipe(NAME, str(folder), {"fault": "missing", "start": 2})
    env = PettingZooEnv(recipe, 2, 5, processes=processes)
    env.reset(1)
    with pytest.raises(KdmarlError, match=f"^task.env: {NAME}: copy 0: its reset gives no observation of 'b'"):
        env.reset(2)
    env.close()


def test_a_shape_that_only_another_process_gives(folder):
    recipe = Recipe(NAME, str(folder), {"fault": "other shape", "home": os.getpid()})
    PettingZooEnv(recipe, 2, 5)
    with pytest.raises(KdmarlError, match=r"copy 1: its reset gives 'b' an observation of shape \(3,\)"):
        PettingZooEnv(recipe, 2, 5, processes=2)


def test_what_is_given_in_python_is_named_by_its_class(folder, monkeypatch, capfd):
    monkeypatch.syspath_prepend(str(folder))
    from faulty_pairs_of_a_test import Pair

    with pytest.raises(KdmarlError, match=r"^Pair: b: acts in Discrete\(1\)"):
        PettingZooEnv(lambda: Pair("one action"), 1, 5)
    env = PettingZooEnv(Pair, 1, 5)
    with pytest.raises(KdmarlError, match="^Pair: copy 0: its step raises ZeroDivisionError: by no one; fix the env"):
        env.step({name: np.zeros((1, 1, 1)) for name in ("a", "b")})
    assert capfd.readouterr().err.count("Traceback") == 1
