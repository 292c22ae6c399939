"""The scan guard: whatever a policy wants, a robot that starts clear of what stands still around it stays clear."""

import dataclasses
import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.closed_loop import ARENA, KINDS, PERIOD, Situation, draw, run
from guard.scenes import CORNERED, MOUNTED, NAMES, TYPES, ahead, allowed, motion, scenes
from kdmarl_core.contract import KdmarlError, Readings, Scan
from kdmarl_core.contract.sensors import RangeSensorRing, Sensors
from kdmarl_core.contract.terms import Goal
from kdmarl_core.judge import definitions
from kdmarl_core.runtime import Controller, Policy, TooOldError
from kdmarl_core.runtime.scan_guard import MAX_AGE, ScanGuard, ages
from kdmarl_core.runtime.track import Track
from support import write_policy


@pytest.mark.parametrize("name", [*NAMES, *MOUNTED, *CORNERED])
def test_nothing_that_stands_still_is_touched(name):
    """``make guard`` does the same for longer."""
    changed = 0
    for number in range(60):
        situation = draw(np.random.default_rng([1, number]), TYPES[name])
        least, commands = run(situation)
        assert least > definitions.CONTACT, number
        changed += commands > 0
    assert changed > 3


def towards_a_wall(name, turn=0.0, x=1.7, **values):
    """Straight ahead for a while, then in an arc, with a wall at 3 m."""
    robot = TYPES[name]
    speed = robot.action.linear[1]
    sensors = {"delay": 0, "rate": 20.0, "kind": "turn's start", "reverse": False, "transport": 1, "on_sensor": False}
    return Situation(
        robot=robot,
        discs=np.empty((0, 3)),
        walls=np.array(ARENA, np.float64),
        pose=(x, 0.0, 0.1),
        wishes=[(5, ahead(name, speed)), (30, ahead(name, speed, turn * robot.action.angular[1]))],
        **sensors | values,
    )


@pytest.mark.parametrize("name", [*NAMES, *MOUNTED, *CORNERED])
@pytest.mark.parametrize("rate", [5.0, 10.0, 40.0])
@pytest.mark.parametrize("kind", KINDS)
def test_a_policy_that_would_crash_is_stopped_near_the_wall(name, rate, kind):
    for delay, turn, x in ((0, 0.0, 1.9), (20, 0.0, 2.3), (20, 0.3, 1.9)):
        situation = towards_a_wall(name, turn, x, delay=delay, rate=rate, kind=kind, on_sensor=delay > 0)
        least, changed = run(situation)
        assert least > definitions.CONTACT
        assert changed > 0 or run(situation, guarded=False)[0] > definitions.CONTACT
        if turn == 0:
            assert changed > 0
            # Not for nothing far away: what it may have driven since its sensors looked, and some centimetres.
            assert least < 0.15 + TYPES[name].action.linear[1] * 2 / rate


def test_a_robot_among_walls_that_are_not_in_its_way_drives_as_without_a_guard():
    """Beside a wall, and away from one."""
    for pose in ((0.0, -3 + 0.18 + 0.05, 0.0), (2.5, 0.0, math.pi)):
        situation = dataclasses.replace(towards_a_wall("scout"), pose=pose, wishes=[(20, (0.8, 0.0))])
        least, changed = run(situation)
        assert changed == 0
        assert least > 0


@settings(max_examples=300, deadline=None)
@given(scene=scenes(), data=st.data())
def test_nothing_nearer_or_older_or_out_of_sight_ever_permits_more_motion(scene, data):
    guard, last, command, ranges, (youngest, oldest) = scene
    before = allowed(*scene)
    which = data.draw(st.lists(st.integers(0, ranges.size - 1), min_size=1, max_size=ranges.size))
    nearer = ranges.copy()
    nearer[which] = np.minimum(nearer, 3.0)[which] * data.draw(st.floats(0.001, 1.0))
    assert motion(allowed(guard, last, command, nearer, (youngest, oldest))) <= motion(before) + 1e-6
    longer = (youngest * data.draw(st.floats(0, 1)), oldest + data.draw(st.floats(0, 0.3)))
    assert motion(allowed(guard, last, command, ranges, longer)) <= motion(before) + 1e-6
    if lidar := guard._sensors.get("lidar"):
        guard._sensors["lidar"] = msgspec.structs.replace(lidar, range=data.draw(st.floats(0.1, 3.0)))
        assert motion(allowed(guard, last, command, ranges, (youngest, oldest))) <= motion(before) + 1e-6


@pytest.mark.parametrize("distance", [0.0001, 0.01, 0.02, 0.03, 0.04, 0.05, 0.1, 0.15, 0.179, 0.2])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_within_the_robot_and_in_the_way_stops_it(name, distance):
    robot = TYPES[name]
    guard = ScanGuard(robot.action, robot, PERIOD)
    readings = scan(ahead=distance) if robot.sensors.lidar else Readings(ranges=np.array([distance, *[np.inf] * 7]))
    last = ahead(name, 0.0)
    for cycle in range(5):
        last = guard(readings, last, ahead(name, 0.15))
        assert last[0] == 0 or distance > robot.radius + 0.02, cycle
    last = ahead(name, 0.3)  # it drives already: it brakes as hard as it can
    slower = guard(readings._replace(time=100.0), last, last)
    assert slower[0] == pytest.approx(max(0.3 - robot.action.linear_acceleration * PERIOD, 0))


@pytest.mark.parametrize("name", NAMES + MOUNTED)
@pytest.mark.parametrize("spacing", [1.0, 1.4])
def test_no_way_leads_farther_than_is_looked_at(name, spacing):
    robot, rng = TYPES[name], np.random.default_rng(0)
    low, high = robot.action.low, robot.action.high
    for _ in range(100):
        guard = ScanGuard(robot.action, robot, PERIOD, spacing)
        for time in range(8):
            last, command = rng.uniform(low, high, (2, low.size))
            guard._driven.go_on(time * PERIOD, last, PERIOD)
            guard._driven.give(command)
        oldest = rng.uniform(0, 0.6)
        farthest = guard._farthest(oldest, guard._fastest(last, command))
        for wanted in (command, guard._within_reach(last, command), guard._within_reach(last, np.zeros_like(low))):
            assert np.hypot(*guard._way(0.0, oldest, guard._course(oldest, wanted))).max() <= farthest + 1e-9


def test_a_scan_that_is_too_old_is_refused():
    robot = TYPES["scout"]
    guard = ScanGuard(robot.action, robot, PERIOD)
    for oldest in (MAX_AGE + 0.01, math.nan):
        with pytest.raises(TooOldError, match="s old, too old for the scan guard, which needs them within 1 s"):
            guard(scan()._replace(ages={"lidar": (0.0, oldest)}), np.zeros(2), np.zeros(2))


def test_a_stop_since_the_last_command_is_driven_on_from():
    """The robot has slowed down from its last command when the guard is asked again."""
    track = Track(np.array([1.0, 1.0]))
    track.go_on(0.0, np.zeros(2), 0.1)
    for time in (0.1, 0.2, 0.3, 0.4):
        track.give(np.array([time, 0.0]))
        track.go_on(time, np.array([time, 0.0]), 0.1)
    track.give(np.array([0.5, 0.0]))
    track.go_on(2.0, np.zeros(2), 0.1)
    speeds = track.speeds(np.array([-1.6, -1.5, -1.2, -1.0, 0.0]), [], 0.1)[:, 0]
    assert speeds.tolist() == pytest.approx([0.4, 0.5, 0.2, 0.0, 0.0])


def test_a_robot_that_stands_is_not_taken_to_follow_commands_that_it_was_not_given():
    """While it waits to drive on, commands are computed and not published; its cycles come a little late."""
    robot = TYPES["scout"]
    guard, still = ScanGuard(robot.action, robot, PERIOD), ahead("scout", 0.0)
    for cycle in range(5):
        readings = scan()._replace(time=cycle * (PERIOD + 4e-4))
        assert guard(readings, still, ahead("scout", 0.1))[0] == pytest.approx(0.1)
        guard.withhold()
    assert guard._driven.fastest == 0.0


def test_a_robot_that_drives_is_taken_to_follow_the_last_command_that_it_was_given():
    """A command that was computed too late is not published, and the robot is stopped."""
    robot = TYPES["scout"]
    guard, first = ScanGuard(robot.action, robot, PERIOD), ahead("scout", 0.1)
    guard(scan()._replace(time=0.0), ahead("scout", 0.0), first)
    guard(scan()._replace(time=0.1), first, ahead("scout", 0.2))
    guard.withhold()
    guard(scan()._replace(time=0.35), ahead("scout", 0.0), ahead("scout", 0.0))
    assert guard._driven.fastest == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("since_stamp", "since_arrival", "turn", "expected"),
    [
        (0.15, 0.05, 0.1, (0.05, 0.25)),
        (-0.1, 0.05, 0.0, (0.05, 0.05)),  # the sensor's clock is ahead
    ],
)
def test_ages_of_readings(since_stamp, since_arrival, turn, expected):
    assert ages(since_stamp, since_arrival, turn) == pytest.approx(expected)


def scan(*, ahead=np.inf, elsewhere=np.inf):
    ranges = np.full(360, elsewhere, np.float32)
    ranges[170:191] = ahead
    return Readings(Scan(ranges, -math.pi, 2 * math.pi / 360, 0.05, 3.5))


@pytest.mark.parametrize(
    ("readings", "free"),
    [
        (scan(), True),
        (scan(ahead=np.nan), True),
        (scan(ahead=4.0), True),  # beyond range_max: nothing seen
        (scan(ahead=0.0), True),  # how some lidars say that they have seen nothing
        (scan(ahead=0.01), False),  # below range_min: too near to be measured well
        (scan(ahead=0.25), False),
        (scan(ahead=-np.inf), False),  # too close to measure
        (Readings(Scan(np.array([0.25, np.inf]), math.pi, math.pi, 0.05, 3.5)), False),  # two beams see half each
        (Readings(ranges=np.full(8, np.inf)), True),
        (Readings(ranges=np.full(8, np.nan)), True),
        (Readings(ranges=np.array([0.2, *[np.inf] * 7])), False),
        (Readings(ranges=np.array([-np.inf, *[np.nan] * 7])), False),
    ],
)
def test_beams_that_say_nothing_are_free(readings, free):
    robot = TYPES["scout" if readings.scan else "mini"]
    guard = ScanGuard(robot.action, robot, PERIOD)
    last = np.array([0.3, 0.0], np.float32)
    command = np.array([0.4, 0.0], np.float32)
    allowed = guard(readings, last, command)
    assert (allowed.tolist() == command.tolist()) == free
    assert guard.changed == (not free)
    assert allowed.dtype == np.float32


def test_turning_in_place_is_free_unless_it_touches_and_driving_away_always_is():
    robot = TYPES["scout"]
    still, turn, back = np.zeros(2, np.float32), np.array([0.0, 0.5], np.float32), np.array([-0.1, 0.0], np.float32)
    for distance, may_turn in ((0.3, True), (0.181, True), (0.17, False)):
        guard = ScanGuard(robot.action, robot, PERIOD)
        readings = scan(ahead=distance)
        assert (guard(readings, still, turn).tolist() == turn.tolist()) == may_turn
        assert guard(readings, still, back).tolist() == pytest.approx(back.tolist())
        assert (guard(readings, still, -back)[0] == 0) == (distance < 0.2)


@pytest.mark.parametrize("bearing", [0.0, 0.7, math.pi / 2, -2.0, math.pi])
def test_a_holonomic_robot_is_held_whichever_way_it_moves(bearing):
    """Towards an obstacle it stops, along it and away it is free."""
    robot = TYPES["omni"]
    beams = np.full(360, np.inf, np.float32)
    beams[(180 + round(math.degrees(bearing)) + np.arange(-8, 9)) % 360] = 0.226
    readings = Readings(Scan(beams, -math.pi, 2 * math.pi / 360, 0.05, 5.0))
    for away, free in ((0.0, False), (0.3, False), (math.pi / 2 + 0.2, True), (math.pi, True), (-2.2, True)):
        guard = ScanGuard(robot.action, robot, PERIOD)
        way = 0.1 * np.array([math.cos(bearing + away), math.sin(bearing + away), 0.0], np.float32)
        command = guard(readings, np.zeros(3, np.float32), way)
        assert (command.tolist() == way.tolist()) == free, away
        # Slower or not, it keeps its direction.
        assert command[0] * way[1] == pytest.approx(command[1] * way[0], abs=1e-6)


def test_a_holonomic_robot_brakes_each_speed_as_it_can():
    """What it drives to its left needs longer to stop: the way bends, and what lies there counts."""
    robot = TYPES["omni"]
    action = msgspec.structs.replace(robot.action, linear_acceleration=5.0, lateral_acceleration=0.5)
    robot = msgspec.structs.replace(robot, action=action)
    guard = ScanGuard(action, robot, PERIOD)
    last = np.array([0.4, 0.4, 0.0], np.float32)
    for time in range(12):
        guard._driven.go_on(time * PERIOD, last, PERIOD)
        guard._driven.give(last)
    x, y = guard._way(0.0, 0.0, guard._course(0.0, last))
    assert y.max() == pytest.approx(x.max() + 0.4**2 / 2 / 0.5 - 0.4 * 0.04, abs=0.04)


def test_a_lone_range_sensor_stands_for_its_cone_only():
    ring = RangeSensorRing(bearings=[0.0], range=2.0)
    robot = msgspec.structs.replace(TYPES["mini"], sensors=Sensors(range_sensors=ring))
    guard = ScanGuard(robot.action, robot, PERIOD)
    command = np.array([0.1, 0.0], np.float32)
    assert guard(Readings(ranges=np.array([0.14])), np.zeros(2), command)[0] == 0
    assert guard.changed
    assert guard(Readings(ranges=np.array([0.14])), np.zeros(2), -command)[0] == pytest.approx(-0.1)
    assert not guard.changed


def test_the_policy_sees_what_it_wanted_and_the_robot_gets_what_is_safe(tmp_path):
    policy = Policy.load(write_policy(tmp_path / "p.onnx"))
    controller = Controller(policy, "scout", TYPES["scout"], scan_guard=True)
    readings = scan(ahead=0.205)._replace(goal=np.array([2.0, 0.0], np.float32), velocity=np.zeros(2, np.float32))
    seen = []
    controller.policy = lambda observation: seen.append(observation[-2:].tolist()) or np.array([0.5, 0.0], np.float32)
    commands = [controller(readings).tolist() for _ in range(3)]
    assert seen[1:] == [[0.5, 0.0]] * 2
    assert commands == [[0.0, 0.0]] * 3
    assert controller.guard.changed


def test_a_policy_that_sees_nothing_cannot_be_guarded(tmp_path):
    policy = Policy.load(write_policy(tmp_path / "p.onnx", observation=[Goal(range=5.0)]))
    with pytest.raises(KdmarlError, match="observes no sensor that the scan guard can use; turn scan_guard off"):
        Controller(policy, "scout", TYPES["scout"], scan_guard=True)
    with pytest.raises(KdmarlError, match="there are none"):
        ScanGuard(TYPES["scout"].action, TYPES["scout"], PERIOD)(Readings(), np.zeros(2), np.zeros(2))
    action = msgspec.structs.replace(TYPES["scout"].action, linear_acceleration=1e-4)
    with pytest.raises(KdmarlError, match="linear_acceleration 0.0001 m/s² is too little for the scan guard"):
        ScanGuard(action, TYPES["scout"], PERIOD)
