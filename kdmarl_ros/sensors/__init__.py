"""Messages of robots' sensors. Each sensor is one file, named as it is in robot types, with its class ``Topics``."""

from __future__ import annotations

from importlib import import_module

from kdmarl_core.contract.sensors import Sensors, ending_of, kind_of
from kdmarl_ros.sensors.base import SensorTopics

__all__ = ["SENSOR_TOPICS", "SensorTopics", "topics_of"]

SENSOR_TOPICS: dict[str, type[SensorTopics]] = {
    kind: import_module(f"{__name__}.{kind}").Topics for kind in Sensors.kinds()
}
"""Kind of a sensor → its topics. The first sensor that a policy sees by starts its control cycles."""


def topics_of(name: str, topics: tuple[str, ...] | None = None) -> tuple[str, ...]:
    """Names of the topics of a sensor that robot types carry by this ``name``; of its kind's ``topics``, or all."""
    return tuple(topic + ending_of(name) for topic in topics or SENSOR_TOPICS[kind_of(name)].topics)
