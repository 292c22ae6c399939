"""A network of another project drives a robot once it is packed."""

import math

import numpy as np
import pytest
import torch

from foreign_networks import SIZE, ActorCritic, describe, export
from kdmarl_core.contract import Readings, Scan, observe
from kdmarl_core.export.pack import pack
from kdmarl_core.runtime import Policy
from policy_process import policy_process
from support import ROBOT_TYPES


@pytest.mark.filterwarnings("ignore")
def test_a_packed_network_drives_a_robot(robot, tmp_path):
    torch.manual_seed(0)
    network, path = ActorCritic(), tmp_path / "actor.onnx"
    with torch.no_grad():
        network.actor[0].weight[:, -2:] = 0  # not of its own last command, so that it comes to one
        network.actor[2].weight.mul_(0.1)
        network.actor[2].bias.copy_(torch.tensor([0.4, 0.1]))  # forward and to the left, whatever it sees
    names = {"input_names": ["obs"], "output_names": ["actions", "values", "log_prob"]}
    export(network, (torch.zeros(1, SIZE),), path, dynamo=True, **names)
    packed = tmp_path / "policy.onnx"
    pack(path, describe(tmp_path), ROBOT_TYPES, packed)
    # 1 m right of and 2 m ahead along +y is, for one who looks along +y, 2 m ahead and 1 m to the right.
    readings = Readings(
        scan=Scan(np.full(360, 2.0, np.float32), -math.pi, 2 * math.pi / 360, 0.05, 3.5),
        goal=np.array([2.0, -1.0]),
        velocity=np.zeros(2),
        previous_action=np.zeros(2),
    )
    expected = Policy.load(packed)(observe(Policy.load(packed).manifest.observation, readings))
    assert expected[0] > 0.2
    with policy_process(packed):
        assert robot.commands_come_to(expected), (robot.commands[-1:], expected)
        assert robot.until(lambda: len(robot.moving()) >= 10 and robot.diagnostics[-1][1] == "driving")
    assert robot.diagnostics[-1][2]["policy"] == "actor"
    assert robot.diagnostics[-1][2]["policy_sha256"] == Policy.load(packed).sha256[:12]
