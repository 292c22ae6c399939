"""The loop around the gate: timers, publishing and what is said, with faults that no message can bring about."""

import time
from types import SimpleNamespace

import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from kdmarl_core.contract import DiffDrive, Readings
from kdmarl_core.runtime.faults import Cause
from kdmarl_ros.robot.control_loop import ControlLoop
from kdmarl_ros.robot.diagnostics import Diagnostics
from node_process import DOMAIN


class GoodInputs:
    """Inputs that are always there."""

    def __init__(self, timeout=1.0):
        self.timeout = timeout
        self.cleared = 0

    def clear(self):
        self.cleared += 1

    def check(self, now, arrival_now):
        """Nothing wrong."""

    def readings(self, now, arrival_now):
        return Readings()

    def listen(self, on_news):
        """Nothing new ever comes."""

    def rates(self, usual):
        return {}

    def intervals(self):
        return {}


class Driver:
    """A controller that goes straight on, unless ``trouble`` does something else first; it stops within ``braking``."""

    guard = None

    def __init__(self, period=0.05, braking=0.0, guards=True):
        self.period = period
        self.trouble = lambda: None
        self.braking_time = lambda linear, angular: braking if linear else 0.0
        self.guards_like = lambda other: guards
        self.given = []
        self.action = DiffDrive(
            linear=(-0.3, 0.8), angular=(-2.0, 2.0), linear_acceleration=1.5, angular_acceleration=6.0
        )

    def __call__(self, readings):
        self.trouble()
        return np.array([0.5, 0.0], np.float32)

    def motion(self, command):
        forward, yaw_rate = command
        return forward, 0.0, yaw_rate

    def reset(self, given):
        self.given.append(given)

    def take_over(self, other):
        """Nothing to take."""


@pytest.fixture
def run():
    context = Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    node = Node("loop", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)

    def run(until, seconds=10.0):
        """Until the condition holds."""
        end = time.monotonic() + seconds
        while not until() and time.monotonic() < end:
            executor.spin_once(timeout_sec=0.02)
        return until()

    run.node = node
    yield run
    executor.shutdown()
    node.destroy_node()
    rclpy.shutdown(context=context)


def fail():
    raise RuntimeError("out of cheese")


class Commands(list):
    """What a loop gave, with the times."""

    def __call__(self, forward, left, yaw_rate):
        self.append((time.monotonic(), forward))

    def gap(self):
        """From the only stop to the next command [s]."""
        (stop,) = [index for index, (_, linear) in enumerate(self) if linear == 0]
        return self[stop + 1][0] - self[stop][0]


@pytest.mark.parametrize(
    ("trouble", "cause"), [(lambda: time.sleep(0.12), Cause.DEADLINE), (fail, Cause.INTERNAL)], ids=["slow", "bug"]
)
def test_trouble_of_our_own_stops_the_robot_until_it_is_over(run, trouble, cause):
    commands, driver, diagnostics, troubles = Commands(), Driver(), Diagnostics(run.node), []
    driver.guard = SimpleNamespace(changed=True)
    loop = ControlLoop(run.node, driver, GoodInputs(), commands, diagnostics)
    loop.start()
    assert run(until=lambda: len(commands) >= 5)
    assert all(linear == 0.5 for _, linear in commands)

    driver.trouble = lambda: [troubles.append(cause), trouble()]
    assert run(until=lambda: len(troubles) >= 8)
    assert loop.standing
    assert diagnostics.stops == {cause: 1}
    given = len(commands)
    # The command of the cycle that was too slow was computed, and not published.
    assert driver.given[-1] is (cause is not Cause.DEADLINE)

    driver.trouble = lambda: None
    assert run(until=lambda: len(commands) > given)
    loop.stop()
    assert loop.standing
    assert [linear for _, linear in commands[given - 1 :]] == [0.0, 0.5, 0.0]
    assert all(linear == 0.5 for _, linear in commands[: given - 1])
    assert diagnostics.guarded_cycles == diagnostics.cycles == len(commands) - 2
    assert not run(until=lambda: len(commands) > given + 2, seconds=4 * driver.period)


def test_a_policy_that_cannot_keep_the_guards_promise_stands_first(run):
    commands, diagnostics = Commands(), Diagnostics(run.node)
    loop = ControlLoop(run.node, Driver(), GoodInputs(), commands, diagnostics)
    loop.start()
    assert run(until=lambda: commands)
    loop.swap(Driver(), loop.inputs)
    given = len(commands)
    assert run(until=lambda: len(commands) > given)
    assert not loop.standing
    loop.swap(Driver(braking=0.22, guards=False), loop.inputs)
    assert loop.standing
    assert commands[-1][1] == 0
    assert run(until=lambda: not loop.standing)
    assert commands.gap() == pytest.approx(0.25, abs=0.055)
    assert not diagnostics.stops
    loop.stop()


def test_a_stop_that_cannot_be_published_is_none(run):
    commands = Commands()

    def publish(linear, left, angular):
        if linear == 0 and broken:
            raise RuntimeError("out of cheese")
        commands(linear, left, angular)

    broken = [True]
    loop = ControlLoop(run.node, Driver(), GoodInputs(), publish, Diagnostics(run.node))
    loop.start()
    assert run(until=lambda: commands)
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
    assert run(until=lambda: commands)
    driver.trouble = fail
    assert run(until=lambda: at_log)
    loop.stop()
    assert at_log[0] == 0


def test_the_wait_for_a_sensor_counts_from_the_start_of_a_cycle(run):
    commands, driver = Commands(), Driver(period=0.1)
    driver.trouble = lambda: time.sleep(0.05)
    loop = ControlLoop(run.node, driver, GoodInputs(), commands, Diagnostics(run.node), on_sensor=True)
    loop.start()
    assert run(until=lambda: len(commands) >= 10)
    loop.stop()
    assert np.median(np.diff([at for at, linear in commands if linear])) == pytest.approx(0.14, abs=0.025)


@pytest.mark.parametrize(("step", "cause"), [(3600, Cause.CLOCK_JUMPED_AHEAD), (-3600, Cause.CLOCK_JUMPED_BACK)])
def test_a_clock_that_is_set_stops_the_robot_once(run, step, cause):
    """Here only the loop's look at the clock steps; test_wall_clock sets that of a whole process."""
    commands, diagnostics, inputs, offset = Commands(), Diagnostics(run.node), GoodInputs(), [0]
    loop = ControlLoop(run.node, Driver(), inputs, commands, diagnostics)
    read = loop._now
    loop._now = lambda: read() + offset[0]
    loop.start()
    assert run(until=lambda: commands)
    cleared, offset[0] = inputs.cleared, round(step * 1e9)
    assert run(until=lambda: loop.standing)
    assert inputs.cleared == cleared + 1
    assert run(until=lambda: not loop.standing)
    assert diagnostics.stops == {cause: 1}
    assert commands.gap() < 0.4
    loop.stop()


def test_cycles_that_do_not_come_stop_the_robot_and_are_started_again(run):
    commands, diagnostics = Commands(), Diagnostics(run.node)
    loop = ControlLoop(run.node, Driver(), GoodInputs(timeout=0.2), commands, diagnostics)
    loop.start()
    assert run(until=lambda: commands)
    loop._timer.cancel()
    assert run(until=lambda: loop.standing)
    assert commands[-1][0] - commands[-2][0] > 0.2  # the timeout; test/faults measures how soon after it
    assert run(until=lambda: not loop.standing)
    assert diagnostics.stops == {Cause.DEADLINE: 1}
    loop.stop()
