"""``kdmarl-swarm check``: a line for each thing that must be right before a robot's wheels touch the ground."""

import os
import re
import subprocess
import sys

import pytest
from geometry_msgs.msg import Twist
from rclpy.qos import QoSProfile
from sensor_msgs.msg import PointCloud2

from node_process import DOMAIN
from robot_body import RobotBody, edited
from sim_support import robot as robot_of
from sim_support import write_swarm

KDMARL = [sys.executable, "-c", "import sys; from kdmarl_core.cli import main; sys.argv[0] = 'kdmarl'; main()"]
ENVIRONMENT = {**os.environ, "ROS_DOMAIN_ID": str(DOMAIN)}


@pytest.fixture
def swarm(tmp_path):
    return write_swarm(tmp_path, [robot_of("r1", goal=(2.0, 3.0))], world=None)


@pytest.fixture
def check(robot, swarm, tmp_path):
    """The findings while the robot's topics go on."""

    def call(*options):
        command = [sys.executable, "-m", "kdmarl_ros.swarm_cli", "check", swarm, "r1", "--seconds", "2", *options]
        process = subprocess.Popen(
            [str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
            env=ENVIRONMENT,
        )  # fmt: skip
        assert robot.until(lambda: process.poll() is not None, 30)
        printed, errors = process.communicate()
        assert errors == ""
        lines = [line.split(maxsplit=1) for line in printed.splitlines()]
        assert process.returncode == any(level == "fail" for level, _ in lines)
        return {level: "\n".join(text for each, text in lines if each == level) for level in ("ok", "warn", "fail")}

    return call


def test_a_robot_in_good_order(check, tmp_path):
    found = check("--picture", "scan.png")
    assert found["fail"] == found["warn"] == ""
    for text in (
        "fits scout", "/r1/scan: ", " Hz, in frame 'r1/scan'", "/r1/odom: ", "all inputs are as the policy needs",
        "/r1/cmd_vel: ", "subscribes to geometry_msgs/msg/Twist", "scan.png: hold something before the robot",
    ):  # fmt: skip
        assert text in found["ok"]
    assert (tmp_path / "scan.png").stat().st_size > 5000


def test_what_is_not_there_or_of_another_type(check, robot):
    robot.edits["odom"] = lambda message: None
    robot.offer("scan", QoSProfile(depth=1), PointCloud2)
    found = check()
    assert "/r1/odom: nothing in 7 s; start its driver, or remap the topic" in found["fail"]
    assert "/r1/scan: nothing in 7 s; a publisher there has the type sensor_msgs/msg/PointCloud2" in found["fail"]


def test_clocks_and_frames_and_rates(check, robot, swarm, tmp_path):
    types = (tmp_path / "robots.yaml").read_text()
    (tmp_path / "robots.yaml").write_text(
        types.replace("{beams: 360, range: 3.5}", "{beams: 360, range: 3.5, rate: 5.0}")
    )
    robot.edits["odom"] = edited(header__frame_id="r1/odom")
    robot.offset = 0.5
    found = check()
    assert re.search(r"/r1/scan: (20|19)\.\d Hz, .*; the robot type says 5 Hz: correct one of both", found["warn"])
    assert re.search(r"/r1/scan: stamped 0\.(50|4\d) s in the future; synchronise the clocks", found["fail"])
    robot.offset = 0.0
    assert "the robot would stand: goal_pose is in frame 'map', odom is in 'r1/odom'" in check()["fail"]


def test_nobody_who_listens(swarm, tmp_path):
    robot = RobotBody()
    robot.listen_to(None)
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "kdmarl_ros.swarm_cli", "check", swarm, "r1", "--seconds", "2"],
            stdout=subprocess.PIPE, text=True, env=ENVIRONMENT,
        )  # fmt: skip
        assert robot.until(lambda: process.poll() is not None, 30)
        assert "/r1/cmd_vel: nobody subscribes; start the base's driver" in process.communicate()[0]
        assert process.returncode == 1
    finally:
        robot.close()


@pytest.mark.parametrize("stops", [True, False])
def test_whether_the_base_stops_when_commands_cease(check, robot, stops):
    speed = [0.0, 0.0]

    def follow(message):
        last = robot.commands[-1] if robot.commands else (0.0, 0.0, 0.0)
        speed[0] = last[1] if not stops or robot.sent.get("odom", 0) - last[0] < 0.5 else 0.0
        message.twist.twist.linear.x = speed[0]
        return message

    robot.edits["odom"] = follow
    found = check("--wheels-up")
    assert robot.commands[-1][1:] == (0.0, 0.0)  # a base without a timeout must not drive on
    if stops:
        assert "the base drove at 0.24 m/s, and stood 0." in found["ok"]
    else:
        assert "the base still drives 2 s after the last command; set a command timeout" in found["fail"]


def test_a_base_that_somebody_drives_is_left_alone(check, robot):
    publisher = robot.node.create_publisher(Twist, "/r1/cmd_vel", 1)
    assert "commands this base; stop that first" in check("--wheels-up")["fail"]
    robot.node.destroy_publisher(publisher)


def test_a_robot_that_is_not_in_the_file(swarm):
    done = subprocess.run(
        [sys.executable, "-m", "kdmarl_ros.swarm_cli", "check", swarm, "r2"], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 2
    assert "no robot 'r2'; the swarm has r1" in done.stderr


def test_the_doctor_looks_at_all_robots_of_a_swarm(robot, tmp_path):
    """One is there, the other is not."""
    swarm = write_swarm(
        tmp_path, [robot_of("r1", goal=(2.0, 3.0)), robot_of("r2", pose=(0.0, 2.0, 0.0), goal=(2.0, 1.0))], world=None
    )
    command = [*KDMARL, "doctor", str(swarm), "--live"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=ENVIRONMENT)
    assert robot.until(lambda: process.poll() is not None, 60)
    printed, _ = process.communicate()
    assert process.returncode == 1
    software, first, second = re.split(r"^r[12]$", printed, flags=re.MULTILINE)
    assert "fits scout" in software
    assert "/r1/scan: " in first
    assert "fail" not in first
    assert "/r2/scan: nothing in" in second


def test_the_doctor_needs_a_swarm_to_look_at_robots(tmp_path):
    command = [*KDMARL, "doctor", "--live"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=ENVIRONMENT, timeout=60)
    assert done.returncode == 2
    assert "--live looks at the robots of a swarm file; name one" in done.stderr
