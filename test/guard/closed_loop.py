"""Random runs of a robot under the scan guard, with the rates, delays and distortion of real sensors.

A lidar rotates while the robot drives, so that each beam has its own time and place. Its message arrives after the
rotation, stamped with its start or end; the base obeys up to a period late. Motion and rays are the training
simulator's own kernels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from guard.eye import KINDS, STEP, Eye, Message
from kdmarl_core.contract import Readings, RobotType
from kdmarl_core.contract.sensors.base import Fan
from kdmarl_core.envs.robots import kernels
from kdmarl_core.envs.robots.rays import Beams, cast
from kdmarl_core.judge import definitions
from kdmarl_core.runtime import SafetyFilter, ScanGuard
from kdmarl_core.runtime.controller import SENSOR_SOONEST, SENSOR_SPACING
from kdmarl_core.runtime.scan_guard import MARGIN

PERIOD_STEPS = 20
"""of a control period"""
PERIOD = PERIOD_STEPS * STEP
ARENA = [(-3, -3, 3, -3), (3, -3, 3, 3), (3, 3, -3, 3), (-3, 3, -3, -3)]


@dataclass(frozen=True)
class Situation:
    """What is drawn for one run."""

    robot: RobotType
    discs: np.ndarray
    """(D, 3) [m]"""
    walls: np.ndarray
    """(W, 4) [m]"""
    pose: tuple[float, float, float]
    """[m, m, rad]"""
    delay: int
    """of the base [steps]"""
    rate: float
    """of the sensors [Hz]"""
    kind: str
    """of ``KINDS``"""
    reverse: bool
    """the lidar turns clockwise"""
    transport: int
    """from the end of a turn to the message's arrival [steps]"""
    on_sensor: bool
    """a message starts the control cycle, instead of the timer"""
    wishes: list[tuple[int, tuple[float, ...]]]
    """durations [cycles] and values of the policy's commands"""


def draw(rng: np.random.Generator, robot: RobotType) -> Situation:
    """A situation in which the robot touches nothing yet."""
    # Thinner ones can stand between two cones, unseen.
    thin = 0.25 if robot.sensors.range_sensors else 0.02
    while True:
        discs = [(*rng.uniform(-1.6, 1.6, 2), rng.uniform(thin, 0.5)) for _ in range(rng.integers(0, 5))]
        boxes = rng.integers(0, 3) if robot.sensors.lidar else 0
        shapes = [(rng.uniform(-1.6, 1.6, 2), *rng.uniform((0.05, 0), (1, 3))) for _ in range(boxes)]
        walls = [side for shape in shapes for side in box_sides(*shape)]
        x, y, yaw = pose = (*rng.uniform(-1.6, 1.6, 2), rng.uniform(-math.pi, math.pi))
        if rng.integers(4) == 0:  # next to the robot, where one that is seen late is touched
            radius, bearing = rng.uniform(thin, thin + 0.03), yaw + rng.uniform(-math.pi, math.pi)
            away = robot.radius + radius + rng.uniform(0.035, 0.2)
            discs.append((x + away * math.cos(bearing), y + away * math.sin(bearing), radius))
        situation = Situation(
            robot,
            np.array(discs, np.float64).reshape(-1, 3),
            np.array([*ARENA, *walls], np.float64),
            pose,
            delay=int(rng.integers(0, PERIOD_STEPS + 1)),
            rate=1 / (STEP * int(rng.integers(5, 41))),
            kind=str(rng.choice(KINDS)),
            reverse=bool(rng.integers(2)),
            transport=int(rng.integers(0, 5)),
            on_sensor=bool(rng.integers(2)),
            wishes=[_wish(rng, robot) for _ in range(rng.integers(1, 7))],
        )
        if Loop(situation).clearance() > MARGIN + definitions.CONTACT:
            return situation


def _wish(rng: np.random.Generator, robot: RobotType) -> tuple[int, tuple[float, ...]]:
    """Half of them at the limits, where braking takes longest, and mostly ahead."""
    (slowest, fastest), *others = robot.action.limits
    cycles = int(rng.integers(1, 16))
    if rng.integers(2):
        return cycles, (
            fastest if rng.integers(4) else slowest,
            *((*limits, 0.0)[rng.integers(3)] for limits in others),
        )
    return cycles, (rng.uniform(slowest, fastest), *(rng.uniform(*limits) for limits in others))


def box_sides(middle: np.ndarray, length: float, yaw: float) -> list[tuple[float, ...]]:
    """Walls of a box 0.1 m thick: one without thickness is not seen edge on."""
    cos, sin = math.cos(yaw), math.sin(yaw)
    corners = [(length, 0.05), (-length, 0.05), (-length, -0.05), (length, -0.05)]
    placed = [(middle[0] + cos * x - sin * y, middle[1] + sin * x + cos * y) for x, y in corners]
    return [(*placed[index - 1], *placed[index]) for index in range(4)]


class Loop:
    """One robot with its sensors among walls and pillars.

    Attribute ``least``: the smallest gap so far [m].
    """

    def __init__(self, situation: Situation) -> None:
        self.situation = situation
        robot = situation.robot
        self._pose = np.array([[situation.pose]], np.float64)
        self._bases = np.array([kernels.BASES[type(robot.action)]])
        self._velocity = np.zeros((1, 1, robot.action.size))
        self._radius = np.array([robot.radius])
        self._acceleration = robot.action.acceleration[None].astype(np.float64)
        self._discs, self._walls = situation.discs[None], situation.walls[None]
        self._none = np.zeros((1, 1), np.int64)
        self._gap = np.zeros((1, 1))
        self._orders: list[tuple[int, np.ndarray]] = [(-(10**9), np.zeros(robot.action.size))]
        self.now = 0
        self.least = math.inf
        turn = max(1, round(1 / (situation.rate * STEP)))
        carried = robot.sensors.carried.items()
        self._eyes = [Eye(*item, situation, turn, index * turn // 3) for index, item in enumerate(carried)]

    @property
    def message(self) -> Message | None:
        """The first sensor's last that has arrived; None until all have spoken."""
        return self._eyes[0].message if all(eye.message for eye in self._eyes) else None

    def clearance(self) -> float:
        """The gap where the robot stands [m]."""
        place = self._pose[0, 0, :2]
        gaps = [math.dist(place, disc[:2]) - disc[2] for disc in self.situation.discs]
        gaps += [math.dist(place, kernels.segment_point(*place, *wall)) for wall in self.situation.walls]
        return min(gaps) - self.situation.robot.radius

    def order(self, command: np.ndarray) -> None:
        """Give a command."""
        self._orders = [*self._orders[-4:], (self.now + self.situation.delay, np.array(command, np.float64))]

    def step(self) -> None:
        """Let 5 ms pass."""
        for eye in self._eyes:
            eye.look(self.now, self._cast)
        command = next(order for since, order in reversed(self._orders) if since <= self.now)
        commands = np.broadcast_to(command, (3, 1, 1, command.size)).copy()
        kernels.advance(
            self._bases, self._pose, self._velocity, commands, self._none, np.ones_like(self._velocity),
            self._acceleration, self._radius, self._discs, self._walls, STEP, 1, np.zeros((1, 1)), self._gap,
        )  # fmt: skip
        self.least = min(self.least, self._gap.item())
        self.now += 1
        for eye in self._eyes:
            eye.listen(self.now)

    def _cast(self, fan: Fan, reach: float) -> np.ndarray:
        """Distances along the rays of a fan from where the robot is now, (rays,) [m]."""
        out = np.empty((1, 1, fan.rays), np.float32)
        cast(self._pose, self._radius, 0, 1, self._discs, self._walls, Beams.of(fan, reach), out)
        return out[0, 0]

    def readings(self) -> Readings:
        """The last messages' readings, with the ages that a node can determine."""
        readings = Readings.of_sensors({eye.name: eye.reading for eye in self._eyes})
        ages = {eye.name: eye.age(self.now) for eye in self._eyes}
        return readings._replace(ages=ages, time=self.now * STEP)


def run(situation: Situation, guarded: bool = True) -> tuple[float, int]:
    """Drive with the situation's commands through filter and guard; returns least gap [m] and changed commands."""
    loop, robot = Loop(situation), situation.robot
    gate = SafetyFilter(robot.action, PERIOD)
    guard = ScanGuard(robot.action, robot, PERIOD, SENSOR_SPACING if situation.on_sensor else 1.0)
    changed = 0
    while loop.message is None:
        loop.step()
    for cycles, wish in situation.wishes:
        for _ in range(cycles):
            last = gate.last
            command = gate(np.asarray(wish, np.float32))
            if guarded:
                command = guard(loop.readings(), last, command)
                gate.last = command.copy()
                changed += guard.changed
            assert (np.abs(command - last) <= robot.action.acceleration * PERIOD + 1e-6).all()
            loop.order(command)
            _wait(loop)
    return loop.least, changed


def _wait(loop: Loop) -> None:
    """Until the next control cycle."""
    if not loop.situation.on_sensor:
        for _ in range(PERIOD_STEPS):
            loop.step()
        return
    known = loop.message
    for passed in range(1, math.ceil(SENSOR_SPACING * PERIOD_STEPS) + 1):
        loop.step()
        if passed >= SENSOR_SOONEST * PERIOD_STEPS and loop.message is not known:
            return
