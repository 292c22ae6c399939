"""Messages of single range sensors: sonar, infrared, time of flight."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
from sensor_msgs.msg import Range

from kdmarl_core.contract.sensors import RangeSensorRing, RangeSensors
from kdmarl_core.contract.sensors.base import Mounting
from kdmarl_ros.sensors.base import MAX_INVALID, SensorTopics, malformed, require_sight


class Topics(SensorTopics):
    """One topic for each sensor, in the order of the robot type's bearings."""

    topics = RangeSensorRing.topics
    kind = Range

    @classmethod
    def needed(cls, term: RangeSensors) -> tuple[str, ...]:
        """As many as it has sensors."""
        return cls.topics[: term.count]

    @cached_property
    def mountings(self) -> list[Mounting]:
        """Of each sensor."""
        looks = zip(self.sensor.places.tolist(), self.sensor.directions.tolist(), strict=True)
        return [
            Mounting(x=x, y=y, yaw=math.remainder(yaw, 2 * math.pi), upside_down=self.sensor.place.upside_down)
            for (x, y), yaw in looks
        ]

    def read(self) -> np.ndarray:
        """See :func:`to_ranges`."""
        return to_ranges([latest.message for latest in self.heard], self.sight)

    @classmethod
    def messages(cls, sensor: RangeSensorRing, prefix: str, period: float) -> list[Range]:
        """One for each sensor."""
        messages = []
        for topic in cls.topics[: len(sensor.bearings)]:
            message = Range(
                radiation_type=Range.INFRARED,
                field_of_view=sensor.fov,
                min_range=sensor.min_range,
                max_range=sensor.range,
            )
            message.header.frame_id = f"{prefix}{topic}"
            messages.append(message)
        return messages

    @classmethod
    def fill(cls, sensor: RangeSensorRing, messages: list[Range], measured: np.ndarray) -> None:
        """Set each one's range."""
        for message, distance in zip(messages, measured.tolist(), strict=True):
            message.range = distance

    @classmethod
    def example(cls) -> Range:
        """1 m from what is ahead."""
        return Range(min_range=0.05, max_range=2.0, range=1.0)


def to_ranges(messages: list[Range], sight: float = 0.0) -> np.ndarray:
    """Distances of single sensors, (sensors,) float32 [m].

    What lies beyond ``max_range`` is inf, nothing seen. What lies below ``min_range`` is -inf, too near to measure,
    unless it is 0: sensors that have failed to measure say that, which reads as NaN.

    Args:
        messages: one of each sensor.
        sight: how far each has to see [m].

    Raises:
        Fault: one sees less far, or too many say nothing.
    """
    for index, message in enumerate(messages):
        require_sight(f"range_{index}", message.max_range, sight)
    ranges, nearest, farthest = np.array(
        [(message.range, message.min_range, message.max_range) for message in messages], np.float32
    ).T
    failed = (ranges <= 0) & (ranges < nearest) & (ranges != -np.inf)
    ranges = np.where(ranges < nearest, np.where(failed, np.nan, -np.inf), np.where(ranges > farthest, np.inf, ranges))
    invalid = int(np.isnan(ranges).sum())
    if invalid > MAX_INVALID * ranges.size:
        raise malformed(f"{invalid} of {ranges.size} range sensors give NaN, or 0 below their min_range; check them")
    return ranges.astype(np.float32)
