"""Single range sensors: sonar, infrared, time of flight."""

from __future__ import annotations

import math
from typing import Annotated

import msgspec
import numpy as np

from kdmarl_core.contract.readings import BaseTerm, Count, Readings, given
from kdmarl_core.contract.sensors.base import Age, Returns, now_and_past
from kdmarl_core.contract.spaces import NonNegative, Number, Positive
from kdmarl_core.errors import KdmarlError


class RangeSensorRing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Single range sensors at the robot's centre, each seeing the nearest thing in a cone."""

    bearings: Annotated[list[Number], msgspec.Meta(min_length=1, max_length=64)]
    """direction of each sensor [rad]"""
    range: Positive
    """[m]"""
    min_range: NonNegative = 0.05
    """[m]"""
    fov: Annotated[float, msgspec.Meta(gt=0, le=math.pi)] = 0.35
    """opening angle of one sensor [rad]"""
    noise: NonNegative = 0.01
    """standard deviation of a distance [m]"""


class RangeSensors(BaseTerm, frozen=True, tag="range_sensors"):
    """Distances of single range sensors (sonar, infrared, time of flight); ``past`` as in :class:`Lidar`."""

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
    bearings = np.asarray(ring.bearings)
    apart = np.abs((bearings[:, None] - bearings + math.pi) % (2 * math.pi) - math.pi)
    np.fill_diagonal(apart, np.inf if bearings.size > 1 else ring.fov)
    half = np.maximum(apart.min(-1), ring.fov) / 2
    distance = np.where(np.isneginf(ranges), ring.min_range, np.minimum(ranges, ring.range))
    distance = distance * np.cos(half - ring.fov / 2)
    seen = distance < within  # not NaN
    return Returns(np.maximum(distance[seen], 0.0), bearings[seen], half[seen])
