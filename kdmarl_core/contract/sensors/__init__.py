"""A robot's sensors."""

from __future__ import annotations

import msgspec

from kdmarl_core.contract.sensors.lidar import Lidar, LidarSensor
from kdmarl_core.contract.sensors.range_sensors import RangeSensorRing, RangeSensors

__all__ = ["AnySensorTerm", "Lidar", "LidarSensor", "RangeSensorRing", "RangeSensors", "Sensors"]

AnySensorTerm = Lidar | RangeSensors


class Sensors(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a robot type carries beside odometry."""

    lidar: LidarSensor | None = None
    range_sensors: RangeSensorRing | None = None
