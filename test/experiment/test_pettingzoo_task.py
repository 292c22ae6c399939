"""Anybody's PettingZoo environment from the command line alone: trained, distilled, exported, evaluated."""

import json

import pytest
import torch
import yaml
from safetensors.torch import load_file

from kdmarl_core.cli.main import app
from kdmarl_core.contract import Box, Discrete, KdmarlError
from kdmarl_core.envs import pettingzoo_task
from kdmarl_core.experiment import Experiment, train
from kdmarl_core.runtime import Policy

TINY = {
    "expert": {"envs": 4, "steps": 10, "iterations": 2, "actor": {"hidden": [16]}, "critic": {"hidden": [16]}},
    "distill": {
        "rounds": 2, "envs": 4, "steps": 5, "updates": 5, "final_updates": 5, "polish": {"rounds": 1},
        "students": {"adversary": {"hidden": [8]}, "agent": {"hidden": [8]}},
    },
    "evaluate": {"episodes": 4, "envs": 2},
}  # fmt: skip
ADVERSARY = {"kind": "pettingzoo", "env": "mpe2.simple_adversary_v3:parallel_env", "max_steps": 8}
OWN = '''
"""Two tugs pull a barge of their own mind; the bigger one has three engines."""

import numpy as np
from gymnasium import spaces
from pettingzoo import ParallelEnv


class Tugs(ParallelEnv):
    metadata = {"name": "tugs"}

    def __init__(self, length=6):
        self.possible_agents, self.length = ["tug_0", "tug_1"], length

    def observation_space(self, agent):
        return spaces.Box(-np.inf, np.inf, (2 + int(agent[-1]),), np.float64)

    def action_space(self, agent):
        return spaces.Box(np.float32([-1, -2, -3][: 2 + int(agent[-1])]), np.float32(1.5), dtype=np.float32)

    def reset(self, seed=None, options=None):
        self.rng, self.time, self.agents = np.random.default_rng(seed), 0, list(self.possible_agents)
        self.wanted = {agent: self.rng.uniform(-1, 1, self.action_space(agent).shape) for agent in self.agents}
        return dict(self.wanted), {agent: {} for agent in self.agents}

    def step(self, actions):
        for agent, action in actions.items():
            assert self.action_space(agent).contains(action), (agent, action)
        reward = {agent: -float(np.abs(action - self.wanted[agent]).sum()) for agent, action in actions.items()}
        self.time += 1
        over, agents = self.time >= self.length, self.agents
        self.agents = [] if over else agents
        infos = {agent: {} for agent in agents}
        return dict(self.wanted), reward, dict.fromkeys(agents, False), dict.fromkeys(agents, over), infos
'''


def written(folder, task, **changes):
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({"task": task, **TINY, **changes}))
    return path


def chain(path, folder):
    """Every command, as a user gives it."""
    output, models = ["--output", str(folder / "run")], ["--models", str(folder / "models")]
    for command, *options in (["train"], ["distill"], ["export", *models], ["evaluate", "--record", *models]):
        app([command, str(path), *output, *options], standalone_mode=False)
    return json.loads((folder / "run/evaluation.json").read_text())["rows"]


def test_numbered_actions(tmp_path, capsys):
    rows = chain(written(tmp_path, ADVERSARY), tmp_path)
    assert {row["robot_type"] for row in rows} == {"team", "adversary", "agent"}
    assert "mpe2.simple_adversary_v3:parallel_env" in capsys.readouterr().out
    policy = Policy.load(tmp_path / "models/simple_adversary_v3_agent.onnx")
    assert policy.manifest.action == Discrete(5)
    assert policy.manifest.results.episodes == 4


def test_actions_of_any_numbers_from_a_module_next_to_the_file(tmp_path, capsys):
    (tmp_path / "tugs_of_a_test.py").write_text(OWN)
    task = {"kind": "pettingzoo", "env": "tugs_of_a_test:Tugs", "max_steps": 9, "arguments": {"length": 5}}
    students = {name: {"hidden": [8]} for name in ("tug_0", "tug_1")}
    path = written(tmp_path, task, distill=TINY["distill"] | {"students": students})
    chain(path, tmp_path)
    for name, lowest in (("tug_0", (-1, -2)), ("tug_1", (-1, -2, -3))):
        policy = Policy.load(tmp_path / f"models/tugs_of_a_test_{name}.onnx")
        assert policy.manifest.action == Box(lowest, (1.5,) * len(lowest))
    capsys.readouterr()
    app(["inspect", str(policy.path)], standalone_mode=False)
    assert "box, -1 to 1.5, -2 to 1.5, -3 to 1.5" in " ".join(capsys.readouterr().out.split())


def test_the_number_of_processes_changes_nothing_but_the_time(tmp_path):
    path, checkpoints = written(tmp_path, ADVERSARY), []
    for processes in (1, 2):
        experiment = Experiment.load(path, [f"task.processes={processes}"])
        train(experiment, tmp_path / str(processes))
        checkpoints.append(load_file(tmp_path / str(processes) / "expert/checkpoint.safetensors"))
    torch.testing.assert_close(*checkpoints, rtol=0, atol=0)
    plain = Experiment.load(path)
    assert experiment.data["task"]["processes"] == 2
    assert experiment.sha256 == plain.sha256 != Experiment.load(path, ["task.max_steps=9"]).sha256
    assert experiment.facts("expert") == plain.facts("expert")
    assert "processes" not in plain.facts("expert")


def test_as_many_processes_as_cores(tmp_path, monkeypatch):
    monkeypatch.setattr(pettingzoo_task, "cores", lambda: 2)
    experiment = Experiment.load(written(tmp_path, ADVERSARY), ["task.processes=auto"])
    assert [len(experiment.env(copies).copies) for copies in (1, 4)] == [1, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"env": "mpe2.simple_adversary_v3:env"},
            "task.env: mpe2.simple_adversary_v3:env: makes an .*, not a",
        ),
        ({"env": "mpe2.simple_adversary_v9:x"}, "task.env: .*: there is no module 'mpe2.simple_adversary_v9'; install"),
        ({"env": "mpe2.simple_adversary_v3:paralel_env"}, "has no 'paralel_env'; did you mean 'parallel_env'"),
        ({"arguments": {"n": 3}}, r"called with \(n=3\) it fails \(TypeError: .*'n'\); correct its arguments"),
        (
            {"env": "pettingzoo.butterfly.pistonball_v6:parallel_env"},
            "not installed|observes Box.* neither a vector",
        ),
        ({"agent_types": {"agent_0": "good"}}, "types: agent 'adversary_0' has none"),
        ({"max_steps": 0}, r"\$.task.max_steps: expected `int` >= 1"),
        ({"processes": 0}, r"\$.task: processes is 0; give how many are to step the environment, 1 or more, or auto"),
        ({"processes": -2}, r"\$.task: processes is -2; give how many"),
        ({"processes": "many"}, r"\$.task: processes is many; give how many"),
        ({"processes": 1.5}, r"\$.task.processes: expected `int \| str`, got `float`"),
        ({"processes": 5}, r"\$: task.processes is 5, and no stage steps more than 4 copies; lower it, or raise envs"),
        ({"enf": 1}, r"\$.task: unknown key 'enf'; did you mean 'env'"),
    ],
)
def test_what_does_not_fit_is_one_sentence(tmp_path, change, message):
    with pytest.raises(KdmarlError, match=message) as caught:
        Experiment.load(written(tmp_path, ADVERSARY | change))
    assert "\n" not in str(caught.value)
