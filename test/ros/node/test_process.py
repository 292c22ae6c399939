"""What every process with nodes does first."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import sys
from rclpy.node import Node
from kdmarl_ros.node.process import COMPILER, initialise

initialise(None)
node = Node("lean")
assert "rosidl_generator_py" in sys.modules and sys.modules[COMPILER] is None
node.destroy_node()
"""


def test_a_node_does_without_the_compiler_of_messages():
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=60)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "HOME is not set, and ROS writes logs of nodes to ~/.ros/log; set HOME, or ROS_LOG_DIR to another folder"),
        (
            {"ROS_LOG_DIR": "/dev/null/logs"},
            "/dev/null/logs cannot be written (logs of nodes); /dev/null is not a folder",
        ),
        ({"ROS_LOG_DIR": "/proc/logs"}, "/proc/logs"),
        ({"HOME": "/tmp", "ROS_DOMAIN_ID": "233"}, "ROS_DOMAIN_ID is '233'; give 0 to 232"),
        (
            {"ROS_LOG_DIR": "/tmp", "ROS_SECURITY_ENABLE": "true", "ROS_SECURITY_STRATEGY": "Enforce"},
            "check the environment variables of ROS",
        ),
    ],
)
def test_an_environment_without_what_ros_needs_is_reported_with_its_remedy(change, words):
    kept = {name: value for name, value in os.environ.items() if name not in ("HOME", "ROS_HOME", "ROS_LOG_DIR")}
    arguments = [sys.executable, "-m", "kdmarl_ros.robot.policy_node"]
    done = subprocess.run(arguments, env=kept | change, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert words in done.stderr.splitlines()[-1]
    assert "--ros-args" not in done.stderr


def test_bad_arguments_are_reported_as_such():
    arguments = [sys.executable, "-m", "kdmarl_ros.robot.policy_node", "--ros-args", "-p", "none"]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("check the --ros-args")


ABORTS_AT_EXIT = """
import atexit, os, sys
from kdmarl_ros.{room} import {module}

atexit.register(os.abort)
print("not flushed yet", end="")
sys.argv = ["{module}", "--ros-args", "-p", "none"]
{module}.command()
"""


@pytest.mark.parametrize("module", ["robot.policy_node", "robot.policy_host", "sim.simulator_node", "judge.judge_node"])
def test_the_exit_code_holds_whatever_libraries_do_at_the_end_of_a_process(module):
    room, _, name = module.partition(".")
    program = [sys.executable, "-c", ABORTS_AT_EXIT.format(room=room, module=name)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done.stderr
    assert done.stdout == "not flushed yet"
    assert done.stderr.splitlines()[-1].endswith("check the --ros-args")
