"""Parameters that nobody declared are refused with the nearest that somebody did."""

import json

import pytest
import yaml

from node_process import module_process, ros_arguments
from policy_process import policy_process
from robot_body import RobotBody
from sim_support import robot as robot_of
from sim_support import write_swarm
from support import ROBOT_TYPES

SCAN = "qos_overrides./r1/scan.subscription"
COMMAND = "qos_overrides./r1/cmd_vel.publisher"


def refused(process):
    """The one sentence that ended the node."""
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 2
    assert output.count("\n") == 1
    return output


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("scan_gard", "did you mean 'scan_guard'?"),
        ("use_sim_tme", "did you mean 'use_sim_time'?"),
        ("goal.x", "did you mean 'goal'?"),
        ("speed", "remove it"),
        (f"{SCAN}.reliabilty", f"did you mean '{SCAN}.reliability'?"),
        (f"{SCAN}.history", f"did you mean '{SCAN}."),
        ("qos_overrides./r1/scan.publisher.depth", f"did you mean '{SCAN}.depth'?"),
        ("qos_overrides.scan.subscription.depth", f"did you mean '{SCAN}.depth'?"),
        ("qos_overrides./r2/odom.subscription.depth", "did you mean 'qos_overrides./r1/odom.subscription.depth'?"),
        ("qos_overrides./r1/cmd_vl.publisher.depth", f"did you mean '{COMMAND}.depth'?"),
        ("qos_overrides./clock.subscription.dept", "did you mean 'qos_overrides./clock.subscription.depth'?"),
    ],
)
def test_the_nearest_known_name_is_suggested(policy, name, remedy):
    with policy_process(policy, **{name: True}) as process:
        assert refused(process).startswith(f"node /r1/policy has no parameter '{name}'; {remedy}")


def test_what_ros_itself_declares_and_topics_that_a_policy_may_need_are_known(robot, policy):
    """This one needs neither range sensors nor targets."""
    names = {
        f"{SCAN}.depth": 2,
        "qos_overrides./r1/range_63.subscription.reliability": "reliable",
        "qos_overrides./r1/targets.subscription.durability": "volatile",
        "qos_overrides./r1/goal_pose.subscription.depth": 1,
        f"{COMMAND}.depth": 1,
        "qos_overrides./clock.subscription.history": "keep_last",
        "qos_overrides./parameter_events.publisher.depth": 100,
        "start_type_description_service": True,
        "use_sim_time": False,
    }
    with policy_process(policy, **names):
        assert robot.drives()


def test_a_topic_goes_by_its_name_after_remapping(policy):
    robot = RobotBody(namespace="/other")
    arguments = [
        *ros_arguments({"__ns": "/r1", "policy": policy, "robot_type": "scout", "robot_types": ROBOT_TYPES}),
        *("-r", "scan:=/other/scan", "-r", "odom:=/other/odom", "-r", "cmd_vel:=/other/cmd_vel"),
        *("-p", "goal:=[2.0, 4.0]", "-p", "autostart:=true"),
    ]
    try:
        override = ["-p", "qos_overrides./other/scan.subscription.depth:=3"]
        with module_process("robot.policy_node", arguments + override):
            assert robot.drives()
        with module_process("robot.policy_node", [*arguments, "-p", f"{SCAN}.depth:=3"]) as process:
            assert "did you mean 'qos_overrides./other/scan.subscription.depth'?" in refused(process)
    finally:
        robot.close()


def test_a_file_for_all_nodes_counts_as_given_to_this_one(policy, tmp_path):
    file = tmp_path / "shared.yaml"
    file.write_text(yaml.safe_dump({"/**": {"ros__parameters": {"scan_gaurd": True}}}))
    arguments = [*ros_arguments({"__ns": "/r1", "policy": policy}), "--params-file", str(file)]
    with module_process("robot.policy_node", arguments) as process:
        assert "node /r1/policy has no parameter 'scan_gaurd'; did you mean 'scan_guard'?" in refused(process)


def test_of_several_robots_in_a_process_the_mistaken_one_stays_out(policy, tmp_path):
    body = RobotBody()
    given = {"policy": str(policy), "robot_type": "scout", "robot_types": str(ROBOT_TYPES), "autostart": True}
    given |= {"goal": [2.0, 4.0]}
    nodes = {"/r1/policy": given, "/r2/policy": given | {"scan_gard": True}}
    file = tmp_path / "robots.yaml"
    file.write_text(json.dumps({name: {"ros__parameters": values} for name, values in nodes.items()}))  # YAML, too
    arguments = ["r1", "r2", "--ros-args", "--params-file", str(file)]
    with open(tmp_path / "log", "w+") as log, module_process("robot.policy_host", arguments, log) as process:
        try:
            assert body.drives()
            assert process.poll() is None
        finally:
            body.close()
    assert "r2: node /r2/policy has no parameter 'scan_gard'; did you mean" in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    ("module", "name", "remedy"),
    [
        ("sim.simulator_node", "lock_step", "did you mean 'lockstep'?"),
        ("judge.judge_node", "out", "did you mean 'output'?"),
        ("judge.judge_node", "qos_overrides./r1/odom.subscription.depth", "remove it"),
    ],
)
def test_simulator_and_judge_do_the_same(tmp_path, module, name, remedy):
    path = write_swarm(tmp_path, [robot_of("r1")])
    arguments = ros_arguments({"swarm": path, "output": tmp_path / "out", name: 1})
    if module == "sim.simulator_node":
        arguments = ros_arguments({"swarm": path, name: 1})
    with module_process(module, arguments) as process:
        node = module.partition(".")[2].removesuffix("_node")
        assert f"node /{node} has no parameter '{name}'; {remedy}" in refused(process)
