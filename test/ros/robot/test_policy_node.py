"""The policy node as a robot meets it: a process, real messages, and faults."""

import array
import math
import signal
import time

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped, TwistStamped

from kdmarl_core.contract import Readings, Scan, observe
from kdmarl_core.contract.simulator_terms import ActionMask, Vector
from kdmarl_core.contract.team_terms import Neighbors
from kdmarl_core.contract.terms import Goal, Lidar, PreviousAction, Velocity
from kdmarl_core.runtime import Policy
from kdmarl_ros.node.signals import STOPS
from policy_process import PERIOD, SLACK, TIMEOUT, policy_process
from robot_body import ACTIVATE, CLEANUP, CONFIGURE, DEACTIVATE, RobotBody, edited, places
from support import write_policy


def test_commands_what_the_policy_says(robot, policy):
    manifest = Policy.load(policy).manifest
    # 1 m right of and 2 m ahead along +y is, for one who looks along +y, 2 m ahead and 1 m to the right.
    readings = Readings(
        scan=Scan(np.full(360, 2.0, np.float32), -math.pi, 2 * math.pi / 360, 0.05, 3.5),
        goal=np.array([2.0, -1.0]),
        velocity=np.zeros(2),
        previous_action=np.zeros(2),
    )
    expected = Policy.load(policy)(observe(manifest.observation, readings))
    with policy_process(policy):
        assert robot.commands_come_to(expected), (robot.commands[-1:], expected)
        assert robot.until(lambda: len(robot.moving()) >= 10 and robot.diagnostics[-1][1] == "driving")
    changes = np.abs(np.diff([(0, 0)] + [command[1:] for command in robot.commands], axis=0))
    assert (changes <= manifest.action.acceleration * PERIOD + 1e-6).all()
    times = [command[0] for command in robot.moving()]
    assert np.median(np.diff(times)) == pytest.approx(PERIOD, abs=0.03)
    level, message, values = robot.diagnostics[-1]
    assert (level, message, values["policy"]) == (b"\x00", "driving", "goal_seeker_scout")
    assert values["policy_sha256"] == Policy.load(policy).sha256[:12]


def test_a_holonomic_robot_moves_sideways_and_looks_how_it_does(robot, tmp_path):
    observation = [Lidar(sectors=36, range=3.5), Goal(range=5.0), Velocity(lateral=True), PreviousAction(3)]
    path = write_policy(tmp_path / "omni.onnx", "omni", observation=observation)
    with policy_process(path, "omni"):
        assert robot.drives()
        assert robot.until(lambda: robot.left[-1] < -0.1)  # its goal is ahead to the right
        assert robot.commands[-1][1] > 0.2
        since = time.monotonic()
        robot.edits["odom"] = edited(twist__twist__linear__y=math.nan)
        robot.halts(since)
        assert robot.left[-1] == 0
        assert robot.says("odom holds")


def test_range_sensors_stamped_commands_and_goal_topic(tmp_path):
    robot = RobotBody(TwistStamped)
    try:
        with policy_process(write_policy(tmp_path / "mini.onnx", "mini"), "mini", stamped_commands="true", goal="[]"):
            assert robot.says("waiting for a goal on /r1/goal_pose")
            before = robot.stop_counts()
            robot.spin(1.2)
            assert robot.diagnostics[-1][:2] == (b"\x01", "waiting for a goal on /r1/goal_pose")
            assert robot.stop_counts() == before
            assert "stops_no_goal" not in before
            assert not robot.moving()
            goal = PoseStamped()
            goal.header.frame_id = "map"
            goal.pose.position.x, goal.pose.position.y = 1.0, 4.0
            robot.goals.publish(goal)
            assert robot.drives()
    finally:
        robot.close()


def test_the_scan_guard_holds_a_robot_before_what_it_sees(robot, policy):
    """The policy sees no obstacle and drives on; the robot stands before it, which is no fault."""
    with policy_process(policy, scan_guard="true"):
        assert robot.drives()
        assert robot.diagnostics[-1][2]["guarded_cycles"] == "0"
        stops = robot.stop_counts()
        robot.edits["scan"] = edited(ranges=array.array("f", [0.2] * 360))
        assert robot.until(lambda: any(linear == 0 for _, linear, _ in robot.commands[-3:]))
        since = time.monotonic()
        robot.spin(1.0)
        assert all(linear == 0 for at, linear, _ in robot.commands if at > since)
        assert robot.until(lambda: int(robot.diagnostics[-1][2]["guarded_cycles"]) > 5)
        assert robot.diagnostics[-1][:2] == (b"\x00", "driving")
        assert robot.stop_counts() == stops
        robot.edits.clear()
        assert robot.until(lambda: robot.commands[-1][1] > 0)


def test_scans_start_the_cycles_and_the_timer_fills_in(robot, policy):
    """Scans come every 50 ms, last of all messages: a command follows every second one at once."""
    sent, publish = [], robot.publish

    def keep_time():
        publish()
        sent.append(time.monotonic())

    robot.publish = keep_time
    robot._publishers["scan"] = robot._publishers.pop("scan")
    with policy_process(policy, trigger="sensor"):
        assert robot.until(lambda: len(robot.moving()) >= 23)
        times = np.array([command[0] for command in robot.moving()])
        delays = [time_ - max(moment for moment in sent if moment <= time_) for time_ in times[3:]]
        assert np.median(delays) < 0.02
        assert np.median(np.diff(times)) == pytest.approx(PERIOD, abs=0.02)

        withheld = time.monotonic()
        robot.edits["scan"] = lambda message: None
        assert robot.halts(withheld) < TIMEOUT + 2 * PERIOD + SLACK
        assert len(robot.moving(withheld)) in (1, 2, 3)  # the timer went on until the last scan was stale
        assert robot.says("nothing on /r1/scan for")
        del robot.edits["scan"]
        assert robot.drives()


def test_sensors_with_a_clock_that_is_ahead_start_cycles_no_sooner(robot, policy):
    """Stamps 0.15 s ahead of the node's clock, twenty scans a second: the period is still kept."""
    robot.offset = 0.15
    with policy_process(policy, trigger="sensor"):
        assert robot.until(lambda: len(robot.moving()) >= 23)
        times = np.array([command[0] for command in robot.moving()])
    assert np.median(np.diff(times)) == pytest.approx(PERIOD, abs=0.02)
    assert np.percentile(np.diff(times), 10) > 0.7 * PERIOD


def test_goal_in_another_frame_stops_the_robot(robot, policy):
    with policy_process(policy):
        assert robot.drives()
        goal = PoseStamped()
        goal.header.frame_id = "odom"
        robot.goals.publish(goal)
        assert robot.says("goal_pose is in frame 'odom', odom is in 'map'")
        goal.header.frame_id = "map"
        goal.pose.position.x = math.nan
        robot.goals.publish(goal)
        assert robot.says("give finite metres")
        goal.pose.position.x = 3.0
        robot.goals.publish(goal)
        assert robot.drives()


def test_first_goal_in_another_frame_stops_the_robot_until_a_good_one_comes(robot, policy):
    with policy_process(policy, goal_frame="hall"):
        assert robot.says("goal_pose is in frame 'hall', odom is in 'map'")
        assert not robot.moving()
        goal = PoseStamped()
        goal.header.frame_id = "map"
        goal.pose.position.x = 3.0
        robot.goals.publish(goal)
        assert robot.drives()


def test_commands_what_the_policy_says_of_targets(robot, covering):
    """More places than the policy sees, then fewer; one message is enough."""
    manifest = Policy.load(covering).manifest
    with policy_process(covering, goal="[]", targets="[2.0, 4.0, 1.0, -7.0, 0.0, 5.0]"):
        # As seen by one at (1, 2) who looks along +y.
        for in_robot_frame in ([[2, -1], [-9, 0], [3, 1]], [[1, 1]]):
            readings = Readings(targets=np.array(in_robot_frame), velocity=np.zeros(2))
            expected = Policy.load(covering)(observe(manifest.observation, readings))
            assert robot.commands_come_to(expected), (in_robot_frame, robot.commands[-1:], robot.diagnostics[-1:])
            robot.targets.publish(places((0, 3)))
        assert robot.until(lambda: robot.diagnostics[-1][:2] == (b"\x00", "driving"))


def test_waits_for_targets_and_stops_at_bad_ones(robot, covering):
    with policy_process(covering):  # its parameter 'goal' is of no use to this policy
        waiting = "waiting for targets on /r1/targets"
        assert robot.says(waiting)
        before = robot.stop_counts()
        robot.spin(1.2)
        assert robot.diagnostics[-1][:2] == (b"\x01", waiting)
        assert not robot.moving()
        assert robot.stop_counts() == before
        for bad, text in (
            (
                places((2, 4), frame="odom"),
                "targets is in frame 'odom', odom is in 'map'; give it in the frame of odom",
            ),
            (places((2, 4), (0, math.nan)), "targets holds [0.0, nan], which is not finite or beyond 1e+09; give"),
            (places(), "targets holds no place"),
        ):
            robot.targets.publish(places((2, 4)))
            assert robot.drives(), text
            since = time.monotonic()
            robot.targets.publish(bad)
            assert robot.halts(since) < 1.5 * PERIOD + SLACK, text
            assert robot.says(text), robot.diagnostics
        assert robot.until(lambda: robot.stop_counts()["stops_malformed_input"] == "2")


def test_first_targets_are_in_the_frame_that_is_given(robot, covering):
    with policy_process(covering, targets="[2.0, 4.0]", goal_frame="hall"):
        assert robot.says("targets is in frame 'hall', odom is in 'map'")
        assert not robot.moving()


def test_bad_policy_files_leave_it_unconfigured(robot, policy, tmp_path):
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(policy.read_bytes()[:500])
    with policy_process(cut) as process:
        for path, reason in (
            (cut, "is truncated"),
            (tmp_path / "none.onnx", "no such file"),
            (write_policy(tmp_path / "mini.onnx", "mini"), "for robot type 'mini', this robot is a 'scout'"),
            (
                write_policy(tmp_path / "motion.onnx", observation=[Goal(5.0), Neighbors(2, 4.0, motion=True)]),
                "motion: true, which only simulation gives",
            ),
            (
                write_policy(tmp_path / "vector.onnx", observation=[Goal(5.0), Vector(18)]),
                "vector term, which only its own simulator gives",
            ),
            (
                write_policy(tmp_path / "mask.onnx", observation=[Goal(5.0), ActionMask(2)]),
                "action_mask term, which only its own simulator gives",
            ),
            (
                write_policy(tmp_path / "blind.onnx", observation=[PreviousAction()]),
                "observes nothing but its own previous_action; retrain with a sensor's term",
            ),
            ("", "parameter 'policy' is empty"),
        ):
            if path != cut:  # that one was tried at start
                assert robot.set_policy(path).successful
                assert not robot.transition(CONFIGURE)
            assert robot.says(reason)
            assert robot.diagnostics[-1][0] == b"\x02"
            assert not robot.transition(ACTIVATE)
            assert robot.state() == "unconfigured", reason
        assert not robot.commands
        assert robot.set_policy(policy).successful
        assert robot.transition(CONFIGURE)
        assert robot.transition(ACTIVATE)
        assert robot.drives()
        assert process.poll() is None


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"robot_type": "tank"}, "robot_type 'tank' is not in"),
        ({"goal": "[1.0, .nan]"}, "give two finite numbers"),
        ({"targets": "[1.0, 2.0, 3.0]"}, "'targets' is [1.0, 2.0, 3.0]; give finite numbers x1, y1, x2, y2"),
        ({"targets": "[1.0, .inf]"}, "give finite numbers x1, y1, x2, y2"),
    ],
)
def test_bad_parameters_leave_it_unconfigured(robot, policy, parameters, reason):
    with policy_process(policy, **parameters):
        assert robot.says(reason)
        assert robot.state() == "unconfigured"


@pytest.mark.parametrize(
    ("policy", "parameters", "reason"),
    [(5, {}, "'policy' is not text"), ("p.onnx", {"sensor_timeout": "0.0"}, "'sensor_timeout' is 0.0")],
)
def test_parameter_of_the_wrong_type_ends_it(policy, parameters, reason):
    with policy_process(policy, **parameters) as process:
        output, _ = process.communicate(timeout=20)
    assert process.returncode == 2
    assert reason in output
    assert len(output.splitlines()) == 1


def test_lifecycle_opens_and_closes_the_gate(robot, policy):
    with policy_process(policy, autostart="false"):
        assert robot.state() == "unconfigured"
        assert robot.transition(CONFIGURE)
        robot.spin(0.5)
        assert robot.state() == "inactive"
        assert not robot.commands
        for _ in range(2):
            assert robot.transition(ACTIVATE)
            assert robot.drives()
            since = time.monotonic()
            assert robot.transition(DEACTIVATE)
            robot.spin(0.4)
            assert len(robot.stops(since)) == 1
            assert not robot.moving(robot.stops(since)[0][0])
        assert robot.transition(CLEANUP)
        assert robot.state() == "unconfigured"
        assert robot.transition(CONFIGURE)
        assert robot.transition(ACTIVATE)
        assert robot.drives()


@pytest.mark.parametrize("number", STOPS)
def test_signal_stops_the_robot_and_ends_the_node(robot, policy, number):
    with policy_process(policy) as process:
        assert robot.drives()
        since = time.monotonic()
        process.send_signal(number)
        assert robot.until(lambda: process.poll() is not None, 5)
        assert time.monotonic() - since < 1
        assert robot.until(lambda: not any(robot.commands[-1][1:]), 2)
        robot.spin(0.2)
        output = process.stdout.read()
    assert process.returncode == 0
    assert "Traceback" not in output
    assert len(robot.stops(since)) == 1
    assert not any(robot.commands[-1][1:])


def test_under_nohup_the_end_of_the_terminal_is_no_reason_to_stop(robot, policy):
    handler = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # which the process inherits
    try:
        with policy_process(policy) as process:
            assert robot.drives()
            since = time.monotonic()
            process.send_signal(signal.SIGHUP)
            assert robot.drives()
            assert process.poll() is None
            assert not robot.stops(since)
    finally:
        signal.signal(signal.SIGHUP, handler)


def test_neighbors_in_another_frame_stop_a_robot_that_needs_no_odometry_else(tmp_path):
    robot = RobotBody(topics=("scan", "odom", "neighbors"))
    observation = [Lidar(36, 3.5), Neighbors(count=2, range=4.0)]
    try:
        with policy_process(write_policy(tmp_path / "flocking.onnx", observation=observation)):
            assert robot.until(lambda: len(robot.commands) > 3)
            robot.edits["neighbors"] = edited(header__frame_id="map")
            assert robot.says("neighbors is in frame 'map'; give the poses in the robot's frame 'r1/base_link'")
            count = len(robot.commands)
            robot.spin(0.3)
            assert len(robot.commands) == count
    finally:
        robot.close()
