"""Single range sensors: sonar, infrared, time of flight."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import msgspec
import numpy as np

from kdmarl_core.contract.bounds import NonNegative, Number, Positive
from kdmarl_core.contract.readings import Count, Readings, given
from kdmarl_core.contract.sensors.base import (
    Age,
    Fan,
    Reader,
    Returns,
    Sensor,
    SensorTerm,
    farthest,
    now_and_past,
    out_of_reach,
)
from kdmarl_core.errors import KdmarlError

RAYS_IN_A_CONE = 9
"""Rays across the opening of a range sensor in MuJoCo; the nearest counts."""


class RangeSensorRing(Sensor, frozen=True, kw_only=True):
    """Single range sensors around one place, each seeing the nearest thing in a cone."""

    topics = tuple(f"range_{index}" for index in range(64))

    bearings: Annotated[list[Number], msgspec.Meta(min_length=1, max_length=64)]
    """direction of each sensor [rad]"""
    fov: Annotated[float, msgspec.Meta(gt=0, le=math.pi)] = 0.35
    """opening angle of one sensor [rad]"""
    circle: NonNegative | msgspec.UnsetType = msgspec.UNSET
    """how far from that place each sensor sits, in its direction [m]; 0 unless given"""

    @property
    def directions(self) -> np.ndarray:
        """Of the sensors, in the robot frame, (sensors,) [rad]."""
        return np.asarray(self.place.turned(np.array(self.bearings)))

    @property
    def places(self) -> np.ndarray:
        """x, y of the sensors in the robot frame, (sensors, 2) [m]."""
        radius = self.circle or 0.0
        around = np.stack([np.cos(self.directions), np.sin(self.directions)], -1)
        return np.array([self.place.x, self.place.y]) + radius * around

    @property
    def fans(self) -> tuple[Fan, ...]:
        """None at the centre and in each control period, else some rays across each cone."""
        if not self.places.any() and not self.rate:
            return ()
        step = self.fov / (RAYS_IN_A_CONE - 1)
        return tuple(
            Fan(direction - self.fov / 2, step, RAYS_IN_A_CONE, x, y)
            for direction, (x, y) in zip(self.directions.tolist(), self.places.tolist(), strict=True)
        )

    def from_rays(self, angles: np.ndarray) -> Reader:
        """The nearest of the rays in each cone."""
        if self.fans:
            return self.nearest
        cones = []
        for bearing in self.directions:
            away = np.abs((angles - bearing + math.pi) % (2 * math.pi) - math.pi)
            cone = np.flatnonzero(away <= self.fov / 2 + 1e-6)
            if cone.size == 0:
                raise KdmarlError(
                    f"a range sensor at {bearing} rad meets none of {angles.size} rays; raise task.privileged_beams"
                )
            cones.append(cone)
        return lambda distance: np.stack([distance[..., cone].min(-1) for cone in cones], -1)

    @property
    def rays(self) -> np.ndarray:
        """Some across each cone."""
        spread = np.linspace(-self.fov / 2, self.fov / 2, RAYS_IN_A_CONE)
        return (self.directions[:, None] + spread).ravel()

    @property
    def origins(self) -> np.ndarray:
        """Where the sensors sit."""
        return self.places

    def nearest(self, distance: np.ndarray) -> np.ndarray:
        """The nearest in each cone, (..., sensors) of (..., rays)."""
        return distance.reshape(*distance.shape[:-1], -1, RAYS_IN_A_CONE).min(-1)

    def returns(self, reading: np.ndarray, within: float) -> Returns:
        """See :func:`of_ring`."""
        return of_ring(reading, self, within)


class RangeSensors(SensorTerm, frozen=True, tag="range_sensors"):
    """Distances of single range sensors (sonar, infrared, time of flight).

    ``past`` as in :class:`~kdmarl_core.contract.sensors.Lidar`.
    """

    sensor = "range_sensors"

    count: Count
    range: Positive
    """farther obstacles read as this distance [m]"""
    past: Age = 0
    """[control periods]; 0: the present only"""

    @property
    def size(self) -> int:
        """Number of values."""
        return self.count * (2 if self.past else 1)

    def compute(self, readings: Readings) -> np.ndarray:
        """See :func:`range_sensors`."""
        return now_and_past(self, readings)

    def at(self, readings: Readings) -> np.ndarray:
        """The distances of one moment."""
        return range_sensors(given(readings.ranges, "range_sensors", "ranges"), self.count, self.range)

    def lacks(self, carried: RangeSensorRing | None) -> list[str]:
        """As many sensors, range."""
        count = len(carried.bearings) if carried else 0
        if carried is None or count != self.count:
            return [f"the policy needs {self.count} range sensors, the robot has {count}"]
        if carried.range < self.range - 1e-6:
            return [
                f"the policy needs range sensors that see {self.range:g} m far, the robot's see {carried.range:g} m"
            ]
        return []

    def untrainable(self, carried: RangeSensorRing | None) -> str:
        """Too short a range, or another number of sensors."""
        count = len(carried.bearings) if carried else 0
        if carried and (trouble := out_of_reach(self.range, carried.range)):
            return trouble
        return f"{self.count} range sensors, the robot has {count}" if count != self.count else ""

    @classmethod
    def sample(cls, terms: Sequence[RangeSensors], count: int, random: np.random.Generator) -> np.ndarray:
        """(count, sensors) [m]."""
        sensors = max((term.count for term in terms), default=1)
        return random.uniform(0, farthest(terms), (count, sensors))


def range_sensors(ranges: np.ndarray, count: int, max_range: float) -> np.ndarray:
    """Clip ``count`` single distances to [0, max_range]; NaN and inf read as ``max_range``.

    Args:
        ranges: (..., count) [m]; -inf means too close to measure (REP-117).
        count: number of sensors.
        max_range: clipping distance [m].

    Returns:
        (..., count) float32 [m].

    Raises:
        KdmarlError: another number of sensors.
    """
    ranges = np.asarray(ranges, np.float32)
    if ranges.shape[-1] != count:
        raise KdmarlError(f"range_sensors: got {ranges.shape[-1]} sensors, the policy expects {count}")
    return np.maximum(np.fmin(ranges, np.float32(max_range)), np.float32(0))


def of_ring(ranges: np.ndarray, ring: RangeSensorRing, within: float) -> Returns:
    """Sensors that saw something nearer than ``within`` [m], or see no farther.

    Each stands for its cone and half way to its nearest neighbour. The distance is shortened by what a straight wall
    may come nearer beyond the cone.
    """
    bearings = ring.directions
    apart = np.abs((bearings[:, None] - bearings + math.pi) % (2 * math.pi) - math.pi)
    np.fill_diagonal(apart, np.inf if bearings.size > 1 else ring.fov)
    half = np.maximum(apart.min(-1), ring.fov) / 2
    distance = np.where(np.isneginf(ranges), ring.min_range, np.minimum(ranges, ring.range))
    distance = distance * np.cos(half - ring.fov / 2)
    seen = distance < within  # not NaN
    return Returns(np.maximum(distance[seen], 0.0), bearings[seen], half[seen], ring.places[seen].T)
