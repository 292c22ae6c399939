"""A robot's sensors. Each is one file of this package: its settings in a robot type, and the term made of its reading.

A sensor is registered here, by a field of :class:`Sensors` and by its term in ``AnySensorTerm``. Its messages are in
the file of the same name in ``kdmarl_ros.sensors``.
"""

from __future__ import annotations

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
]

AnySensorTerm = Lidar | RangeSensors | PointCloud


class Sensors(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a robot type carries beside odometry.

    Sensors that came later are unset where there are none, so that what was trained without them is still the same.
    """

    lidar: LidarSensor | None = None
    range_sensors: RangeSensorRing | None = None
    point_cloud: PointCloudSensor | msgspec.UnsetType = msgspec.UNSET

    @property
    def carried(self) -> dict[str, Any]:
        """Name → :class:`Sensor`, of those that are there."""
        sensors = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: sensor for name, sensor in sensors.items() if isinstance(sensor, Sensor)}
