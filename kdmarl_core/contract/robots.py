"""Robot types: body, limits and sensors, shared by training configs and swarm files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import msgspec

from kdmarl_core.contract.bounds import Number, Positive
from kdmarl_core.contract.files import convert, read_yaml
from kdmarl_core.contract.kinematics import AnyKinematics
from kdmarl_core.contract.sensors import Sensors

OUTSIDE = 0.01
"""How far beyond a robot's radius its lidar may take things for the robot [m]: half of what the scan guard keeps."""

Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Budget(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a robot type's computer can spend on one inference; None is no limit."""

    macs: Annotated[int, msgspec.Meta(gt=0)] | None = None
    parameters: Annotated[int, msgspec.Meta(gt=0)] | None = None
    bytes: Annotated[int, msgspec.Meta(gt=0)] | None = None
    latency: Positive | None = None
    """[s]"""


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A model for Gazebo, in place of the one that is generated for a robot type.

    ``{robot}`` in arguments and topics stands for the robot's name.
    """

    file: Annotated[str, msgspec.Meta(min_length=1)]
    """SDF, URDF or xacro, relative to the file of robot types"""
    name: str | None = None
    """which model of an SDF file with several"""
    arguments: dict[str, str] = {}
    """of xacro"""
    topics: dict[str, str | None] = {}
    """our topic, such as ``scan`` → the model's in Gazebo; None where the model itself is on that topic in ROS 2"""
    z: Number = 0.0
    """height at which its origin starts [m]"""


class RobotType(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A body with its limits and sensors."""

    radius: Positive
    """[m]"""
    height: Positive = 0.25
    """[m]"""
    action: AnyKinematics
    sensors: Sensors
    budget: Budget = Budget()
    model: str | Model | msgspec.UnsetType = msgspec.UNSET
    """for Gazebo; a string is the model's file"""

    @property
    def own_model(self) -> Model | None:
        """:attr:`model` with all its settings; None where it is generated."""
        return Model(file=self.model) if isinstance(self.model, str) else self.model or None

    def __post_init__(self) -> None:
        for name, lidar in self.sensors.of_kind("lidar").items():
            reach = (lidar.ignore_below or -math.inf) + math.hypot(lidar.place.x, lidar.place.y)
            if reach > self.radius + OUTSIDE:
                raise ValueError(
                    f"ignore_below of {name} reaches {reach:.3f} m from the robot's centre, its radius is "
                    f"{self.radius:g} m; what is nearer to the lidar than that must be the robot itself"
                )


def load_robot_types(path: Path | str) -> dict[str, RobotType]:
    """Read a YAML file of robot types: name → :class:`RobotType`.

    Raises:
        KdmarlError: the file is missing or does not fit.
    """
    return convert(read_yaml(path), dict[str, RobotType], str(path))
