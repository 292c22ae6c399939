"""Messages of single range sensors."""

from __future__ import annotations

import numpy as np
from sensor_msgs.msg import Range

from kdmarl_ros.sensors.base import MAX_INVALID, malformed, require_sight


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
