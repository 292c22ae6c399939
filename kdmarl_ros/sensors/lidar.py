"""A lidar's scans."""

from __future__ import annotations

import array
import math

import numpy as np
from sensor_msgs.msg import LaserScan

from kdmarl_core.contract import Scan
from kdmarl_core.contract.sensors import LidarSensor
from kdmarl_core.contract.sensors.lidar import SAME_FIELD
from kdmarl_core.runtime.scan_guard import ages
from kdmarl_ros.sensors.base import MAX_INVALID, SensorTopics, float_array, malformed, require_sight, turn_heard

MAX_BEAMS = 10_000
"""Beams of one scan: more would take longer than a control cycle may."""


class Topics(SensorTopics):
    """One topic of scans."""

    topics = LidarSensor.topics
    kind = LaserScan

    def read(self) -> Scan:
        """See :func:`to_scan`."""
        return to_scan(self.heard[0].message, self.sensor, self.sight, self.names[0])

    def ages(self, now: int, arrival_now: int, timeout: float) -> list[tuple[float, float]]:
        """From the turn's end, or its start: which of them the stamp is, is not known."""
        scan = self.heard[0]
        return [ages(*scan.since(now, arrival_now), turn_time(scan.message, turn_heard(scan, timeout)))]

    @classmethod
    def messages(cls, sensor: LidarSensor, prefix: str, period: float) -> list[LaserScan]:
        """One scan, of a turn that takes the whole period."""
        message = LaserScan(
            angle_min=sensor.angle_min,
            angle_max=sensor.angle_min + (sensor.beams - 1) * sensor.angle_increment,
            angle_increment=sensor.angle_increment,
            scan_time=period,
            range_min=sensor.min_range,
            range_max=sensor.range,
        )
        message.header.frame_id = f"{prefix}base_scan"
        return [message]

    @classmethod
    def fill(cls, sensor: LidarSensor, messages: list[LaserScan], measured: np.ndarray) -> None:
        """Set the ranges."""
        messages[0].ranges = float_array(sensor.as_sent(measured))

    @classmethod
    def example(cls) -> LaserScan:
        """All around, 2 m from everything."""
        message = LaserScan(angle_min=-math.pi, angle_increment=2 * math.pi / 360, range_min=0.05, range_max=3.5)
        message.ranges = array.array("f", [2.0] * 360)
        return message


def to_scan(message: LaserScan, sensor: LidarSensor, sight: float = 0.0, topic: str = "scan") -> Scan:
    """A scan in the robot frame, whose ``ranges`` may share the message's memory.

    Args:
        message: of the lidar.
        sensor: as the robot type has it.
        sight: how far it has to see [m].
        topic: that it came on.

    Raises:
        Fault: it has too many beams, its limits make no sense, it sees less far, looks to fewer sides than the robot
            type says, or too many beams are invalid.
    """
    ranges = sensor.with_misses(np.frombuffer(message.ranges, np.float32))
    if ranges.size > MAX_BEAMS:
        raise malformed(f"{topic} has {ranges.size} beams, at most {MAX_BEAMS} are taken; thin it out in the driver")
    if not 0 <= message.range_min < message.range_max:  # NaN as well; a range_max of inf is one that nobody knows
        raise malformed(
            f"{topic} has range_min {message.range_min:g} and range_max {message.range_max:g} m; "
            "set 0 <= range_min < range_max in the lidar driver"
        )
    require_sight(topic, message.range_max, sight)
    _require_field(message, ranges.size, sensor, topic)
    # inf (nothing seen) is valid and -inf (too close) too; NaN and distances below range_min say nothing.
    valid = np.count_nonzero(ranges >= message.range_min) + np.count_nonzero(ranges == -np.inf)
    if ranges.size - valid > MAX_INVALID * ranges.size:
        raise malformed(
            f"{ranges.size - valid} of {ranges.size} beams of {topic} are invalid; check the lidar, or say what it "
            "sends where nothing is seen (misses in the robot type)"
        )
    scan = sensor.on_robot(
        Scan(ranges, message.angle_min, message.angle_increment, message.range_min, message.range_max)
    )
    if sensor.ignore_below:  # as many may see the robot itself as are left when it is not covered
        hidden = np.count_nonzero(sensor.hides(message.angle_min, message.angle_increment, ranges.size))
        silent = np.count_nonzero(np.isnan(scan.ranges)) - hidden
        if silent > MAX_INVALID * (ranges.size - hidden):
            raise malformed(
                f"{silent} of {ranges.size - hidden} beams of {topic} see the robot itself (nearer than ignore_below, "
                f"{sensor.ignore_below:g} m) or are invalid; uncover the lidar, or correct the robot type"
            )
    return scan


def _require_field(message: LaserScan, beams: int, sensor: LidarSensor, topic: str) -> None:
    """See that a scan looks all the way that the robot type says; one without beams or angles is refused later.

    Raises:
        Fault: it does not.
    """
    width = abs(message.angle_increment)
    ends = message.angle_min, message.angle_min + message.angle_increment * (beams - 1)
    if not (beams and all(map(math.isfinite, ends))):
        return
    low, high = min(ends) - width, max(ends) + width  # a beam more on either side: drivers round
    if high - low >= sensor.fov - SAME_FIELD and sensor.fov >= 2 * math.pi - SAME_FIELD:
        return
    turns = round((low + high) / (4 * math.pi)) * 2 * math.pi  # some count from 0 where others count from -pi
    if not (low - turns <= SAME_FIELD - sensor.fov / 2 and high - turns >= sensor.fov / 2 - SAME_FIELD):
        raise malformed(
            f"{topic} looks from {min(ends):.2f} to {max(ends):.2f} rad, the robot type says from "
            f"{-sensor.fov / 2:.2f} to {sensor.fov / 2:.2f} rad; correct fov and mounting there, or the lidar driver"
        )


def turn_time(message: LaserScan, interval: float) -> float:
    """From a scan's first beam to its last [s].

    Args:
        message: that may say so by ``time_increment``, or by ``scan_time``, which is no less.
        interval: from the scan before [s], for a message that says neither.
    """
    by_increment = message.time_increment * (len(message.ranges) - 1)
    return next((time for time in (by_increment, message.scan_time) if time > 0), interval)
