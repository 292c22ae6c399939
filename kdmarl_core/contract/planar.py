"""Poses in the plane."""

from __future__ import annotations

import math
from typing import NamedTuple


def yaw_of_rotation(w: float, x: float, y: float, z: float) -> float:
    """Of the x axis that a unit quaternion turns [rad]."""
    return math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))


class Planar(NamedTuple):
    """A pose, or the transform from a frame at that pose to the frame in which it is given."""

    x: float = 0.0
    """[m]"""
    y: float = 0.0
    """[m]"""
    yaw: float = 0.0
    """[rad]"""

    def __matmul__(self, other: Planar) -> Planar:
        """The pose ``other``, given in the frame at this one, in the frame in which this one is given."""
        cos, sin = math.cos(self.yaw), math.sin(self.yaw)
        return Planar(
            self.x + cos * other.x - sin * other.y, self.y + sin * other.x + cos * other.y, self.yaw + other.yaw
        )

    @property
    def inverse(self) -> Planar:
        """The transform the other way."""
        cos, sin = math.cos(self.yaw), math.sin(self.yaw)
        return Planar(-cos * self.x - sin * self.y, sin * self.x - cos * self.y, -self.yaw)

    def differs(self, other: Planar) -> tuple[float, float]:
        """How far apart they are [m], and by which angle they differ, from 0 to π [rad]."""
        turned = math.remainder(self.yaw - other.yaw, 2 * math.pi)
        return math.hypot(self.x - other.x, self.y - other.y), abs(turned)
