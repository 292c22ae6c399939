"""Robot types: body, limits and sensors, shared by training configs and swarm files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import msgspec

from kdmarl_core.contract.files import convert, read_yaml
from kdmarl_core.contract.spaces import DiffDrive, NonNegative, Number, Positive

Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]


class LidarSensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A planar lidar at the robot's centre; beam i points at ``-fov/2 + i·fov/beams``."""

    beams: Annotated[int, msgspec.Meta(ge=1, le=4096)]
    range: Positive
    """[m]"""
    min_range: NonNegative = 0.05
    """[m]"""
    fov: Annotated[float, msgspec.Meta(gt=0, le=2 * math.pi + 1e-6)] = 2 * math.pi
    """[rad]"""
    noise: NonNegative = 0.01
    """standard deviation of a distance [m]"""

    @property
    def angle_min(self) -> float:
        """Angle of the first beam [rad]."""
        return -self.fov / 2

    @property
    def angle_increment(self) -> float:
        """Angle from beam to beam [rad]."""
        return self.fov / self.beams


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


class Sensors(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a robot type carries beside odometry."""

    lidar: LidarSensor | None = None
    range_sensors: RangeSensorRing | None = None


class Budget(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a robot type's computer can spend on one inference; None is no limit."""

    macs: Annotated[int, msgspec.Meta(gt=0)] | None = None
    parameters: Annotated[int, msgspec.Meta(gt=0)] | None = None
    bytes: Annotated[int, msgspec.Meta(gt=0)] | None = None
    latency: Positive | None = None
    """[s]"""


class RobotType(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A body with its limits and sensors."""

    radius: Positive
    """[m]"""
    height: Positive = 0.25
    """[m]"""
    action: DiffDrive
    sensors: Sensors
    budget: Budget = Budget()


def load_robot_types(path: Path | str) -> dict[str, RobotType]:
    """Read a YAML file of robot types: name → :class:`RobotType`.

    Raises:
        KdmarlError: the file is missing or does not fit.
    """
    return convert(read_yaml(path), dict[str, RobotType], str(path))
