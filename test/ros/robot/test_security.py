"""The SROS2 policy permits exactly what a robot's node has in the graph."""

import subprocess
import sys
from xml.etree import ElementTree

import pytest
from rclpy.node import NodeNameNonExistentError

from kdmarl_core.contract import load_swarm
from kdmarl_ros.robot.security import used
from kdmarl_ros.swarm.options import Simulator
from kdmarl_ros.swarm.plan import make_plan
from node_process import python_process, ros_arguments
from sim_support import robot as robot_of
from sim_support import write_swarm


@pytest.mark.parametrize("simulator", [Simulator.NONE, Simulator.EXTERNAL])
@pytest.mark.parametrize(
    "defaults", [{}, {"pose_source": "pose", "remappings": {"odom": "odometry/filtered", "pose": "/amcl_pose"}}]
)
@pytest.mark.parametrize("kind", ["scout", "mini"])
def test_it_is_what_the_node_has(robot, tmp_path, simulator, defaults, kind):
    swarm = load_swarm(write_swarm(tmp_path, [robot_of("r1", kind)], world=None, defaults=defaults))
    (process,) = make_plan(swarm, simulator=simulator)
    rules = [part for old, new in process.remappings for part in ("-r", f"{old}:={new}")]
    arguments = ros_arguments({"__ns": "/r1"} | process.parameters)
    with python_process(["-m", "kdmarl_ros.robot.policy_node", *arguments, *rules]):
        assert robot.until(lambda: robot.diagnostics, 20)
        published, subscribed, services = used(swarm, swarm.robots[0], simulator)

        def found():
            asked = {
                "published": robot.node.get_publisher_names_and_types_by_node,
                "subscribed": robot.node.get_subscriber_names_and_types_by_node,
                "services": robot.node.get_service_names_and_types_by_node,
            }
            try:
                return {what: sorted(name for name, _ in ask("policy", "/r1")) for what, ask in asked.items()}
            except NodeNameNonExistentError:  # its messages may come before its name
                return {}

        expected = {"published": published, "subscribed": subscribed, "services": services}
        robot.until(lambda: found() == expected, 10)
        assert found() == expected


def test_the_command_writes_an_enclave_for_each_robot(tmp_path):
    swarm = write_swarm(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "kdmarl_ros.swarm_cli", "security", swarm, "--output", tmp_path / "policy.xml"],
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    root = ElementTree.parse(tmp_path / "policy.xml").getroot()
    paths = [enclave.get("path") for enclave in root.iter("enclave")]
    assert paths == [f"/{robot.name}/policy" for robot in load_swarm(swarm).robots]
    (profile,) = root.find("enclaves/enclave[1]/profiles")
    assert (profile.get("ns"), profile.get("node")) == ("/scout_1", "policy")
    rights = [dict(part.items()) for part in profile]
    assert rights == [{"publish": "ALLOW"}, {"subscribe": "ALLOW"}, {"reply": "ALLOW"}]
    assert "/scout_1/scan" in [topic.text for topic in profile[1]]
    refused = subprocess.run(
        [sys.executable, "-m", "kdmarl_ros.swarm_cli", "security", swarm, "--output", tmp_path],
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert refused.returncode == 2
    assert len(refused.stderr.strip().splitlines()) == 1
