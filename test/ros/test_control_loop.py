"""Faults that lie in the node itself, which no message can bring about."""

import time

import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from kdmarl_core.contract import Readings
from kdmarl_ros.control_loop import ControlLoop
from kdmarl_ros.diagnostics import Diagnostics
from kdmarl_ros.faults import Cause
from node_process import DOMAIN


class GoodInputs:
    """Inputs that are always there."""

    timeout = 1.0

    def clear(self):
        """Nothing to forget."""

    def check(self, now, arrival_now):
        """Nothing wrong."""

    def readings(self, now, arrival_now):
        return Readings()


class Driver:
    """A controller that goes straight on, unless ``trouble`` does something else first."""

    period = 0.05

    def __init__(self):
        self.trouble = lambda: None

    def __call__(self, readings):
        self.trouble()
        return np.array([0.5, 0.0], np.float32)

    def reset(self):
        """No state."""


@pytest.fixture
def run():
    context = Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    node = Node("loop", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)

    def run(seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            executor.spin_once(timeout_sec=0.02)

    run.node = node
    yield run
    executor.shutdown()
    node.destroy_node()
    rclpy.shutdown(context=context)


def fail():
    raise RuntimeError("out of cheese")


@pytest.mark.parametrize(
    ("trouble", "cause"), [(lambda: time.sleep(0.12), Cause.DEADLINE), (fail, Cause.INTERNAL)], ids=["slow", "bug"]
)
def test_trouble_of_our_own_stops_the_robot_until_it_is_over(run, trouble, cause):
    commands, driver, diagnostics = [], Driver(), Diagnostics(run.node)
    loop = ControlLoop(run.node, driver, GoodInputs(), lambda *command: commands.append(command), diagnostics)
    loop.start()
    run(0.4)
    assert commands
    assert all(command == (0.5, 0.0) for command in commands)

    driver.trouble = trouble
    run(1.0)
    assert commands[-1] == (0.0, 0.0)
    assert commands.count((0.0, 0.0)) == 1
    assert diagnostics.stops == {cause: 1}
    assert loop.standing

    driver.trouble = lambda: None
    run(0.5)
    assert commands[-1] == (0.5, 0.0)
    loop.stop()
    assert commands[-1] == (0.0, 0.0)
    count = len(commands)
    run(0.2)
    assert len(commands) == count
