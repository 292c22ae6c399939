"""The scan guard sees with the scan before, too: a rotating lidar leaves a sector out while its robot turns."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from guard.closed_loop import ARENA, KINDS, PERIOD, Situation, run
from guard.scenes import TYPES, ahead, allowed, motion, scan_of, scenes
from kdmarl_core.contract import Readings, Scan
from kdmarl_core.judge import definitions
from kdmarl_core.runtime.scan_before import ScanBefore, Taken
from kdmarl_core.runtime.scan_guard import ScanGuard


def before_a_pillar_behind(name, bearing, turn, kind, reverse):
    """It reverses and turns, with a thin pillar 5 cm behind it, near where the scan begins and ends."""
    robot = TYPES[name]
    away = robot.radius + 0.05 + 0.022
    backwards = [robot.action.linear[0], *[0.0] * (robot.action.size - 2), turn * robot.action.angular[1]]
    return Situation(
        robot=robot,
        discs=np.array([[away * math.cos(bearing), away * math.sin(bearing), 0.022]]),
        walls=np.array(ARENA, np.float64),
        pose=(0.0, 0.0, 0.0),
        delay=3,
        rate=5.0,
        kind=kind,
        reverse=reverse,
        transport=2,
        on_sensor=False,
        wishes=[(13, tuple(backwards))],
    )


@pytest.mark.parametrize("name", ["carrier", "omni"])
@pytest.mark.parametrize("kind", KINDS[:2])
def test_what_a_scan_leaves_out_between_its_end_and_its_beginning_counts_as_the_scan_before_saw_it(name, kind):
    for bearing in np.radians(np.arange(160, 201, 2.5)):
        for turn, reverse in ((-1, False), (1, True)):
            least, _ = run(before_a_pillar_behind(name, bearing, turn, kind, reverse))
            assert least > definitions.CONTACT, (bearing, turn)


@settings(max_examples=200, deadline=None)
@given(scene=scenes(), data=st.data())
def test_the_scan_before_never_permits_more_motion_and_less_if_it_saw_nearer_or_is_older(scene, data):
    guard, last, command, ranges, age = scene
    assume("lidar" in guard._sensors and guard._driven._times)
    before = np.full_like(ranges, np.inf)
    first = data.draw(st.integers(0, ranges.size - 1))
    before[first : first + data.draw(st.integers(1, ranges.size))] = data.draw(st.floats(0.001, 2.0))
    with_both = allowed(*scene, before)
    assert motion(with_both) <= motion(allowed(*scene)) + 1e-6
    nearer = np.where(np.isfinite(before), before * data.draw(st.floats(0.001, 1.0)), before)
    assert motion(allowed(*scene, nearer)) <= motion(with_both) + 1e-6
    longer = (age[0], age[1] + data.draw(st.floats(0, 0.3)))
    assert motion(allowed(guard, last, command, ranges, longer, before)) <= motion(with_both) + 1e-6


def test_a_scan_that_is_read_twice_does_not_take_the_place_of_the_one_before():
    """A control cycle may come before the next message, and a caller may use the same array again."""
    before = ScanBefore()
    ranges = np.full(4, 1.0, np.float32)
    scans = Scan(ranges, -math.pi, math.pi / 2, 0.05, 3.5)
    assert before(Taken(scans, 0.0, 0.1)) is None
    assert before(Taken(scans, 0.0, 0.1)) is None
    ranges[:] = 2.0
    for _ in range(2):
        known = before(Taken(scans, 0.1, 0.2))
        assert known.scan.ranges.tolist() == [1.0] * 4
        assert known.age(0.25) == pytest.approx((0.15, 0.25))
    ranges[:] = np.nan
    assert before(Taken(scans, 0.2, 0.3)).scan.ranges.tolist() == [2.0] * 4
    assert before(Taken(scans, -9.1, -9.0)) is None  # the clock was set back


def test_what_has_gone_is_free_after_one_scan_more_though_all_later_ones_are_the_same():
    """As in a simulator without noise."""
    robot = TYPES["scout"]
    guard, still, command = ScanGuard(robot.action, robot, PERIOD), ahead("scout", 0.0), ahead("scout", 0.05)
    commands = []
    for cycle in range(4):
        near, beams = cycle == 0, robot.sensors.lidar.beams
        scan = scan_of(guard, np.full(beams, 0.19 if near else np.inf))
        time = cycle * PERIOD
        commands.append(guard(Readings(scan, ages={"lidar": (0.0, 0.1)}, time=time), still, command)[0])
    assert commands == pytest.approx([0.0, 0.0, 0.05, 0.05])


@pytest.mark.parametrize("back", [0.05, 0.3, 0.8, 100.0])
@pytest.mark.parametrize("distance", [0.15, 0.25, 0.35])
def test_a_clock_that_is_set_back_costs_the_scan_before_and_nothing_else(back, distance):
    robot = TYPES["scout"]
    guard, last = ScanGuard(robot.action, robot, PERIOD), ahead("scout", 0.3)
    ages = {"lidar": (0.02, 0.15)}
    beams = robot.sensors.lidar.beams
    for time in (1.0, 1.1, 1.2, 1.3 - back, 1.4 - back):
        scan = scan_of(guard, np.full(beams, distance + time / 1e4))
        last = guard(Readings(scan, ages=ages, time=time), last, last)
    assert last[0] == pytest.approx(0.0) or distance > 0.3
