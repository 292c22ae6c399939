"""A robot's sensors. Each is one file of this package: its settings in a robot type, and the term made of its reading.

A sensor is registered here, by a field of :class:`Sensors` and by its term in ``AnySensorTerm``. Its messages are in
the file of the same name in ``kdmarl_ros.sensors``.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from kdmarl_core.contract.sensors.base import Sensor, SensorTerm
from kdmarl_core.contract.sensors.lidar import Lidar, LidarSensor
from kdmarl_core.contract.sensors.point_cloud import PointCloud, PointCloudSensor
from kdmarl_core.contract.sensors.range_sensors import RangeSensorRing, RangeSensors

__all__ = [
    "AnySensorTerm",
    "Lidar",
    "LidarSensor",
    "PointCloud",
    "PointCloudSensor",
    "RangeSensorRing",
    "RangeSensors",
    "Sensor",
    "SensorTerm",
    "Sensors",
    "ending_of",
    "kind_of",
]

AnySensorTerm = Lidar | RangeSensors | PointCloud

LABEL = re.compile("[a-z]([a-z0-9_]*[a-z0-9])?")
"""Of a sensor of which a robot has several: part of a topic's name."""


class Sensors(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a robot type carries beside odometry.

    Sensors that came later are unset where there are none, so that what was trained without them is still the same.
    """

    lidar: LidarSensor | None = None
    range_sensors: RangeSensorRing | None = None
    point_cloud: PointCloudSensor | msgspec.UnsetType = msgspec.UNSET
    more_lidars: dict[str, LidarSensor] | msgspec.UnsetType = msgspec.UNSET
    """further ones by a label, with which their topics end: ``rear`` scans on ``scan_rear``. What all lidars see is
    merged: a term has the nearest of each sector"""

    def __post_init__(self) -> None:
        if self.more_lidars and self.lidar is None:
            raise ValueError("more_lidars has lidars and lidar has none; name the first of them lidar")
        for label in self.more_lidars or {}:
            if not LABEL.fullmatch(label):
                raise ValueError(f"more_lidars has '{label}'; give small letters, digits and _, as in rear")

    @classmethod
    def kinds(cls) -> tuple[str, ...]:
        """Of sensors, as terms name them."""
        return tuple(name for name in cls.__struct_fields__ if name != "more_lidars")

    @property
    def carried(self) -> dict[str, Any]:
        """Name → :class:`Sensor`, of those that are there; a further lidar's is ``lidar.`` and its label."""
        found: dict[str, Any] = {}
        for kind in self.kinds():
            if isinstance(sensor := getattr(self, kind), Sensor):
                found[kind] = sensor
            if kind == "lidar":
                found |= {f"{kind}.{label}": sensor for label, sensor in (self.more_lidars or {}).items()}
        return found

    def of_kind(self, kind: str) -> dict[str, Any]:
        """Those of :attr:`carried` that a term with ``kind`` as its sensor is made of."""
        return {name: sensor for name, sensor in self.carried.items() if kind_of(name) == kind}

    def lacks(self, term: SensorTerm) -> list[str]:
        """What they lack for a policy with ``term``, each a sentence."""
        return term.lacks(*self.of_kind(term.sensor).values() or [None])

    def untrainable(self, term: SensorTerm) -> str:
        """Why no student can be trained with ``term`` through them; empty when it can."""
        return term.untrainable(*self.of_kind(term.sensor).values() or [None])


def ending_of(name: str) -> str:
    """What topics and frames of a sensor end with that robot types carry by this ``name``: ``_rear``, or nothing."""
    return name.removeprefix(kind_of(name)).replace(".", "_")


def kind_of(name: str) -> str:
    """The kind of a sensor that robot types carry by this ``name``."""
    return name.partition(".")[0]
