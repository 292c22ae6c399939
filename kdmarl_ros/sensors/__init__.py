"""Messages of robots' sensors. Each sensor is one file, named as it is in robot types, with its class ``Topics``."""

from __future__ import annotations

from importlib import import_module

from kdmarl_core.contract.sensors import Sensors
from kdmarl_ros.sensors.base import SensorTopics

__all__ = ["SENSOR_TOPICS", "SensorTopics"]

SENSOR_TOPICS: dict[str, type[SensorTopics]] = {
    name: import_module(f"{__name__}.{name}").Topics for name in Sensors.__struct_fields__
}
"""Name of a sensor in robot types → its topics. The first sensor that a policy sees by starts its control cycles."""
