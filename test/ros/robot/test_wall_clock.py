"""The wall clock of a robot's computer is set while it stands and while it drives, as by NTP on one without a clock."""

import time

import pytest

from policy_process import policy_process
from robot_body import ACTIVATE, DEACTIVATE, place
from wall_clock import MISSING, WallClock

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)


@pytest.fixture
def clock(tmp_path):
    return WallClock(tmp_path / "clock")


def set_clock(robot, clock, offset):
    clock.set(offset)
    robot.offset = offset


@pytest.mark.parametrize("hours", [1, -1, 24 * 365 * 3])
def test_a_robot_drives_on_after_one_stop(robot, policy, clock, hours):
    with clock.worn(), policy_process(policy):
        assert robot.drives()
        before, since = robot.stop_counts(), time.monotonic()
        set_clock(robot, clock, hours * 3600.0)
        assert robot.halts(since) < 0.4
        assert robot.says("the clock was set ahead" if hours > 0 else "ROS time jumped back by 3600")
        assert robot.drives()
        assert len(robot.stops(since)) == 1
        counted = {name for name, value in robot.stop_counts().items() if value != before[name]}
        assert counted == {f"stops_clock_jumped_{'ahead' if hours > 0 else 'back'}"}


@pytest.mark.parametrize("hours", [1, -1])
def test_a_robot_that_stands_drives_once_it_has_a_goal_and_is_active(robot, policy, clock, hours):
    """Without a goal, and deactivated."""
    with clock.worn(), policy_process(policy, goal="[]"):
        assert robot.says("waiting for a goal")
        set_clock(robot, clock, hours * 3600.0)
        robot.spin(0.5)
        assert not robot.moving()
        robot.goals.publish(place(1.0, 4.0))
        assert robot.drives()
        assert robot.transition(DEACTIVATE)
        stood = time.monotonic()
        set_clock(robot, clock, 0.0)
        robot.spin(0.5)
        assert not robot.moving(stood)
        assert robot.transition(ACTIVATE)
        assert robot.drives()


def test_clocks_that_slew_or_differ_a_little_change_nothing(robot, policy, clock):
    with clock.worn(), policy_process(policy):
        assert robot.drives()
        since = time.monotonic()
        for step in range(1, 11):
            set_clock(robot, clock, step * 0.05)
            robot.spin(0.15)
        assert not robot.stops(since)
