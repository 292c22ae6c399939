"""Faults that lie in the node itself, which no message can bring about."""

import time
from types import SimpleNamespace

import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from kdmarl_core.contract import Readings
from kdmarl_core.runtime.faults import Cause
from kdmarl_ros.robot.control_loop import RESUME_CYCLES, ControlLoop
from kdmarl_ros.robot.diagnostics import Diagnostics
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

    def listen(self, on_news):
        """Nothing new ever comes."""


class Driver:
    """A controller that goes straight on, unless ``trouble`` does something else first; it stops within ``braking``."""

    guard = None

    def __init__(self, period=0.05, braking=0.0, guards=True):
        self.period = period
        self.trouble = lambda: None
        self.braking_time = lambda linear, angular: braking if linear else 0.0
        self.guards_like = lambda other: guards

    def __call__(self, readings):
        self.trouble()
        return np.array([0.5, 0.0], np.float32)

    def reset(self):
        """No state."""

    def take_over(self, other):
        """Nothing to take."""


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


class Commands(list):
    """What a loop gave, with the times."""

    def __call__(self, linear, angular):
        self.append((time.monotonic(), linear))

    def gap(self):
        """From the only stop to the next command [s]."""
        (stop,) = [index for index, (_, linear) in enumerate(self) if linear == 0]
        return self[stop + 1][0] - self[stop][0]


@pytest.mark.parametrize(("braking", "cycles"), [(0.0, RESUME_CYCLES), (0.32, 7)])
def test_goes_on_when_the_body_has_come_to_rest(run, braking, cycles):
    """A command is reckoned from zero, so the body has to have braked; the guard counts what is given alone."""
    commands, driver, diagnostics = Commands(), Driver(braking=braking), Diagnostics(run.node)
    driver.guard = SimpleNamespace(changed=True)
    loop = ControlLoop(run.node, driver, GoodInputs(), commands, diagnostics)
    loop.start()
    run(0.3)
    driver.trouble = lambda: [setattr(driver, "trouble", lambda: None), fail()]
    run(1.0)
    assert commands.gap() == pytest.approx(cycles * driver.period, abs=0.04)
    assert diagnostics.guarded_cycles == diagnostics.cycles == len(commands) - 1
    loop.stop()
    loop.start()  # at once, with the body still rolling
    run(1.0)
    assert commands[-1][1] == 0.5
    loop.stop()
    (_, second, third) = [index for index, (_, linear) in enumerate(commands) if linear == 0]
    assert third > second + 1
    assert commands[second + 1][0] - commands[second][0] > braking - driver.period  # it was stopped between two cycles


def test_a_policy_that_cannot_keep_the_guards_promise_stands_first(run):
    commands, diagnostics = Commands(), Diagnostics(run.node)
    loop = ControlLoop(run.node, Driver(), GoodInputs(), commands, diagnostics)
    loop.start()
    run(0.3)
    loop.swap(Driver(), loop.inputs)
    run(0.2)
    assert not loop.standing
    loop.swap(Driver(braking=0.22, guards=False), loop.inputs)
    assert loop.standing
    assert commands[-1][1] == 0
    run(0.7)
    assert commands.gap() == pytest.approx(0.25, abs=0.055)
    assert not diagnostics.stops
    loop.stop()


def test_a_stop_that_cannot_be_published_is_none(run):
    commands = Commands()

    def publish(linear, angular):
        if linear == 0 and broken:
            raise RuntimeError("out of cheese")
        commands(linear, angular)

    broken = [True]
    loop = ControlLoop(run.node, Driver(), GoodInputs(), publish, Diagnostics(run.node))
    loop.start()
    run(0.3)
    with pytest.raises(RuntimeError):
        loop.stop()
    assert not loop.standing
    broken.clear()
    loop.stop()
    assert loop.standing
    assert commands[-1][1] == 0


def test_stops_before_it_writes_to_the_log(run, monkeypatch):
    """Whoever reads the log may not."""
    commands, driver, at_log = Commands(), Driver(), []
    monkeypatch.setattr(
        run.node.get_logger(), "error", lambda *_, **__: at_log.append(commands[-1][1] if commands else None)
    )
    loop = ControlLoop(run.node, driver, GoodInputs(), commands, Diagnostics(run.node))
    loop.start()
    run(0.3)
    driver.trouble = fail
    run(0.2)
    loop.stop()
    assert at_log[0] == 0


def test_the_wait_for_a_sensor_counts_from_the_start_of_a_cycle(run):
    commands, driver = Commands(), Driver(period=0.1)
    driver.trouble = lambda: time.sleep(0.05)
    loop = ControlLoop(run.node, driver, GoodInputs(), commands, Diagnostics(run.node), on_sensor=True)
    loop.start()
    run(1.5)
    loop.stop()
    assert np.median(np.diff([at for at, linear in commands if linear])) == pytest.approx(0.14, abs=0.025)


@pytest.mark.parametrize(("step", "cause"), [(3600, Cause.CLOCK_JUMPED_AHEAD), (-3600, Cause.CLOCK_JUMPED_BACK)])
def test_a_clock_that_is_set_stops_the_robot_once(run, step, cause):
    """Here only the loop's look at the clock steps; test_wall_clock sets that of a whole process."""
    commands, diagnostics, offset = Commands(), Diagnostics(run.node), [0]
    loop = ControlLoop(run.node, Driver(), GoodInputs(), commands, diagnostics)
    read = loop._now
    loop._now = lambda: read() + offset[0]
    loop.start()
    run(0.4)
    assert not loop.standing
    offset[0] = round(step * 1e9)
    run(0.6)
    assert diagnostics.stops == {cause: 1}
    assert not loop.standing
    assert commands.gap() < 0.4
    loop.stop()
