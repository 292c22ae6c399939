"""What the robots' sensors give: scans with noise, losses and a past, range sensors, odometry."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from kdmarl_core.contract import KdmarlError, Readings, RobotType, Scan, Term, history_length
from kdmarl_core.contract.terms import Lidar, RangeSensors
from kdmarl_core.envs.base import Group
from kdmarl_core.envs.robots.config import Randomization, RobotsConfig
from kdmarl_core.envs.robots.rays import cast

BEYOND = 0.2
"""Rays are cast this much farther than a sensor reaches, so that noise at its limit works both ways [m]."""
NORMALS = 1 << 20
"""Normal numbers drawn in advance."""


class Surroundings(NamedTuple):
    """Where everything is, as the kernels take it."""

    pose: np.ndarray
    """(B, N, 3) [m, m, rad]"""
    velocity: np.ndarray
    """(B, N, 2) forward speed and yaw rate [m/s, rad/s]"""
    radius: np.ndarray
    """(N,) [m]"""
    discs: np.ndarray
    """(B, D, 3) [m]; radius 0 is no disc"""
    walls: np.ndarray
    """(B, W, 4) [m]; NaN is no wall"""


class _Rays(NamedTuple):
    """One group's beams."""

    angle_min: float
    increment: float
    cos: np.ndarray
    sin: np.ndarray
    range: float
    """cast this far [m]"""
    min_range: float
    cones: list[np.ndarray]
    """beams of each range sensor"""


class Sensors:
    """All robots' sensors; how good each robot's are is drawn anew for every episode.

    Args:
        config: the task.
        robot_types: of the groups, by name.
        groups: the team.
        num_envs: B.

    Raises:
        KdmarlError: a range sensor meets none of the lent rays.
    """

    def __init__(
        self, config: RobotsConfig, robot_types: dict[str, RobotType], groups: tuple[Group, ...], num_envs: int
    ) -> None:
        self._groups = groups
        self._rays = {group.name: _rays(robot_types[group.name], config) for group in groups}
        agents = sum(group.count for group in groups)
        self._noise, self._dropout, self._odometry_noise = (np.zeros((num_envs, agents)) for _ in range(3))
        self._ranges = {group.name: self._no_ranges(group, num_envs) for group in groups}
        longest = max(ranges[0].size for ranges in self._ranges.values())
        self._normals = np.random.default_rng(0).standard_normal(max(NORMALS, 4 * longest), np.float32)
        self._odometry = np.zeros((num_envs, agents, 2), np.float32)

    def _no_ranges(self, group: Group, num_envs: int) -> np.ndarray:
        """(age, B, n, beams) true distances with noise, the present first."""
        ages = 1 + max(history_length(terms) for terms in group.observation.values())
        return np.zeros((ages, num_envs, group.count, self._rays[group.name].cos.size), np.float32)

    def randomize(self, rng: np.random.Generator, chosen: np.ndarray, ranges: Randomization) -> None:
        """Draw the quality of the sensors in the ``chosen`` environments."""
        shape = (chosen.size, self._noise.shape[1])
        self._noise[chosen] = rng.uniform(*ranges.noise, shape)
        self._dropout[chosen] = rng.uniform(*ranges.dropout, shape)
        self._odometry_noise[chosen] = rng.uniform(*ranges.odometry_noise, shape)

    def sense(self, rng: np.random.Generator, around: Surroundings, fresh: np.ndarray | None) -> None:
        """Take new readings; ``fresh`` lists environments that must not keep an old scan (None: drop at random).

        With ``fresh`` only those environments are read.
        """
        which = slice(None) if fresh is None else fresh
        pose, discs, walls = around.pose[which], around.discs[which], around.walls[which]
        for group in self._groups:
            rays = self._rays[group.name]
            shape = (pose.shape[0], group.count, rays.cos.size)
            ranges = np.empty(shape, np.float32)
            cast(
                pose,
                around.radius,
                group.agents.start,
                group.agents.stop,
                discs,
                walls,
                rays.angle_min,
                rays.increment,
                rays.cos,
                rays.sin,
                rays.range + BEYOND,
                ranges,
            )
            ranges += self._normal(rng, shape) * self._noise[which, group.agents][..., None].astype(np.float32)
            if fresh is None:
                lost = rng.random((pose.shape[0], group.count)) < self._dropout[:, group.agents]
                ranges[lost] = self._ranges[group.name][0][lost]
            self._remember(group.name, which, ranges, fresh is not None)
        error = rng.standard_normal(around.velocity[which].shape) * self._odometry_noise[which][..., None]
        self._odometry[which] = around.velocity[which] + error

    def _normal(self, rng: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
        """Standard normal numbers, float32: a random stretch of a long list, as drawing so many each step is slow."""
        size = math.prod(shape)
        start = int(rng.integers(0, self._normals.size - size))
        return self._normals[start : start + size].reshape(shape)

    def _remember(self, name: str, which: slice | np.ndarray, ranges: np.ndarray, new_episode: bool) -> None:
        """Put new distances in front of the older ones; a new episode has no older ones."""
        kept = self._ranges[name]
        if new_episode:
            kept[:, which] = ranges
        else:
            kept[1:] = kept[:-1].copy()
            kept[0] = ranges

    def readings(self, group: Group) -> Readings:
        """Scan, range sensors and odometry of one group, now and earlier."""
        now, *history = (self._ranging(group, age) for age in range(len(self._ranges[group.name])))
        return now._replace(history=tuple(history), velocity=self._odometry[:, group.agents])

    def _ranging(self, group: Group, age: int) -> Readings:
        """Scan and range sensors ``age`` control periods ago."""
        rays, ranges = self._rays[group.name], self._ranges[group.name][age]
        cones = [ranges[..., cone].min(-1) for cone in rays.cones]
        return Readings(
            scan=Scan(ranges, rays.angle_min, rays.increment, rays.min_range, rays.range),
            ranges=np.stack(cones, -1) if cones else None,
        )


def check_sensors(name: str, robot: RobotType, terms: list[Term]) -> None:
    """A student sees through its robot's own sensors only.

    Raises:
        KdmarlError: a term needs a sensor that the robot lacks, or one that reaches farther.
    """
    ring = robot.sensors.range_sensors
    for term in terms:
        if isinstance(term, Lidar) and robot.sensors.lidar is None:
            raise KdmarlError(f"task.observations.student.{name}: has a lidar term, the robot has no lidar; remove it")
        reach = robot.sensors.lidar if isinstance(term, Lidar) else ring if isinstance(term, RangeSensors) else None
        if reach and isinstance(term, Lidar | RangeSensors) and term.range > reach.range:
            raise KdmarlError(
                f"task.observations.student.{name}: a term reaches {term.range} m, the sensor {reach.range} m; lower it"
            )
        if isinstance(term, RangeSensors) and (ring is None or len(ring.bearings) != term.count):
            count = len(ring.bearings) if ring else 0
            raise KdmarlError(f"task.observations.student.{name}: {term.count} range sensors, the robot has {count}")


def _rays(robot: RobotType, config: RobotsConfig) -> _Rays:
    lidar, ring = robot.sensors.lidar, robot.sensors.range_sensors
    if lidar:
        angle_min, increment, beams = lidar.angle_min, lidar.angle_increment, lidar.beams
        reach, nearest = lidar.range, lidar.min_range
    else:
        beams, reach, nearest = config.privileged_beams, config.privileged_range, 0.0
        angle_min, increment = -math.pi, 2 * math.pi / beams
    angles = angle_min + increment * np.arange(beams)
    cones = []
    for bearing in ring.bearings if ring else ():
        away = np.abs((angles - bearing + math.pi) % (2 * math.pi) - math.pi)
        cone = np.flatnonzero(away <= ring.fov / 2 + 1e-6)  # type: ignore[union-attr]
        if cone.size == 0:
            raise KdmarlError(
                f"a range sensor at {bearing} rad meets none of {beams} rays; raise task.privileged_beams"
            )
        cones.append(cone)
    cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    return _Rays(angle_min, increment, cos, sin, reach, nearest, cones)
