"""Experts from elsewhere that do not fit: one sentence says why."""

import numpy as np
import pytest
from torch import nn

from foreign_experts import CONFIG, Stable, keys, load
from kdmarl_core.contract import KdmarlError
from kdmarl_core.expert.foreign import ForeignConfig, wrap
from support import write_linear as graph
from toy import Echo

MODULE = """
import torch

class Gained:
    def __init__(self, groups, gain=1.0):
        self.gain = gain

def broken(observation):
    raise ZeroDivisionError("by no one")

def shy():
    raise OSError("nothing here")

def vandal(observation):
    observation["wheeled"][:] = 0

class Algorithm:
    @classmethod
    def load(cls, path, device="cpu"):
        raise TypeError(f"Path {path} is not a path")

def load(path):
    return Algorithm()

def shout(observation):
    raise ValueError("no " * 1000 + "more")

ready = torch.nn.Identity()
number = 3
"""
PATH = "or if its 'path' is not for observations, set expert.arguments.path"


def nothing(observation):
    return {}


def wrong(name, values):
    def act(observation):
        envs = len(observation["wheeled"])
        good = {"wheeled": np.zeros((envs, 2, 2)), "chooser": np.zeros((envs, 1, 1))}
        return {**good, name: values(envs)}

    return act


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (nothing, "gives no commands for 'wheeled'; give those of every type"),
        (lambda o: {"weeled": 0, "chooser": 0}, "for 'wheeled', only weeled, chooser; did you mean 'weeled'"),
        (lambda o: [1], "gives a list; give a dict of group"),
        (wrong("wheeled", lambda n: np.zeros((n, 1, 2))), r"\[3, 1, 2\] for 'wheeled'; give commands \[3, 2, 2\]"),
        (wrong("wheeled", lambda n: np.zeros((n, 2, 3))), "3 values for an agent of 'wheeled', but its command has 2"),
        (wrong("chooser", lambda n: np.zeros((n, 1, 2))), "2 values for an agent of 'chooser', but it has 3 actions"),
        (wrong("chooser", lambda n: np.full((n, 1), 3)), "chooses action 3 of 'chooser'; its actions are 0 to 2"),
        (wrong("chooser", lambda n: np.full((n, 1), 0.5)), "chooses action 0.5 of 'chooser'"),
        (wrong("wheeled", lambda n: np.full((n, 2, 2), np.nan)), "gives nan for 'wheeled'; give .* finite"),
        (wrong("wheeled", lambda n: np.full((n, 2, 2), "go")), "gives an ndarray; give an array of numbers"),
        (3, "is an int, which gives no actions"),
        ({"wheeled": nn.Identity()}, "has no expert for 'chooser'"),
        (nn.Linear(4, 2), r"fails on observations \[3, 2, 2\] of 'wheeled' \(RuntimeError: mat1 and mat2"),
        ({"wheeled": nn.GRU(2, 2), "chooser": nn.Identity()}, "gives a tuple; give a tensor of commands"),
        (Stable(lambda seen: seen, 2), "takes 2 values, but 'chooser' observes 3 in the expert view"),
        (Stable(lambda seen: seen, 7), "takes 7 values .*whole team.*, but 'wheeled' .* set expert.joint: true"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(made, message):
    with pytest.raises(KdmarlError, match=message) as caught:
        wrap(made, Echo(3), CONFIG)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (Stable(lambda seen: seen, 6), "takes 6 values, but the team observes 7 .*: 2 times 2 of 'wheeled', 1 times 3"),
        (nn.Linear(7, 6), "6 values for the whole team, .* 2 times 2 for 'wheeled', 1 times 3 or 1 for 'chooser'"),
        (nothing, "is a function, which always sees the whole team"),
    ],
)
def test_what_does_not_fit_a_team_is_refused(made, message):
    with pytest.raises(KdmarlError, match=message):
        wrap(made, Echo(3), ForeignConfig(from_="a:b", joint=True))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"from": "refused_experts:broken"}, r"refused_experts:broken: fails on .* \(ZeroDivisionError: by no one\)"),
        ({"from": "refused_experts:vandal"}, "read-only"),
        ({"from": "refused_experts:shy"}, r"called with \(\) it fails \(OSError: nothing here\)"),
        ({"from": "refused_experts:Gained", "arguments": {"gian": 1}}, r"called with \(gian=1\) it fails .*'gian'"),
        ({"from": "refused_experts:ready", "arguments": {"a": 1}}, "is an Identity, not callable; remove"),
        ({"from": "refused_experts:number"}, "is an int, which gives no actions"),
        ({"from": "refused_experts:raedy"}, "has no 'raedy'; did you mean 'ready'"),
        ({"from": "refused_experts:Gained.x"}, "refused_experts:Gained.x: class Gained has no 'x'; check its spelling"),
        ({"from": "refused_experts:number.rael"}, "number.rael: 'number', an int, has no 'rael'; did you mean 'real'"),
        (
            {"from": "refused_experts:Algorithm.load"},
            r"fails on observations 'wheeled' \[3, 2, 2\], 'chooser' \[3, 1, 3\] \(TypeError: Path {'wheeled': array"
            rf".* … .* is not a path\); fix it, {PATH}$",
        ),
        (
            {"from": {"wheeled": "refused_experts:Algorithm.load", "chooser": "refused_experts:ready"}},
            rf"fails on .* \(TypeError: .*\); fix it, {PATH}$",
        ),
        (
            {"from": "refused_experts:load"},
            f"gives an Algorithm; give a dict of .*, {PATH}$",
        ),
        ({"from": "refused_experts:shout"}, r"fails on observations .* \(ValueError: no no .* … .* more\); fix it$"),
        ({"from": "surely_not_installed:PPO.load"}, "there is no module 'surely_not_installed'; install it"),
        ({"from": "missing.onnx"}, r"missing\.onnx: no such file"),
        ({"from": "broken.onnx"}, r"broken\.onnx: cannot be run"),
        ({"from": "two_in.onnx"}, r"takes 2 inputs \(observation, state\), .* without memory"),
        ({"from": "two_out.onnx"}, "has outputs mean, value; choose the action with expert.output"),
        (
            {"from": "two_out.onnx", "output": "maen"},
            r"no output 'maen' \(expert.output\); give one of mean, value",
        ),
        ({"from": "four.onnx"}, "has a batch of 4; export it"),
        ({"from": "two_out.onnx", "output": "mean"}, "takes 2 values, but 'chooser' observes 3"),
        ({"from": {"wheeled": "narrow.onnx", "chooser": "refused_experts:ready"}}, "gives 1 value for an agent of 'wh"),
    ],
)
def test_what_cannot_be_loaded_is_refused(tmp_path, given, message):
    (tmp_path / "refused_experts.py").write_text(MODULE)
    graph(tmp_path / "two_in.onnx", np.eye(2), inputs=("observation", "state"))
    graph(tmp_path / "two_out.onnx", np.eye(2), outputs=("mean", "value"))
    graph(tmp_path / "four.onnx", np.eye(2), 4)
    graph(tmp_path / "narrow.onnx", np.ones((2, 1)))
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    with pytest.raises(KdmarlError, match=message) as caught:
        load(tmp_path, Echo(3), **given)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("expert.from")
    assert len(str(caught.value)) < 450


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"from": "model.zip"}, "from is 'model.zip', neither an .onnx file nor package.module:name; give a function"),
        ({"from": {}}, "from is empty"),
        ({"from": "a.onnx", "arguments": {"x": 1}}, "arguments are given, and an ONNX file is not called"),
        ({"from": "a:b", "output": "x"}, "output is given, which is for ONNX files"),
        ({"from": {"a": "b.onnx"}, "joint": True}, "joint is true, and from names an expert for each type"),
        ({"from": "a:b", "spraed": 0.1}, r"\$\.expert: unknown key 'spraed'; did you mean 'spread'"),
        ({"from": "a:b", "spread": 0.5}, r"\$\.expert\.spread: expected `float` < 0.5"),
        ({"from": "a:b", "critics": {"network": {"memory": 4}}}, "critics: memory is for students only"),
        ({"from": 3}, r"\$\.expert\.from: expected `str \| object`"),
    ],
)
def test_wrong_keys_are_refused(given, message):
    with pytest.raises(KdmarlError, match=message):
        keys(**given)


def test_a_loader_of_stable_baselines3_without_its_file(tmp_path):
    pytest.importorskip("stable_baselines3")
    with pytest.raises(KdmarlError, match=r"PPO.load: fails on .* set expert.arguments.path$") as caught:
        load(tmp_path, Echo(3), **{"from": "stable_baselines3:PPO.load"})
    assert len(str(caught.value)) < 450


def test_models_with_memory_are_refused():
    recurrent = Stable(lambda seen: seen, 2)
    recurrent.lstm_actor = nn.LSTM(2, 2)
    with pytest.raises(KdmarlError, match="has memory, but an expert sees the current observation only"):
        wrap(recurrent, Echo(3), CONFIG)
