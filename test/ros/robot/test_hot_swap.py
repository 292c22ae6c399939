"""A new policy for a robot that drives."""

import time

import msgspec
import numpy as np
from geometry_msgs.msg import PoseStamped
from rcl_interfaces.srv import GetParameters

from kdmarl_core.contract import load_robot_types
from kdmarl_core.contract.team_terms import Targets
from kdmarl_core.contract.terms import Goal, Lidar, Velocity
from kdmarl_core.runtime import Policy
from policy_process import PERIOD, SLACK, TIMEOUT, policy_process
from robot_body import ACTIVATE, CLEANUP, CONFIGURE, DEACTIVATE, edited, place, places
from support import ROBOT_TYPES, write_policy


def test_policy_is_swapped_while_driving_and_a_bad_one_refused(robot, policy, tmp_path):
    faster = write_policy(tmp_path / "other.onnx", recurrent=True)
    with policy_process(policy):
        assert robot.drives()
        since = time.monotonic()
        refused = robot.set_policy(write_policy(tmp_path / "mini.onnx", "mini"))
        assert not refused.successful
        assert "for robot type 'mini'" in refused.reason
        assert robot.set_policy(faster).successful
        assert robot.drives()
        swapped = Policy.load(faster).sha256[:12]
        assert robot.until(lambda: robot.diagnostics[-1][2]["policy_sha256"] == swapped)
    times = [command[0] for command in robot.commands if command[0] > since]
    assert not robot.stops(since)
    assert np.diff(times).max() < 2 * PERIOD + SLACK


FAILING = """
import sys
from kdmarl_ros.robot import policy_node

load = policy_node.Policy.load
policy_node.Policy.load = lambda path: [][0] if "cheese" in path else load(path)
sys.exit(policy_node.main())
"""
"""A node that has a mistake of ours in loading some files."""


def test_an_error_of_ours_while_loading_refuses_the_policy_and_the_robot_drives_on(robot, policy):
    with policy_process(policy, program=("-c", FAILING)):
        assert robot.drives()
        since = time.monotonic()
        refused = robot.set_policy("cheese.onnx")
        assert not refused.successful
        assert refused.reason == "internal error: IndexError('list index out of range'); see the log"
        assert robot.drives()
        assert not robot.stops(since)


def test_under_the_scan_guard_a_policy_that_brakes_less_stands_first(robot, policy, tmp_path):
    action = msgspec.structs.replace(load_robot_types(ROBOT_TYPES)["scout"].action, linear_acceleration=0.5)
    lazy = write_policy(tmp_path / "lazy.onnx", action=action)
    with policy_process(policy, scan_guard="true", goal="[1.0, 9.0]"):
        assert robot.drives()
        assert robot.until(lambda: robot.diagnostics[-1][1] == "driving")
        before = robot.stop_counts()  # at the start it may have waited for its first scan
        since = time.monotonic()
        assert robot.set_policy(lazy).successful
        assert robot.says("standing before the new policy drives, which brakes less or looks less often")
        assert robot.drives()
        assert robot.set_policy(policy).successful
        assert robot.drives()
        assert len(robot.stops(since)) == 1
        assert robot.stop_counts() == before


def test_a_policy_whose_inputs_have_a_bad_qos_override_is_refused(robot, policy, tmp_path):
    """One that needs no scan drives on, and is still what the parameter names."""
    blind = write_policy(tmp_path / "blind.onnx", observation=[Goal(range=5.0), Velocity()])
    parameters = robot.node.create_client(GetParameters, "/r1/policy/get_parameters")
    with policy_process(blind, **{"qos_overrides./r1/scan.subscription.reliability": "perhaps"}):
        assert robot.drives()
        since = time.monotonic()
        for _ in range(2):
            refused = robot.set_policy(policy)
            assert not refused.successful
            assert "'qos_overrides./r1/scan.subscription.*' does not fit" in refused.reason
            named = robot.call(parameters, GetParameters.Request(names=["policy"])).values[0].string_value
            assert named == str(blind)
        assert robot.drives()
        assert not robot.stops(since)
        assert robot.set_policy(write_policy(tmp_path / "other.onnx", observation=[Goal(range=5.0)])).successful
        assert robot.drives()


def test_a_policy_with_other_inputs_stands_until_they_come_and_keeps_the_goal(robot, policy, tmp_path):
    """From a lidar to none and back: what the sensors said is forgotten, the goal that came last is not."""
    blind = write_policy(tmp_path / "blind.onnx", observation=[Goal(range=5.0), Velocity()])
    goal = PoseStamped()
    goal.header.frame_id = "map"
    goal.pose.position.x, goal.pose.position.y = 0.0, 4.0  # to the left; the first goal is to the right
    with policy_process(policy, goal="[2.0, 4.0]"):
        assert robot.drives()
        assert robot.commands[-1][2] < 0
        robot.goals.publish(goal)
        assert robot.until(lambda: robot.commands[-1][2] > 0)
        robot.edits["odom"] = lambda message: None
        since = time.monotonic()
        assert robot.set_policy(blind).successful
        assert robot.says("waiting for the new policy's inputs")
        assert robot.halts(since) < TIMEOUT
        robot.spin(0.2)
        assert len(robot.stops(since)) == 1
        assert robot.says("stopped: nothing received on /r1/odom")
        del robot.edits["odom"]
        assert robot.drives()
        assert robot.commands[-1][2] > 0
        assert robot.set_policy(policy).successful
        assert robot.drives()
        assert robot.commands[-1][2] > 0


def test_a_policy_that_has_to_see_farther_than_the_lidar_does_stops(robot, policy, tmp_path):
    """Both have the same topics, of which the new one needs more."""
    rest = [Goal(range=5.0), Velocity()]
    near, far = (
        write_policy(tmp_path / f"{sight}.onnx", observation=[Lidar(36, sight), *rest]) for sight in (1.5, 3.5)
    )
    robot.edits["scan"] = edited(range_max=2.0)
    with policy_process(near, goal="[2.0, 4.0]"):
        assert robot.drives()
        since = time.monotonic()
        assert robot.set_policy(far).successful
        assert robot.says("scan sees 2 m far, the policy was trained to see 3.5 m")
        assert robot.halts(since) < TIMEOUT
        assert robot.set_policy(near).successful
        assert robot.drives()


def test_a_new_policy_keeps_the_targets(robot, policy, covering, tmp_path):
    """To one that sees them by a lidar too, and beyond one that goes to a goal; so does a goal beyond targets."""
    seeing = write_policy(tmp_path / "seeing.onnx", observation=[Lidar(36, 3.5), Targets(count=1, range=8.0)])
    with policy_process(covering, goal="[2.0, 4.0]", targets="[2.0, 4.0]"):
        assert robot.drives()
        assert robot.commands[-1][2] < 0
        robot.targets.publish(places((0, 4)))
        assert robot.until(lambda: robot.commands[-1][2] > 0)
        for path, side in ((seeing, 1), (policy, -1), (covering, 1), (policy, -1)):
            assert robot.set_policy(path).successful
            robot.commands.clear()
            assert robot.drives()
            assert np.sign(robot.commands[-1][2]) == side, path
        robot.goals.publish(place(0, 4))
        assert robot.until(lambda: robot.commands[-1][2] > 0)
        for path in (covering, policy):
            assert robot.set_policy(path).successful
            assert robot.drives()
        assert robot.commands[-1][2] > 0
        for step in (DEACTIVATE, CLEANUP, CONFIGURE, ACTIVATE):
            assert robot.transition(step)
        robot.commands.clear()
        assert robot.drives()
        assert robot.commands[-1][2] > 0
