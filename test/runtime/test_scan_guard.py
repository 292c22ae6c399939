"""The scan guard: whatever a policy wants, a robot that starts clear of what stands still around it stays clear."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdmarl_core.contract import KdmarlError, Readings, Scan, load_robot_types
from kdmarl_core.contract.robots import RangeSensorRing, Sensors
from kdmarl_core.contract.terms import Goal
from kdmarl_core.envs.robots import kernels
from kdmarl_core.runtime import Controller, Policy, SafetyFilter
from kdmarl_core.runtime.scan_guard import MARGIN, ScanGuard
from support import ROBOT_TYPES, write_policy

TYPES = load_robot_types(ROBOT_TYPES)
PERIOD, SUBSTEPS = 0.1, 10
ARENA = [(-3, -3, 3, -3), (3, -3, 3, 3), (3, 3, -3, 3), (-3, 3, -3, -3)]
FINE = 720
"""Rays that a cone's minimum is taken of, all around."""


class Plant:
    """One robot among walls and pillars, by the simulator's own kernels, ``delay`` substeps late.

    From one command to the next it is ``spacing`` periods.
    """

    def __init__(self, robot, discs, walls, pose=(0.0, 0.0, 0.0), delay=0, spacing=1.0):
        self.robot = robot
        self.spacing = spacing
        self.pose = np.array([[pose]], np.float64)
        self.velocity = np.zeros((1, 1, 2))
        self.commands = np.zeros((3, 1, 1, 2))
        self.discs = np.array(discs, np.float64).reshape(1, -1, 3)
        self.walls = np.array([*ARENA, *walls], np.float64)[None]
        self.delay = np.array([[delay]])
        self.gap = np.zeros((1, 1))

    def drive(self, command):
        """Obey until the next command; the least gap on the way [m]."""
        self.commands = np.concatenate([np.reshape(command, (1, 1, 1, 2)), self.commands[:2]])
        action = self.robot.action
        kernels.advance(
            self.pose, self.velocity, self.commands.astype(np.float64), self.delay, np.ones((1, 1, 2)),
            action.acceleration[None].astype(np.float64), np.array([self.robot.radius]), self.discs, self.walls,
            self.spacing * PERIOD / SUBSTEPS, SUBSTEPS, np.zeros((1, 1)), self.gap,
        )  # fmt: skip
        return self.gap.item()

    def clearance(self):
        """The gap where it stands [m]."""
        place = self.pose[0, 0, :2]
        gaps = [math.dist(place, disc[:2]) - disc[2] for disc in self.discs[0]]
        gaps += [math.dist(place, kernels.segment_point(*place, *wall)) for wall in self.walls[0]]
        return min(gaps) - self.robot.radius

    def readings(self):
        lidar, ring = self.robot.sensors.lidar, self.robot.sensors.range_sensors
        if lidar:
            ranges = self._cast(lidar.angle_min + lidar.angle_increment * np.arange(lidar.beams), lidar.range + 0.2)
            ranges[ranges > lidar.range] = np.inf
            ranges[ranges < lidar.min_range] = -np.inf
            return Readings(Scan(ranges, lidar.angle_min, lidar.angle_increment, lidar.min_range, lidar.range))
        angles = -math.pi + 2 * math.pi / FINE * np.arange(FINE)
        ranges = self._cast(angles, ring.range + 0.2)
        cones = [np.abs((angles - b + math.pi) % (2 * math.pi) - math.pi) <= ring.fov / 2 for b in ring.bearings]
        nearest = np.array([ranges[cone].min() for cone in cones])
        nearest[nearest > ring.range] = np.inf
        return Readings(ranges=nearest)

    def _cast(self, angles, reach):
        out = np.empty((1, 1, angles.size), np.float32)
        cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
        kernels.cast(
            self.pose, np.array([self.robot.radius]), 0, 1, self.discs, self.walls, angles[0], angles[1] - angles[0],
            cos, sin, reach, out,
        )  # fmt: skip
        return out[0, 0]


def run(plant, wishes, guarded=True):
    """Drive by ``wishes`` (period, 2) through filter and guard; least gap, commands, how many were changed."""
    gate = SafetyFilter(plant.robot.action, PERIOD)
    guard = ScanGuard(plant.robot.action, plant.robot, PERIOD, plant.spacing)
    least, commands, changed = math.inf, [], 0
    for wish in wishes:
        last = gate.last
        command = gate(np.asarray(wish, np.float32))
        if guarded:
            command = gate.last = guard(plant.readings(), last, command)
            changed += guard.changed
        assert (np.abs(command - last) <= plant.robot.action.acceleration * PERIOD + 1e-6).all()
        least = min(least, plant.drive(command))
        commands.append(command)
    return least, np.array(commands), changed


def units(low, high):
    return st.floats(low, high, allow_nan=False)


def box_sides(middle, length, yaw):
    """Walls of a box 0.1 m thick: one without thickness is not seen edge on."""
    cos, sin = math.cos(yaw), math.sin(yaw)
    corners = [(length, 0.05), (-length, 0.05), (-length, -0.05), (length, -0.05)]
    placed = [(middle[0] + cos * x - sin * y, middle[1] + sin * x + cos * y) for x, y in corners]
    return [(*placed[index - 1], *placed[index]) for index in range(4)]


@st.composite
def wishes(draw, action):
    """Held for some periods each: half of them at the limits, where braking takes longest."""
    parts = []
    for _ in range(draw(st.integers(1, 8))):
        extremes = st.tuples(st.sampled_from(action.linear), st.sampled_from([*action.angular, 0.0]))
        anything = st.tuples(units(*action.linear), units(*action.angular))
        parts += [draw(extremes | anything)] * draw(st.integers(1, 12))
    return parts


@pytest.mark.parametrize("name", ["scout", "carrier", "mini"])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_nothing_that_stands_still_is_touched(name, data):
    robot = TYPES[name]
    # Thinner ones can stand between two cones of a mini, unseen.
    thin = 0.25 if robot.sensors.range_sensors else 0.02
    places = st.tuples(units(-2, 2), units(-2, 2))
    discs = [(*place, data.draw(units(thin, 0.5))) for place in data.draw(st.lists(places, max_size=4))]
    walls = []
    if robot.sensors.lidar:
        boxes = st.tuples(places, units(0.05, 1), units(-3.1, 3.1))
        walls = [side for box in data.draw(st.lists(boxes, max_size=2)) for side in box_sides(*box)]
    pose = (*data.draw(places), data.draw(units(-3.1, 3.1)))
    plant = Plant(robot, discs, walls, pose, delay=data.draw(st.integers(0, SUBSTEPS)))
    begin = plant.clearance()
    if begin < 0.001:
        return
    least, _, _ = run(plant, data.draw(wishes(robot.action)))
    assert least > (kernels.CONTACT if begin > MARGIN + 0.01 else 0)


@pytest.mark.parametrize("name", ["scout", "carrier", "mini"])
@pytest.mark.parametrize("delay", [0, 5, SUBSTEPS])
@pytest.mark.parametrize("turn", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("spacing", [1.0, 1.4])
def test_a_policy_that_would_crash_is_stopped_near_the_wall(name, delay, turn, spacing):
    robot = TYPES[name]
    wish = [robot.action.linear[1], turn * robot.action.angular[1]]
    for x in (1.0, 1.7, 2.3):
        wishes = [[robot.action.linear[1], 0.0]] * 5 + [wish] * 60
        free, _, _ = run(Plant(robot, [], [], (x, 0.0, 0.1), delay, spacing), wishes, guarded=False)
        least, commands, changed = run(Plant(robot, [], [], (x, 0.0, 0.1), delay, spacing), wishes)
        assert least > 0
        if free > 0.1:
            continue
        assert changed > 0
        if turn == 0:
            assert commands[-1][0] == 0
            assert least < 0.2  # stopped, and not for nothing far away


def test_what_is_far_from_the_way_changes_nothing():
    """Beside a wall, and away from one, a robot drives as without a guard."""
    for pose in ((0.0, -3 + 0.18 + 0.05, 0.0), (2.5, 0.0, math.pi)):
        wishes = [[0.8, 0.0]] * 20
        least, commands, changed = run(Plant(TYPES["scout"], [], [], pose), wishes)
        assert changed == 0
        assert commands[-1].tolist() == pytest.approx([0.8, 0.0])
        assert least > 0


@pytest.mark.parametrize("name", ["scout", "carrier", "mini"])
@pytest.mark.parametrize("spacing", [1.0, 1.4])
def test_no_way_leads_farther_than_is_looked_at(name, spacing):
    robot, rng = TYPES[name], np.random.default_rng(0)
    guard, low, high = ScanGuard(robot.action, robot, PERIOD, spacing), robot.action.low, robot.action.high
    for _ in range(200):
        guard._earlier, last, command = rng.uniform(low, high, (3, 2))
        farthest = guard._farthest(last, command)
        for wanted in (command, guard._within_reach(last, command), guard._within_reach(last, np.zeros(2))):
            assert np.hypot(*guard._way(last, wanted)).max() <= farthest


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
        (scan(ahead=0.01), True),  # below range_min: says nothing
        (scan(ahead=0.25), False),
        (scan(ahead=-np.inf), False),  # too close to measure
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
    with pytest.raises(KdmarlError, match="observes no lidar and no range sensors; turn scan_guard off"):
        Controller(policy, "scout", TYPES["scout"], scan_guard=True)
    with pytest.raises(KdmarlError, match="there are none"):
        ScanGuard(TYPES["scout"].action, TYPES["scout"], PERIOD)(Readings(), np.zeros(2), np.zeros(2))
    action = msgspec.structs.replace(TYPES["scout"].action, linear_acceleration=1e-4)
    with pytest.raises(KdmarlError, match="linear_acceleration 0.0001 m/s² is too little for the scan guard"):
        ScanGuard(action, TYPES["scout"], PERIOD)
