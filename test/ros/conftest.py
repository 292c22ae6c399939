"""The robot that policy nodes drive in these tests, and policies for it."""

import pytest

from kdmarl_core.contract.team_terms import Targets
from kdmarl_core.contract.terms import Velocity
from robot_body import RobotBody
from running import descendants
from support import write_policy


@pytest.fixture
def robot():
    robot = RobotBody()
    yield robot
    robot.close()


@pytest.fixture
def started():
    """A function that returns the processes started since the test began and their descendants; oldest first."""
    before = set(descendants())
    return lambda: [pid for pid in descendants() if pid not in before]


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    return write_policy(tmp_path_factory.mktemp("policies") / "scout.onnx")


@pytest.fixture(scope="module")
def covering(tmp_path_factory):
    """A policy that sees two targets, and goes to the nearest."""
    observation = [Targets(count=2, range=8.0), Velocity()]
    return write_policy(tmp_path_factory.mktemp("policies") / "covering.onnx", observation=observation)
