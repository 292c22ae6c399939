"""The policy node as a robot meets it: a process, real messages, and faults."""

import array
import math
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import msgspec
import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped, TwistStamped
from rcl_interfaces.srv import GetParameters

from kdmarl_core.contract import Readings, Scan, load_robot_types, observe
from kdmarl_core.contract.simulator_terms import ActionMask, Vector
from kdmarl_core.contract.team_terms import Neighbors, Targets
from kdmarl_core.contract.terms import Goal, Lidar, PreviousAction, Velocity
from kdmarl_core.runtime import Policy
from kdmarl_ros.signals import STOPS
from node_process import DOMAIN
from robot_body import ACTIVATE, CLEANUP, CONFIGURE, DEACTIVATE, RobotBody, edited, place, places
from support import ROBOT_TYPES, write_policy

TIMEOUT, PERIOD = 0.3, 0.1
SLACK = 0.1
"""for the scheduling of two busy processes [s]"""


NODE = ("-m", "kdmarl_ros.policy_node")


@contextmanager
def node(policy, robot_type="scout", program=NODE, **parameters):
    """A policy node in namespace /r1."""
    parameters = {
        "policy": policy,
        "robot_type": robot_type,
        "robot_types": ROBOT_TYPES,
        "goal": "[2.0, 4.0]",
        "sensor_timeout": TIMEOUT,
        "autostart": "true",
    } | parameters
    arguments = [item for name, value in parameters.items() for item in ("-p", f"{name}:={value}")]
    process = subprocess.Popen(
        [sys.executable, *program, "--ros-args", "-r", "__ns:=/r1", *arguments],
        env={**os.environ, "ROS_DOMAIN_ID": str(DOMAIN), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def robot():
    robot = RobotBody()
    yield robot
    robot.close()


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    return write_policy(tmp_path_factory.mktemp("policies") / "scout.onnx")


def test_commands_what_the_policy_says(robot, policy):
    with node(policy):
        assert robot.drives()
        robot.spin(1.5)
    manifest = Policy.load(policy).manifest
    # 1 m right of and 2 m ahead along +y is, for one who looks along +y, 2 m ahead and 1 m to the right.
    readings = Readings(
        scan=Scan(np.full(360, 2.0, np.float32), -math.pi, 2 * math.pi / 360, 0.05, 3.5),
        goal=np.array([2.0, -1.0]),
        velocity=np.zeros(2),
        previous_action=np.zeros(2),
    )
    expected = Policy.load(policy)(observe(manifest.observation, readings))
    np.testing.assert_allclose(robot.commands[-1][1:], expected, rtol=1e-4)
    changes = np.abs(np.diff([(0, 0)] + [command[1:] for command in robot.commands], axis=0))
    assert (changes <= manifest.action.acceleration * PERIOD + 1e-6).all()
    times = [command[0] for command in robot.moving()]
    assert np.median(np.diff(times)) == pytest.approx(PERIOD, abs=0.03)
    level, message, values = robot.diagnostics[-1]
    assert (level, message, values["policy"]) == (b"\x00", "driving", "goal_seeker_scout")
    assert values["policy_sha256"] == Policy.load(policy).sha256[:12]


def test_range_sensors_stamped_commands_and_goal_topic(tmp_path):
    robot = RobotBody(TwistStamped)
    try:
        with node(write_policy(tmp_path / "mini.onnx", "mini"), "mini", stamped_commands="true", goal="[]"):
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
    with node(policy, scan_guard="true"):
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
    with node(policy, trigger="sensor"):
        assert robot.drives()
        robot.spin(2.0)
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


def test_goal_in_another_frame_stops_the_robot(robot, policy):
    with node(policy):
        assert robot.drives()
        goal = PoseStamped()
        goal.header.frame_id = "odom"
        robot.goals.publish(goal)
        assert robot.says("goal_pose is in frame 'odom', odom is in 'map'")
        goal.header.frame_id = "map"
        goal.pose.position.x = math.nan
        robot.spin(0.2)
        robot.goals.publish(goal)
        assert robot.says("give finite metres")
        goal.pose.position.x = 3.0
        robot.goals.publish(goal)
        assert robot.drives()


def test_first_goal_in_another_frame_stops_the_robot_until_a_good_one_comes(robot, policy):
    with node(policy, goal_frame="hall"):
        assert robot.says("goal_pose is in frame 'hall', odom is in 'map'")
        assert not robot.moving()
        goal = PoseStamped()
        goal.header.frame_id = "map"
        goal.pose.position.x = 3.0
        robot.goals.publish(goal)
        assert robot.drives()


@pytest.fixture(scope="module")
def covering(tmp_path_factory):
    """A policy that sees two targets, and goes to the nearest."""
    observation = [Targets(count=2, range=8.0), Velocity()]
    return write_policy(tmp_path_factory.mktemp("policies") / "covering.onnx", observation=observation)


def test_commands_what_the_policy_says_of_targets(robot, covering):
    """More places than the policy sees, then fewer; one message is enough."""
    manifest = Policy.load(covering).manifest
    with node(covering, goal="[]", targets="[2.0, 4.0, 1.0, -7.0, 0.0, 5.0]"):
        # As seen by one at (1, 2) who looks along +y.
        for in_robot_frame in ([[2, -1], [-9, 0], [3, 1]], [[1, 1]]):
            assert robot.drives(), (in_robot_frame, robot.diagnostics[-1:])
            robot.spin(1.5)
            readings = Readings(targets=np.array(in_robot_frame), velocity=np.zeros(2))
            expected = Policy.load(covering)(observe(manifest.observation, readings))
            np.testing.assert_allclose(robot.commands[-1][1:], expected, rtol=1e-4)
            robot.targets.publish(places((0, 3)))
    assert robot.diagnostics[-1][:2] == (b"\x00", "driving")


def test_waits_for_targets_and_stops_at_bad_ones(robot, covering):
    with node(covering):  # its parameter 'goal' is of no use to this policy
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
        robot.spin(0.2)
        assert robot.stop_counts()["stops_malformed_input"] == "2"


def test_first_targets_are_in_the_frame_that_is_given(robot, covering):
    with node(covering, targets="[2.0, 4.0]", goal_frame="hall"):
        assert robot.says("targets is in frame 'hall', odom is in 'map'")
        assert not robot.moving()


def test_bad_policy_files_leave_it_unconfigured(robot, policy, tmp_path):
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(policy.read_bytes()[:500])
    with node(cut) as process:
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
    with node(policy, **parameters):
        assert robot.says(reason)
        assert robot.state() == "unconfigured"


@pytest.mark.parametrize(
    ("policy", "parameters", "reason"),
    [(5, {}, "'policy' is not text"), ("p.onnx", {"sensor_timeout": "0.0"}, "'sensor_timeout' is 0.0")],
)
def test_parameter_of_the_wrong_type_ends_it(policy, parameters, reason):
    with node(policy, **parameters) as process:
        output, _ = process.communicate(timeout=20)
    assert process.returncode == 2
    assert reason in output
    assert len(output.splitlines()) == 1


def test_lifecycle_opens_and_closes_the_gate(robot, policy):
    with node(policy, autostart="false"):
        robot.spin(0.5)
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
    with node(policy) as process:
        assert robot.drives()
        since = time.monotonic()
        process.send_signal(number)
        assert robot.until(lambda: process.poll() is not None, 5)
        assert time.monotonic() - since < 1
        robot.spin(0.2)
        output = process.stdout.read()
    assert process.returncode == 0
    assert "Traceback" not in output
    assert len(robot.stops(since)) == 1
    assert not any(robot.commands[-1][1:])


def test_under_nohup_the_end_of_the_terminal_is_no_reason_to_stop(robot, policy):
    handler = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # which the process inherits
    try:
        with node(policy) as process:
            assert robot.drives()
            since = time.monotonic()
            process.send_signal(signal.SIGHUP)
            assert robot.drives()
            assert process.poll() is None
            assert not robot.stops(since)
    finally:
        signal.signal(signal.SIGHUP, handler)


def test_clock_that_stops_or_jumps_back_stops_the_robot(robot, policy):
    robot.simulate_time(100.0)
    with node(policy, use_sim_time="true"):
        assert robot.drives()
        for restart in (robot.sim_time + 10, 3.0):
            stopped = time.monotonic()
            robot.clock_runs = False
            assert robot.halts(stopped) < TIMEOUT + 1.5 * PERIOD + SLACK
            assert robot.says("/clock has not advanced")
            robot.clock_runs = True
            assert robot.drives()
            jumped = time.monotonic()
            robot.sim_time = restart
            if restart < 10:
                assert robot.halts(jumped) < 1.5 * PERIOD + SLACK
                assert robot.says("jumped back")
            assert robot.drives()
    assert all(level == b"\x00" for level, message, _ in robot.diagnostics if message == "driving")


@pytest.mark.parametrize("values", [(-5, 0), (100, 4_000_000_000), (-(2**31), 2**32 - 1)])
def test_a_clock_that_gives_no_time_stops_the_robot(robot, policy, values):
    """For as long as it does, and with a single such message among good ones."""
    seconds, nanoseconds = values
    bad = edited(clock__sec=seconds, clock__nanosec=nanoseconds)
    robot.simulate_time(100.0)
    with node(policy, use_sim_time="true"):
        assert robot.drives()
        since = time.monotonic()
        robot.edits["/clock"] = bad
        assert robot.halts(since) < SLACK
        robot.spin(2 * TIMEOUT)
        assert robot.diagnostics[-1][1] == (
            f"stopped: /clock says {seconds} s and {nanoseconds} ns, which is no time; check what publishes it"
        )
        del robot.edits["/clock"]
        assert robot.drives()
        since = time.monotonic()
        robot.edits["/clock"] = lambda message: [bad, robot.edits.pop("/clock")][0](message)
        assert robot.halts(since) < SLACK
        assert robot.drives()
        robot.spin(0.2)
        assert robot.stop_counts()["stops_clock_invalid"] == "2"


def test_a_clock_that_leaps_to_the_end_of_time_and_back_stops_the_robot(robot, policy):
    robot.simulate_time(100.0)
    with node(policy, use_sim_time="true"):
        assert robot.drives()
        since = time.monotonic()
        robot.edits["/clock"] = edited(clock__sec=2**31 - 1, clock__nanosec=999_999_999)
        assert robot.halts(since) < 1.5 * PERIOD + SLACK
        del robot.edits["/clock"]
        assert robot.says("jumped back")
        assert robot.drives()


def test_policy_is_swapped_while_driving_and_a_bad_one_refused(robot, policy, tmp_path):
    faster = write_policy(tmp_path / "other.onnx", recurrent=True)
    with node(policy):
        assert robot.drives()
        since = time.monotonic()
        refused = robot.set_policy(write_policy(tmp_path / "mini.onnx", "mini"))
        assert not refused.successful
        assert "for robot type 'mini'" in refused.reason
        assert robot.set_policy(faster).successful
        assert robot.drives()
        robot.spin(1.2)
    times = [command[0] for command in robot.commands if command[0] > since]
    assert not robot.stops(since)
    assert np.diff(times).max() < 2 * PERIOD + SLACK
    assert robot.diagnostics[-1][2]["policy_sha256"] == Policy.load(faster).sha256[:12]


FAILING = """
import sys
from kdmarl_ros import policy_node

load = policy_node.Policy.load
policy_node.Policy.load = lambda path: [][0] if "cheese" in path else load(path)
sys.exit(policy_node.main())
"""
"""A node that has a mistake of ours in loading some files."""


def test_an_error_of_ours_while_loading_refuses_the_policy_and_the_robot_drives_on(robot, policy):
    with node(policy, program=("-c", FAILING)):
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
    with node(policy, scan_guard="true", goal="[1.0, 9.0]"):
        assert robot.drives()
        since = time.monotonic()
        assert robot.set_policy(lazy).successful
        assert robot.says("standing before the new policy drives, which brakes less or looks less often")
        assert robot.drives()
        assert robot.set_policy(policy).successful
        assert robot.drives()
        assert len(robot.stops(since)) == 1
        assert set(robot.stop_counts().values()) == {"0"}


def test_a_policy_whose_inputs_have_a_bad_qos_override_is_refused(robot, policy, tmp_path):
    """One that needs no scan drives on, and is still what the parameter names."""
    blind = write_policy(tmp_path / "blind.onnx", observation=[Goal(range=5.0), Velocity()])
    parameters = robot.node.create_client(GetParameters, "/r1/policy/get_parameters")
    with node(blind, **{"qos_overrides./r1/scan.subscription.reliability": "perhaps"}):
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
    with node(policy, goal="[2.0, 4.0]"):
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


def test_a_new_policy_keeps_the_targets(robot, policy, covering, tmp_path):
    """To one that sees them by a lidar too, and beyond one that goes to a goal; so does a goal beyond targets."""
    seeing = write_policy(tmp_path / "seeing.onnx", observation=[Lidar(36, 3.5), Targets(count=1, range=8.0)])
    with node(covering, goal="[2.0, 4.0]", targets="[2.0, 4.0]"):
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


def test_neighbors_in_another_frame_stop_a_robot_that_needs_no_odometry_else(tmp_path):
    robot = RobotBody(topics=("scan", "odom", "neighbors"))
    observation = [Lidar(36, 3.5), Neighbors(count=2, range=4.0)]
    try:
        with node(write_policy(tmp_path / "flocking.onnx", observation=observation)):
            assert robot.until(lambda: len(robot.commands) > 3)
            robot.edits["neighbors"] = edited(header__frame_id="map")
            assert robot.says("neighbors is in frame 'map'; give the poses in the robot's frame 'r1/base_link'")
            count = len(robot.commands)
            robot.spin(0.3)
            assert len(robot.commands) == count
    finally:
        robot.close()
