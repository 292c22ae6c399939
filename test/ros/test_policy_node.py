"""The policy node as a robot meets it: a process, real messages, and faults."""

import array
import math
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Point, Pose, PoseArray, PoseStamped, Twist, TwistStamped
from lifecycle_msgs.srv import ChangeState, GetState
from nav_msgs.msg import Odometry
from onnx import helper
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.qos import qos_profile_sensor_data
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import LaserScan, Range

from kdmarl_core.contract import Readings, Scan, observe
from kdmarl_core.contract.terms import ActionMask, Goal, Lidar, Neighbors, Targets, Vector, Velocity
from kdmarl_core.runtime import Policy
from node_process import DOMAIN, Client
from support import ROBOT_TYPES, write_policy

TIMEOUT, PERIOD = 0.3, 0.1
SLACK = 0.1
"""for the scheduling of two busy processes [s]"""
CONFIGURE, CLEANUP, ACTIVATE, DEACTIVATE = 1, 2, 3, 4


class Robot(Client):
    """A robot's body: gives sensor messages at 20 Hz, keeps the commands with their times.

    ``edits`` changes (or, returning None, withholds) messages by topic before they are sent.
    """

    def __init__(self, command_type=Twist):
        super().__init__()
        self.commands = []
        self.diagnostics = []
        self.edits = {}
        self.sim_time = None
        node = self.node
        kinds = {"scan": LaserScan, "odom": Odometry, **{f"range_{index}": Range for index in range(8)}}
        self._publishers = {
            topic: (kind, node.create_publisher(kind, f"/r1/{topic}", qos_profile_sensor_data))
            for topic, kind in kinds.items()
        }
        self.goals = node.create_publisher(PoseStamped, "/r1/goal_pose", 1)
        self.targets = node.create_publisher(PoseArray, "/r1/targets", 1)
        self.clock = node.create_publisher(Clock, "/clock", 1)
        node.create_subscription(command_type, "/r1/cmd_vel", self._command, 10)
        node.create_subscription(DiagnosticArray, "/diagnostics", self._diagnose, 10)
        self._change = node.create_client(ChangeState, "/r1/policy/change_state")
        self._get = node.create_client(GetState, "/r1/policy/get_state")
        self._set = node.create_client(SetParametersAtomically, "/r1/policy/set_parameters_atomically")
        self.publish_timer = node.create_timer(0.05, self.publish)

    def _command(self, message):
        twist = getattr(message, "twist", message)
        self.commands.append((time.monotonic(), twist.linear.x, twist.angular.z))

    def _diagnose(self, message):
        status = message.status[0]
        self.diagnostics.append((status.level, status.message, {v.key: v.value for v in status.values}))

    def now(self):
        return time.time() if self.sim_time is None else self.sim_time

    def publish(self):
        for topic, (kind, publisher) in self._publishers.items():
            message = kind()
            stamp(message, self.now())
            fill(topic, message)
            if topic in self.edits:
                message = self.edits[topic](message)
            if message is not None:
                publisher.publish(message)

    def call(self, client, request):
        assert client.wait_for_service(timeout_sec=10)
        future = client.call_async(request)
        assert self.until(future.done, 10)
        return future.result()

    def transition(self, number):
        request = ChangeState.Request()
        request.transition.id = number
        return self.call(self._change, request).success

    def state(self):
        return self.call(self._get, GetState.Request()).current_state.label

    def set_policy(self, path):
        value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=str(path))
        request = SetParametersAtomically.Request(parameters=[Parameter(name="policy", value=value)])
        return self.call(self._set, request).result

    def stop_counts(self):
        return {key: value for key, value in self.diagnostics[-1][2].items() if key.startswith("stops_")}

    def moving(self, since=0.0):
        return [command for command in self.commands if command[0] > since and any(command[1:])]

    def stops(self, since=0.0):
        return [command for command in self.commands if command[0] > since and not any(command[1:])]

    def halts(self, since, timeout=10.0):
        """Wait for the first zero command after ``since``; the time from then to it [s]."""
        assert self.until(lambda: self.stops(since), timeout), self.diagnostics[-1:]
        return self.stops(since)[0][0] - since

    def drives(self, timeout=15.0):
        """Wait for motion that begins from now on."""
        since = time.monotonic()
        return self.until(lambda: len(self.moving(since)) >= 3, timeout)

    def says(self, text, timeout=10.0):
        return self.until(lambda: any(text in message for _, message, _ in self.diagnostics), timeout)


def stamp(message, seconds):
    header = message.header
    header.stamp.sec, header.stamp.nanosec = int(seconds), int(seconds % 1 * 1e9)


def fill(topic, message):
    """A robot at (1, 2) that looks along +y, 2 m from everything."""
    message.header.frame_id = f"r1/{topic}"
    if topic == "odom":
        message.header.frame_id, message.child_frame_id = "map", "r1/base_link"
        message.pose.pose.position.x, message.pose.pose.position.y = 1.0, 2.0
        message.pose.pose.orientation.z = message.pose.pose.orientation.w = math.sqrt(0.5)
    elif topic == "scan":
        message.angle_min, message.angle_increment = -math.pi, 2 * math.pi / 360
        message.range_min, message.range_max = 0.05, 3.5
        message.ranges = array.array("f", [2.0] * 360)
    else:
        message.min_range, message.max_range, message.range = 0.05, 2.0, 1.0


@contextmanager
def node(policy, robot_type="scout", **parameters):
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
        [sys.executable, "-m", "kdmarl_ros.policy_node", "--ros-args", "-r", "__ns:=/r1", *arguments],
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
    robot = Robot()
    yield robot
    robot.close()


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    return write_policy(tmp_path_factory.mktemp("policies") / "scout.onnx")


def edited(**values):
    """An edit that sets attributes, by dotted path with ``__`` for the dot."""

    def edit(message):
        for path, value in values.items():
            owner = message
            *parents, name = path.split("__")
            for parent in parents:
                owner = getattr(owner, parent)
            setattr(owner, name, value)
        return message

    return edit


def shifted(seconds):
    def edit(message):
        stamp(message, time.time() + seconds)
        return message

    return edit


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
    robot = Robot(TwistStamped)
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


def test_scans_start_the_cycles_and_the_timer_fills_in(robot, policy):
    """Scans come every 50 ms, last of all messages: a command follows every second one at once."""
    sent, publish = [], robot.publish

    def keep_time():
        publish()
        sent.append(time.monotonic())

    robot.publish_timer.cancel()
    robot.node.create_timer(0.05, keep_time)
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


def test_every_input_fault_stops_the_robot_once_and_it_recovers(robot, policy):
    """One row a fault: what breaks, the longest time to the zero command, and what is said and counted."""
    nan, soon, aged = math.nan, 1.5 * PERIOD, TIMEOUT + 1.5 * PERIOD
    scan = array.array("f", [math.nan] * 200 + [1.0] * 160)
    faults = [
        ("scan", lambda message: None, aged, "stale_input", "nothing on /r1/scan for"),
        ("odom", lambda message: None, aged, "stale_input", "nothing on /r1/odom for"),
        ("scan", shifted(-5), soon, "stale_input", "scan was stamped 5."),
        ("odom", shifted(5), soon, "future_input", "odom was stamped"),
        ("scan", edited(ranges=scan), soon, "malformed_input", "200 of 360 beams of scan are invalid"),
        ("scan", edited(ranges=array.array("f")), soon, "malformed_input", "no beams"),
        ("scan", edited(angle_increment=0.001), soon, "malformed_input", "sees nothing at"),
        ("scan", edited(angle_min=nan), soon, "malformed_input", "must be finite"),
        ("scan", edited(range_max=nan), soon, "malformed_input", "range_max nan"),
        ("odom", edited(pose__pose__position__x=nan), soon, "malformed_input", "not finite"),
        ("odom", edited(twist__twist__angular__z=math.inf), soon, "malformed_input", "not finite"),
        ("odom", edited(pose__pose__orientation__w=0.0), soon, "malformed_input", "unit quaternion"),
    ]
    with node(policy):
        for topic, edit, limit, cause, text in faults:
            assert robot.drives(), (text, robot.diagnostics[-1])
            counted = f"stops_{cause}"
            before = int(robot.diagnostics[-1][2][counted])
            broken = time.monotonic()
            robot.edits[topic] = edit
            robot.diagnostics.clear()
            # The message before the fault may have been sent up to 50 ms earlier; the next one up to 50 ms later.
            assert robot.halts(broken) < limit + 0.05 + SLACK, text
            robot.spin(0.3)
            assert len(robot.stops(broken)) == 1, text
            assert not robot.moving(robot.stops(broken)[0][0]), text
            assert robot.says(text), robot.diagnostics
            assert int(robot.diagnostics[-1][2][counted]) == before + 1
            assert robot.diagnostics[-1][0] == b"\x02"
            del robot.edits[topic]


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


def places(*xy, frame="map"):
    message = PoseArray(poses=[Pose(position=Point(x=float(x), y=float(y))) for x, y in xy])
    message.header.frame_id = frame
    return message


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
            (places((2, 4), (0, math.nan)), "targets holds [0.0, nan], which is not finite; give finite metres"),
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


def test_policy_output_that_is_not_finite_stops_the_robot(robot, tmp_path):
    """A square root instead of the tanh: NaN once the goal is to the right."""
    root = helper.make_node("Sqrt", ["raw"], ["unit"])
    policy = write_policy(tmp_path / "nan.onnx", edit=lambda model: model.graph.node[1].CopyFrom(root))
    with node(policy, goal="[0.0, 4.0]"):  # to the left
        assert robot.drives()
        goal = PoseStamped()
        goal.header.frame_id = "map"
        goal.pose.position.x, goal.pose.position.y = 2.0, 4.0
        robot.goals.publish(goal)
        assert robot.says("which is not finite")
        assert robot.diagnostics[-1][2]["stops_policy_output"] == "1"
        assert not any(robot.commands[-1][1:])


def test_bad_policy_files_leave_it_unconfigured(robot, policy, tmp_path):
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(policy.read_bytes()[:500])
    with node(cut) as process:
        for path, reason in (
            (cut, "is truncated"),
            (tmp_path / "none.onnx", "no such policy file"),
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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
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


def test_clock_that_stops_or_jumps_back_stops_the_robot(robot, policy):
    robot.sim_time = 100.0
    running = [True]

    def tick():
        if running[0]:
            robot.sim_time = round(robot.sim_time + 0.02, 3)
        message = Clock()
        message.clock.sec, message.clock.nanosec = int(robot.sim_time), round(robot.sim_time % 1 * 1e9)
        robot.clock.publish(message)

    robot.node.create_timer(0.02, tick)
    with node(policy, use_sim_time="true"):
        assert robot.drives()
        for restart in (robot.sim_time + 10, 3.0):
            stopped = time.monotonic()
            running[0] = False
            assert robot.halts(stopped) < TIMEOUT + 1.5 * PERIOD + SLACK
            assert robot.says("/clock has not advanced")
            running[0] = True
            assert robot.drives()
            jumped = time.monotonic()
            robot.sim_time = restart
            if restart < 10:
                assert robot.halts(jumped) < 1.5 * PERIOD + SLACK
                assert robot.says("jumped back")
            assert robot.drives()
    assert all(level == b"\x00" for level, message, _ in robot.diagnostics if message == "driving")


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
    """To one that sees them by a lidar too; one that goes to a goal knows none of them, and starts anew."""
    seeing = write_policy(tmp_path / "seeing.onnx", observation=[Lidar(36, 3.5), Targets(count=1, range=8.0)])
    with node(covering, goal="[2.0, 4.0]", targets="[2.0, 4.0]"):
        assert robot.drives()
        assert robot.commands[-1][2] < 0
        robot.targets.publish(places((0, 4)))
        assert robot.until(lambda: robot.commands[-1][2] > 0)
        for path, side in ((seeing, 1), (policy, -1), (covering, -1)):
            assert robot.set_policy(path).successful
            robot.commands.clear()
            assert robot.drives()
            assert np.sign(robot.commands[-1][2]) == side, path
