"""Descriptions of networks: what they may leave out, and how each mistake is reported."""

import numpy as np
import pytest
import yaml

from kdmarl_core.contract import DiffDrive, KdmarlError, load_robot_types
from kdmarl_core.export.foreign.description import read_description
from support import ROBOT_TYPES

SAID = {
    "robot_type": "scout",
    "observation": [{"term": "lidar", "sectors": 12, "range": 3.0}, {"term": "goal", "range": 5.0}],
    "control_period": 0.1,
    "output": "normalized",
}


def read(folder, without=(), **changes):
    path = folder / "manifest.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in (SAID | changes).items() if key not in without}))
    return read_description(path, ROBOT_TYPES)


def test_what_is_not_said_comes_from_the_robot_type(tmp_path):
    fitting = read(tmp_path)
    scout = load_robot_types(ROBOT_TYPES)["scout"]
    assert fitting.action == scout.action
    scale, offset = fitting.scaling()
    assert np.allclose(scale + offset, scout.action.high)
    assert np.allclose(offset - scale, scout.action.low)
    assert fitting.choices() == 0


def test_a_part_of_the_limits(tmp_path):
    action = read(tmp_path, action={"kind": "diff_drive", "angular": [-1.0, 1.0], "linear_acceleration": 0.5}).action
    assert action == DiffDrive((-0.3, 0.8), (-1.0, 1.0), 0.5, 6.0)


LIDAR = {"term": "lidar", "sectors": 12, "range": 3.0}
MISTAKES = {
    "unknown type": (
        {"robot_type": "scouts"},
        "'scouts' is not in .*, which has scout, .*; did you mean 'scout'?",
    ),
    "unknown key": ({"outputs": "physical"}, "unknown key 'outputs'; did you mean 'output'?"),
    "no output": ({"output": None}, "output is missing; give 'normalized' if"),
    "unknown output": ({"output": "tanh"}, r"\$.output: "),
    "scale and commands": ({"output": {}}, r"give scale \(and offset\) or commands"),
    "no lidar": ({"robot_type": "mini"}, "the policy needs a lidar, the robot has none; change the description or"),
    "short lidar": (
        {"observation": [LIDAR | {"range": 9.0}]},
        "a lidar that sees 9 m far, the robot's sees 3.5 m",
    ),
    "beyond": (
        {"action": {"kind": "diff_drive", "linear": [0.0, 2.0]}},
        r"up to \[2.0, 2.0\] .* allows \[0.8",
    ),
    "no limits": ({"action": {"kind": "diff_drive", "linear": [0.5, 0.2]}}, r"\$.action: linear is \[0.5, 0.2\]; give"),
    "simulator": ({"observation": [{"term": "vector", "size": 4}]}, "vector term, which only its own simulator gives"),
    "mask": ({"observation": [{"term": "action_mask", "count": 4}]}, "masked actions cannot be packed"),
    "blind": ({"observation": [{"term": "previous_action"}]}, "observes nothing but its own previous_action"),
    "previous": ({"observation": [LIDAR, {"term": "previous_action", "count": 3}]}, "previous_action has count 3"),
    "fast command": (
        {"output": {"commands": [[0.1, 0.0], [1.0, 0.0]]}},
        r"\[1.0, 0.0\] is beyond the limits -0.3",
    ),
    "clipped list": (
        {"output": {"commands": [[0.1, 0], [0.2, 0]]}, "clip": True},
        "commands must be within the .*; remove clip",
    ),
    "discrete": ({"action": {"kind": "discrete", "n": 4}}, "discrete actions are indices, not commands; remove output"),
    "name": ({"name": "../models/x"}, r"\$.name: expected `str` matching regex"),
    "period": ({"control_period": 0}, r"\$.control_period: "),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes(tmp_path, mistake):
    changes, sentence = MISTAKES[mistake]
    with pytest.raises(KdmarlError, match=sentence) as error:
        read(tmp_path, **changes)
    assert str(error.value).startswith(f"{tmp_path / 'manifest.yaml'}: ")


def test_limits_of_another_file(tmp_path):
    with pytest.raises(KdmarlError, match="nowhere.yaml: no such file"):
        read_description(read(tmp_path) and tmp_path / "manifest.yaml", tmp_path / "nowhere.yaml")
