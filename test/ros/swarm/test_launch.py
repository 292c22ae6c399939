"""The launch file under the real ros2 launch, where this package is installed in a ROS environment."""

import json
import os
import shutil
import subprocess

import pytest

from node_process import DOMAIN
from sim_support import robot, write_swarm

EMPTY = {"size": [8.0, 8.0]}
BLOCKED = {"size": [8.0, 8.0], "discs": [[1.0, 0.0, 0.3]]}
"""with a pillar in the way, which the tests' policies do not see"""


def installed():
    """Whether a ROS environment with this package is sourced."""
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    return shutil.which("ros2") and any(
        os.path.isfile(f"{prefix}/share/kdmarl_ros/launch/swarm.launch.py") for prefix in prefixes
    )


pytestmark = pytest.mark.skipif(
    not installed(), reason="needs a sourced ROS environment with launch_ros and this package built by colcon"
)


def launch(path, *arguments):
    return subprocess.run(
        ["ros2", "launch", "kdmarl_ros", "swarm.launch.py", f"swarm:={path}", *arguments],
        env={**os.environ, "ROS_DOMAIN_ID": str(DOMAIN), "ROS_LOG_DIR": str(path.parent / "log")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
    )


@pytest.mark.parametrize(
    ("world", "processes", "exit_code"),
    [(EMPTY, "robot", 0), (BLOCKED, "robot", 1), (EMPTY, "host", 0)],
    ids=["passed", "missed", "passed in one process"],
)
def test_a_judged_run(started, tmp_path, world, processes, exit_code):
    path = write_swarm(tmp_path, [robot()], world=world)
    options = [f"processes:={processes}", "duration:=5", "lockstep:=true", "real_time_factor:=0"]
    completed = launch(path, *options, f"output:={tmp_path}/out")
    assert completed.returncode == exit_code, completed.stdout
    assert ("the run misses the swarm file's bars" in completed.stdout) == bool(exit_code)
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["passed"] == (exit_code == 0)
    assert started() == []


def test_names_that_yaml_or_a_file_system_would_take_for_something_else(tmp_path):
    names = ["On", "Null", "fleet/TB3_1"]
    robots = [robot(name, "mini", (-2.0, row, 0.0), (-1.0, row)) for row, name in enumerate(names)]
    path = write_swarm(tmp_path, robots, world=EMPTY)
    completed = launch(path, "duration:=5", "lockstep:=true", "real_time_factor:=0", f"output:={tmp_path}/out")
    assert completed.returncode == 0, completed.stdout
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [one["name"] for one in summary["robots"]] == names


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("robots:=bob", "no robot 'bob'; the swarm has scout_1"),
        ("seed:=many", "seed is 'many'; give a number"),
        ("sim:=gazebo", 'provided value "gazebo" is not valid'),
    ],
)
def test_bad_input_ends_in_a_sentence_before_anything_starts(tmp_path, argument, words):
    completed = launch(write_swarm(tmp_path, [robot()], world=EMPTY), argument)
    assert completed.returncode == 1
    assert words in completed.stdout
    assert "process started" not in completed.stdout
    assert "Traceback" not in completed.stdout
