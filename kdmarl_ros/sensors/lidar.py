"""Scans of a planar lidar."""

from __future__ import annotations

import numpy as np
from sensor_msgs.msg import LaserScan

from kdmarl_core.contract import Scan
from kdmarl_ros.sensors.base import MAX_INVALID, malformed, require_sight

MAX_BEAMS = 10_000
"""Beams of one scan: more would take longer than a control cycle may."""


def to_scan(message: LaserScan, sight: float = 0.0) -> Scan:
    """A scan whose ``ranges`` share the message's memory.

    Args:
        message: of the lidar.
        sight: how far it has to see [m].

    Raises:
        Fault: it has too many beams, its limits make no sense, it sees less far, or too many beams are invalid.
    """
    ranges = np.frombuffer(message.ranges, np.float32)
    if ranges.size > MAX_BEAMS:
        raise malformed(f"scan has {ranges.size} beams, at most {MAX_BEAMS} are taken; thin it out in the driver")
    if not 0 <= message.range_min < message.range_max:  # NaN as well; a range_max of inf is one that nobody knows
        raise malformed(
            f"scan has range_min {message.range_min:g} and range_max {message.range_max:g} m; "
            "set 0 <= range_min < range_max in the lidar driver"
        )
    require_sight("scan", message.range_max, sight)
    # inf (nothing seen) is valid and -inf (too close) too; NaN and distances below range_min say nothing.
    valid = np.count_nonzero(ranges >= message.range_min) + np.count_nonzero(ranges == -np.inf)
    if ranges.size - valid > MAX_INVALID * ranges.size:
        raise malformed(f"{ranges.size - valid} of {ranges.size} beams of scan are invalid; check the lidar")
    return Scan(ranges, message.angle_min, message.angle_increment, message.range_min, message.range_max)


def turn_time(message: LaserScan, interval: float) -> float:
    """From a scan's first beam to its last [s].

    Args:
        message: that may say so by ``time_increment``, or by ``scan_time``, which is no less.
        interval: from the scan before [s], for a message that says neither.
    """
    said = message.time_increment * (len(message.ranges) - 1)
    return next((time for time in (said, message.scan_time) if time > 0), interval)
