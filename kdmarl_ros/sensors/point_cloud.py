"""Point clouds of depth cameras, time-of-flight cameras and 3D lidars."""

from __future__ import annotations

import array

import numpy as np
from sensor_msgs.msg import PointCloud2, PointField

from kdmarl_core.contract import Scan
from kdmarl_core.contract.sensors import PointCloudSensor
from kdmarl_core.runtime.scan_guard import ages
from kdmarl_ros.sensors.base import MAX_INVALID, SensorTopics, malformed, turn_heard

MAX_POINTS = 100_000
"""Of one cloud: more would take longer than a control cycle may."""

COORDINATES = ("x", "y", "z")

OPTICAL = "optical"
"""In names of frames with x to the right, y down and z ahead (REP-103), as cameras have; in others x is ahead, z up."""


class Topics(SensorTopics):
    """One topic of clouds."""

    topics = PointCloudSensor.topics
    kind = PointCloud2

    def read(self) -> Scan:
        """See :func:`to_scan`."""
        return to_scan(self.heard[0].message, self.sensor)

    def ages(self, now: int, arrival_now: int, timeout: float) -> list[tuple[float, float]]:
        """Of an image's moment or a turn's start or end; which, and how long a turn takes, no message says."""
        cloud = self.heard[0]
        return [ages(*cloud.since(now, arrival_now), turn_heard(cloud, timeout))]

    @classmethod
    def messages(cls, sensor: PointCloudSensor, prefix: str, period: float) -> list[PointCloud2]:
        """One cloud with a point for each column."""
        fields = [
            PointField(name=name, offset=4 * index, datatype=PointField.FLOAT32, count=1)
            for index, name in enumerate(COORDINATES)
        ]
        step, width = 4 * len(fields), sensor.columns
        message = PointCloud2(height=1, width=width, fields=fields, point_step=step, row_step=step * width)
        message.header.frame_id = f"{prefix}points"
        return [message]

    @classmethod
    def fill(cls, sensor: PointCloudSensor, messages: list[PointCloud2], measured: np.ndarray) -> None:
        """Set the points: floor where nothing is seen, and none where something is too near to be measured."""
        low, high = sensor.heights
        free = np.isposinf(measured)
        distance = np.where(free, sensor.range, np.where(np.isneginf(measured), np.nan, measured))
        up = np.where(free, low - 0.01, (low + high) / 2) * (-1 if sensor.place.upside_down else 1)
        points = np.stack([distance * np.cos(sensor.angles), distance * np.sin(sensor.angles), up], -1)
        messages[0].data = array.array("B", points.astype("<f4").tobytes())

    @classmethod
    def example(cls) -> PointCloud2:
        """Half a turn ahead, 2 m from everything."""
        sensor = PointCloudSensor(columns=32, range=3.0, fov=np.pi, heights=(-0.1, 0.5))
        messages = cls.messages(sensor, "", 0.1)
        cls.fill(sensor, messages, np.full(sensor.columns, 2.0))
        return messages[0]


def to_scan(cloud: PointCloud2, sensor: PointCloudSensor) -> Scan:
    """The nearest point of the sensor's heights in each of its columns, inf where all points are of other heights.

    A column without any point, be it floor, says nothing and reads NaN.

    Args:
        cloud: in a frame at the sensor's mounting, with x to its front, or z where it is called optical.
        sensor: as the robot type has it.

    Raises:
        Fault: it is not made of float32 x, y, z, holds too many points, or too many columns hold none.
    """
    x, y, z = _coordinates(cloud)
    if OPTICAL in cloud.header.frame_id:
        x, y, z = z, -x, -y
    if sensor.place.upside_down:
        z = -z
    angle, distance = np.arctan2(y, x), np.hypot(x, y)
    inside = (np.abs(angle) <= sensor.fov / 2) & (distance > 0)  # many drivers put invalid points at the origin
    column = np.floor((angle[inside] / sensor.fov + 0.5) * sensor.columns).astype(int)
    column = np.minimum(column, sensor.columns - 1)
    ranges = np.full(sensor.columns, np.nan)
    ranges[column] = np.inf
    low, high = sensor.heights
    counts = (low <= z[inside]) & (z[inside] <= high)
    np.minimum.at(ranges, column[counts], distance[inside][counts])
    silent = sensor.columns - np.count_nonzero(ranges >= sensor.min_range)
    if silent > MAX_INVALID * sensor.columns:
        raise malformed(
            f"{silent} of {sensor.columns} columns of points hold no point, or one nearer than {sensor.min_range:g} m; "
            "check the sensor, its frame and the robot type's fov"
        )
    return sensor.scan(ranges)


def _coordinates(cloud: PointCloud2) -> list[np.ndarray]:
    """x, y and z of all points that are finite, (points,) [m]."""
    offsets = {field.name: field.offset for field in cloud.fields if field.datatype == PointField.FLOAT32}
    if cloud.is_bigendian or not offsets.keys() >= set(COORDINATES):
        raise malformed("points has no x, y, z of type float32, lowest byte first; set that in the sensor's driver")
    count = cloud.width * cloud.height
    if not count:
        return [np.empty(0)] * 3
    if count > MAX_POINTS:
        raise malformed(f"points holds {count} points, at most {MAX_POINTS} are taken; thin it out in the driver")
    starts = [offsets[name] for name in COORDINATES]
    fits = max(starts) + 4 <= cloud.point_step and cloud.width * cloud.point_step <= cloud.row_step
    if not fits or cloud.height * cloud.row_step > len(cloud.data):
        raise malformed(
            f"points holds {len(cloud.data)} bytes, too few for {cloud.height} rows of {cloud.row_step} bytes with "
            f"{cloud.width} points of {cloud.point_step} bytes each; check the sensor's driver"
        )
    layout = np.dtype(
        {"names": list(COORDINATES), "formats": ["<f4"] * 3, "offsets": starts, "itemsize": cloud.point_step}
    )
    strides = (cloud.row_step, cloud.point_step)
    rows = np.ndarray((cloud.height, cloud.width), layout, cloud.data, strides=strides)
    points = np.stack([rows[name].ravel() for name in COORDINATES])
    return list(points[:, np.isfinite(points).all(0)].astype(float))
