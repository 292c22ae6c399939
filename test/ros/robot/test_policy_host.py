"""Several robots in one process: they drive together, and what happens to one does not happen to the others."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest
import yaml
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry
from rclpy.qos import qos_profile_sensor_data

from kdmarl_core.contract.terms import Goal, Velocity
from node_process import DOMAIN, Client
from support import ROBOT_TYPES, write_policy

PERIOD = 0.1
HOST = ["-m", "kdmarl_ros.robot.policy_host"]
FAILING = """
import sys
from kdmarl_ros.robot import policy_host
from kdmarl_ros.robot.control_loop import ControlLoop

lives, drive = [], ControlLoop._drive
def fail(self, command):
    drive(self, command)
    if "r2" in self._node.get_namespace() and self._diagnostics.cycles == 5 and len(lives) < int(sys.argv[1]):
        lives.append(self)
        raise RuntimeError("out of cheese")

ControlLoop._drive = fail
sys.exit(policy_host.main(sys.argv[1:]))
"""
"""A host in which the robot r2 fails at its fifth command, in as many lives as the first argument says."""


class Team(Client):
    """The bodies of robots: give odometry at 20 Hz, keep commands with their times."""

    def __init__(self, *robots):
        super().__init__()
        self.commands = {robot: [] for robot in robots}
        self.diagnostics = {}
        self._odometry = [self.node.create_publisher(Odometry, f"/{r}/odom", qos_profile_sensor_data) for r in robots]
        for robot, commands in self.commands.items():
            self.node.create_subscription(Twist, f"/{robot}/cmd_vel", self._keep(commands), 10)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._diagnose, 100)
        self.node.create_timer(0.05, self._publish)

    @staticmethod
    def _keep(commands):
        return lambda twist: commands.append((time.monotonic(), twist.linear.x, twist.angular.z))

    def _diagnose(self, message):
        self.diagnostics[message.status[0].hardware_id] = message.status[0].message

    def _publish(self):
        message = Odometry()
        message.header.frame_id = "map"
        message.header.stamp = self.node.get_clock().now().to_msg()
        message.pose.pose.orientation.w = 1.0
        for publisher in self._odometry:
            publisher.publish(message)

    def moves(self, robot, since=0.0):
        return [command for command in self.commands[robot] if command[0] > since and any(command[1:])]

    def drives(self, *robots, timeout=20.0):
        """Wait for motion of all that begins from now on."""
        since = time.monotonic()
        return self.until(lambda: all(len(self.moves(robot, since)) >= 3 for robot in robots), timeout)


@pytest.fixture
def team():
    team = Team("r1", "r2", "r3")
    yield team
    team.close()


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    observation = [Goal(range=5.0), Velocity()]
    return write_policy(tmp_path_factory.mktemp("policies") / "scout.onnx", observation=observation)


@contextmanager
def host(folder, robots, *arguments, program=HOST):
    """A host process of ``robots``: name → parameters; what it prints is shown if the test fails."""
    nodes = {f"/{robot}/policy": {"ros__parameters": values} for robot, values in robots.items()}
    (folder / "robots.yaml").write_text(yaml.safe_dump(nodes))
    process = subprocess.Popen(
        [sys.executable, *program, *robots, "--ros-args", "--params-file", str(folder / "robots.yaml"), *arguments],
        env={**os.environ, "ROS_DOMAIN_ID": str(DOMAIN), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    process.output = ""
    try:
        yield process
    finally:
        process.kill()
        process.output += process.communicate()[0]
        print(process.output)


def parameters(policy, **changes):
    given = {"policy": str(policy), "robot_type": "scout", "robot_types": str(ROBOT_TYPES), "autostart": True}
    return given | {"goal": [4.0, 1.0], "sensor_timeout": 0.3} | changes


def test_robots_drive_while_others_are_refused(team, policy, tmp_path):
    """A bad policy file leaves its robot unconfigured, a bad parameter leaves it out."""
    robots = {
        "r1": parameters(policy),
        "r2": parameters(write_policy(tmp_path / "mini.onnx", "mini")),
        "r3": parameters(policy, goal=[-4.0, -1.0]),
        "r4": parameters(policy, sensor_timeout="soon"),
    }
    with host(tmp_path, robots) as process:
        assert team.drives("r1", "r3")
        assert team.commands["r1"][-1][2] > 0  # each to its own goal
        assert team.commands["r3"][-1][2] < 0
        assert team.until(lambda: "for robot type 'mini'" in team.diagnostics.get("r2", ""))
        assert not team.commands["r2"]
        assert "r4" not in team.diagnostics
    assert "r4: parameter 'sensor_timeout' is 'soon'; give a value of type double" in process.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_all_robots(team, policy, tmp_path, number):
    with host(tmp_path, {robot: parameters(policy) for robot in team.commands}) as process:
        assert team.drives(*team.commands)
        since = time.monotonic()
        process.send_signal(number)
        assert team.until(lambda: process.poll() is not None, 5)
        assert process.returncode == 0
        assert team.until(lambda: {space for _, space in team.node.get_node_names_and_namespaces()} == {"/"}, 1)
        team.spin(0.2)
    for commands in team.commands.values():
        stops = [command for command in commands if command[0] > since and not any(command[1:])]
        assert len(stops) == 1
        assert commands[-1] == stops[0]
        assert stops[0][0] - since < 0.5


def test_an_internal_error_of_one_robot_stops_it_alone_and_it_comes_back(team, policy, tmp_path):
    robots = {"r1": parameters(policy), "r2": parameters(policy)}
    with host(tmp_path, robots, program=["-c", FAILING, "1"]) as process:
        assert team.until(lambda: any(not any(command[1:]) for command in team.commands["r2"]))
        failed = team.commands["r2"][-1][0]
        assert team.drives("r1", "r2")
        assert team.moves("r2", failed)[0][0] - failed < 3.0
    others = np.array([command[0] for command in team.commands["r1"]])
    assert np.diff(others).max() < 2 * PERIOD + 0.1
    assert "RuntimeError: out of cheese" in process.output
    assert "starting it again in 0.2 s" in process.output


def test_a_robot_that_keeps_failing_is_given_up_and_the_others_go_on(team, policy, tmp_path):
    robots = {"r1": parameters(policy), "r2": parameters(policy)}
    with host(tmp_path, robots, program=["-c", FAILING.replace("cycles == 5", "cycles == 1"), "9"]) as process:
        last = team.until(lambda: len([c for c in team.commands["r2"] if not any(c[1:])]) == 5, 30)
        assert last
        team.spin(2.5)
        assert len([command for command in team.commands["r2"] if not any(command[1:])]) == 5
        assert team.drives("r1")
    assert "it died 5 times in 10 s, so it stays down" in process.output


@pytest.mark.parametrize(
    ("robots", "sentence"),
    [
        ([], "no robot is named; give names"),
        (["r1", "/r1"], "robot 'r1' is named more than once; give each name once"),
        (["r-1"], "name 'r-1' cannot be a ROS namespace; use letters, digits and _"),
    ],
)
def test_bad_names_are_one_sentence_and_exit_code_two(robots, sentence):
    completed = subprocess.run([sys.executable, *HOST, *robots], capture_output=True, text=True, timeout=30)
    assert completed.returncode == 2
    assert completed.stderr.startswith(sentence)
    assert completed.stderr.count("\n") == 1


def test_when_no_robot_can_start_the_exit_code_is_two(policy, tmp_path):
    with host(tmp_path, {robot: parameters(policy, goal="there") for robot in ("r1", "r2")}) as process:
        assert process.wait(timeout=30) == 2
    assert sorted(line.partition(":")[0] for line in process.output.splitlines()) == ["r1", "r2"]


def test_a_namespace_for_the_whole_process_is_refused(policy, tmp_path):
    with host(tmp_path, {"r1": parameters(policy)}, "-r", "__ns:=/fleet") as process:
        assert process.wait(timeout=30) == 2
    assert "r1: is remapped to /fleet/policy; leave __node and __ns out" in process.output
