"""A swarm in MuJoCo with other rates and periods than ours, and with odometry that drifts."""

import json
import os
import subprocess
import sys

import pytest
import yaml

from kdmarl_core.contract import load_robot_types
from node_process import DOMAIN
from sim_support import robot, write_swarm
from support import ROBOT_TYPES, write_policy

ROBOTS = [robot("a", pose=(-2.0, -1.0, 0.0), goal=(2.0, -1.0)), robot("b", pose=(2.0, 1.0, 3.14), goal=(-2.0, 1.0))]


@pytest.fixture
def run(tmp_path):
    """Run the swarm for 20 s in lockstep; what it prints, and its summary."""

    def call(period, lidar, **changes):
        path = write_swarm(tmp_path, ROBOTS, world={"size": [8.0, 8.0]}, **changes)
        types = yaml.safe_load(ROBOT_TYPES.read_text())
        types["scout"]["sensors"]["lidar"] |= lidar
        (tmp_path / "robots.yaml").write_text(yaml.safe_dump(types))
        scout = load_robot_types(tmp_path / "robots.yaml")["scout"]
        write_policy(tmp_path / "scout.onnx", "scout", scout, control_period=period)
        options = ["--duration", "20", "--lockstep", "--real-time-factor", "0", "--output", tmp_path / "out"]
        done = subprocess.run(
            [sys.executable, "-m", "kdmarl_ros.swarm_cli", path, *options],
            capture_output=True, text=True, timeout=100, env={**os.environ, "ROS_DOMAIN_ID": str(DOMAIN)},
        )  # fmt: skip
        printed = done.stdout + done.stderr
        assert done.returncode == 0, printed
        return printed, json.loads((tmp_path / "out" / "summary.json").read_text())

    return call


@pytest.mark.parametrize("trigger", ["timer", "sensor"])
@pytest.mark.parametrize(("period", "rate"), [(0.133, 7.5), (0.1, 5.5), (0.05, 20.0), (0.1, 10.0)])
def test_any_period_and_rate_runs_in_lockstep(run, trigger, period, rate):
    lidar = {"rate": rate, "mounting": {"x": -0.04, "yaw": 1.57}}
    printed, summary = run(period, lidar, defaults={"trigger": trigger})
    # Once, from the stop with which a node begins to its first cycle; and when nodes end before the simulator.
    assert printed.partition("written:")[0].count("lockstep: no command") <= 1
    assert "stopped:" not in printed
    assert summary["totals"]["goals_reached"] == 2


def test_goals_in_the_map_are_reached_while_odometry_drifts(run):
    printed, summary = run(0.1, {}, defaults={"pose_source": "pose", "remappings": {"pose": "amcl_pose"}})
    assert "stopped:" not in printed
    assert summary["totals"]["goals_reached"] == 2
