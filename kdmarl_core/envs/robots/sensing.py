"""What the robots' sensors give: scans with noise, losses and a past, range sensors, odometry."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from kdmarl_core.contract import KdmarlError, Readings, RobotType, Term, history_length
from kdmarl_core.contract.sensors import LidarSensor, Sensor, SensorTerm
from kdmarl_core.contract.sensors.base import Fan, Reader
from kdmarl_core.envs.base import Group
from kdmarl_core.envs.robots.config import Randomization, RobotsConfig
from kdmarl_core.envs.robots.rays import Beams, cast

BEYOND = 0.2
"""Rays are cast this much farther than a sensor reaches, so that noise at its limit works both ways [m]."""
ALWAYS = 0.999
"""Share of control periods with a new reading that counts as all of them."""
NORMALS = 1 << 20
"""Normal numbers drawn in advance."""


class Surroundings(NamedTuple):
    """Where everything is, as the kernels take it."""

    pose: np.ndarray
    """(B, N, 3) [m, m, rad]"""
    velocity: np.ndarray
    """(B, N, V) what odometry measures of it, as in :attr:`~kdmarl_core.contract.Readings.velocity`"""
    radius: np.ndarray
    """(N,) [m]"""
    discs: np.ndarray
    """(B, D, 3) [m]; radius 0 is no disc"""
    walls: np.ndarray
    """(B, W, 4) [m]; NaN is no wall"""


class _Rays(NamedTuple):
    """Rays of one group that are cast together, and what is read from them."""

    fans: list[Beams]
    """from each place"""
    rays: int
    """of all fans together"""
    readers: dict[str, Reader]
    """by the sensor's name"""
    share: float
    """of control periods in which there is a new reading"""

    @classmethod
    def of(cls, sensor: Sensor, fans: tuple[Fan, ...], period: float) -> _Rays:
        """Those of a ``sensor``, without readers, in control periods of ``period`` [s]."""
        share = min(sensor.rate * period, 1.0) if sensor.rate else 1.0
        rays = sum(fan.rays for fan in fans)
        return cls([Beams.of(fan, sensor.range + BEYOND) for fan in fans], rays, {}, 1.0 if share > ALWAYS else share)


class Sensors:
    """All robots' sensors; how good each robot's are is drawn anew for every episode.

    Args:
        config: the task.
        robot_types: of the groups, by name.
        groups: the team.
        num_envs: B.

    Raises:
        KdmarlError: the lent rays are too few for a sensor.
    """

    def __init__(
        self, config: RobotsConfig, robot_types: dict[str, RobotType], groups: tuple[Group, ...], num_envs: int
    ) -> None:
        self._groups = groups
        self._rays = {group.name: _rays(robot_types[group.name], config) for group in groups}
        agents = sum(group.count for group in groups)
        self._noise, self._dropout, self._odometry_noise = (np.zeros((num_envs, agents)) for _ in range(3))
        self._ranges = {group.name: self._no_ranges(group, num_envs) for group in groups}
        self._turn = {
            group.name: [np.zeros((num_envs, group.count)) for _ in self._rays[group.name]] for group in groups
        }
        """for each of its rays (B, n) the share of the time from reading to reading that has passed"""
        longest = max(ranges[0].size for kept in self._ranges.values() for ranges in kept)
        self._normals = np.random.default_rng(0).standard_normal(max(NORMALS, 4 * longest), np.float32)
        sideways = any(robot_types[group.name].action.sideways for group in groups)
        self._odometry = np.zeros((num_envs, agents, 3 if sideways else 2), np.float32)

    def _no_ranges(self, group: Group, num_envs: int) -> list[np.ndarray]:
        """For each fan (age, B, n, rays) true distances with noise, the present first."""
        ages = 1 + max(history_length(terms) for terms in group.observation.values())
        shape = (ages, num_envs, group.count)
        return [np.zeros((*shape, rays.rays), np.float32) for rays in self._rays[group.name]]

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
        for group in self._groups:
            name = group.name
            for rays, kept, turn in zip(self._rays[name], self._ranges[name], self._turn[name], strict=True):
                ranges = _cast(rays, around, which, group.agents)
                ranges += self._normal(rng, ranges.shape) * self._noise[which, group.agents][..., None].astype(
                    np.float32
                )
                if fresh is None:
                    lost = rng.random(ranges.shape[:2]) < self._dropout[:, group.agents]
                    if rays.share < 1:
                        turn += rays.share
                        lost |= turn < 1
                        turn %= 1
                    ranges[lost] = kept[0][lost]
                elif rays.share < 1:
                    turn[which] = rng.random(ranges.shape[:2])
                _remember(kept, which, ranges, fresh is not None)
        error = rng.standard_normal(around.velocity[which].shape) * self._odometry_noise[which][..., None]
        self._odometry[which] = around.velocity[which] + error

    def _normal(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Standard normal numbers, float32: a random stretch of a long list, as drawing so many each step is slow."""
        size = math.prod(shape)
        start = int(rng.integers(0, self._normals.size - size))
        return self._normals[start : start + size].reshape(shape)

    def readings(self, group: Group) -> Readings:
        """Sensors and odometry of one group, now and earlier."""
        ages = self._ranges[group.name][0].shape[0]
        now, *history = (self._ranging(group, age) for age in range(ages))
        return now._replace(history=tuple(history), velocity=self._odometry[:, group.agents])

    def _ranging(self, group: Group, age: int) -> Readings:
        """What the sensors said ``age`` control periods ago."""
        said: dict[str, Any] = {}
        for rays, kept in zip(self._rays[group.name], self._ranges[group.name], strict=True):
            for name, read in rays.readers.items():
                said[name] = read(kept[age])
        return Readings.of_sensors(said)


def check_sensors(name: str, robot: RobotType, terms: list[Term]) -> None:
    """A student sees through its robot's own sensors only.

    Raises:
        KdmarlError: a term needs a sensor that the robot lacks, or one that reaches farther.
    """
    for term in terms:
        if isinstance(term, SensorTerm) and (trouble := robot.sensors.untrainable(term)):
            raise KdmarlError(f"task.observations.student.{name}: {trouble}")


def _rays(robot: RobotType, config: RobotsConfig) -> list[_Rays]:
    """All rays of a robot type: the lidar's first, or those of a lidar which is lent to it, for the expert."""
    lent = LidarSensor(beams=config.privileged_beams, range=config.privileged_range, min_range=0.0)
    sensors = {"lidar": lent} | robot.sensors.carried
    rays = {
        name: _Rays.of(sensor, sensor.fans, config.control_period) for name, sensor in sensors.items() if sensor.fans
    }
    shared = sensors["lidar"] if sensors["lidar"].place.centred and not sensors["lidar"].rate else lent
    for name, sensor in sensors.items():
        own = sensor.fans
        if own:
            cast_for = rays[name]
        elif shared is sensors["lidar"]:
            cast_for = rays["lidar"]
        else:
            cast_for = rays.setdefault("lent", _Rays.of(lent, lent.fans, config.control_period))
        angles = np.concatenate([fan.angles for fan in own or shared.fans])
        cast_for.readers[name] = sensor.from_rays(angles)
    return list(rays.values())


def _cast(rays: _Rays, around: Surroundings, which: slice | np.ndarray, agents: slice) -> np.ndarray:
    """True distances along the ``rays`` of some agents in some environments, (b, n, rays) float32 [m]."""
    pose, discs, walls = around.pose[which], around.discs[which], around.walls[which]
    parts = []
    for beams in rays.fans:
        ranges = np.empty((pose.shape[0], agents.stop - agents.start, beams.cos.size), np.float32)
        cast(pose, around.radius, agents.start, agents.stop, discs, walls, beams, ranges)
        parts.append(ranges)
    return parts[0] if len(parts) == 1 else np.concatenate(parts, -1)


def _remember(kept: np.ndarray, which: slice | np.ndarray, ranges: np.ndarray, new_episode: bool) -> None:
    """Put new distances in front of the older ones; a new episode has no older ones."""
    if new_episode:
        kept[:, which] = ranges
    else:
        kept[1:] = kept[:-1].copy()
        kept[0] = ranges
