"""A point cloud, of a depth camera, a time-of-flight camera or a 3D lidar, as distances in columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import msgspec
import numpy as np

from kdmarl_core.contract.bounds import Number, Positive
from kdmarl_core.contract.readings import Count, Readings, Scan, given
from kdmarl_core.contract.sensors.base import (
    Age,
    Fan,
    Opening,
    Reader,
    Returns,
    Sensor,
    SensorTerm,
    farthest,
    now_and_past,
)
from kdmarl_core.contract.sensors.lidar import of_scan
from kdmarl_core.contract.sensors.sectors import lidar

RAYS_IN_A_COLUMN = 3
"""Rays across a column in simulation; the nearest counts."""


class PointCloudSensor(Sensor, frozen=True, kw_only=True):
    """Points around the sensor; the nearest in each of ``columns`` equal parts of ``fov`` counts.

    Column 0 starts at ``-fov/2`` from its front and they follow counter-clockwise.
    """

    topics = ("points",)

    columns: Annotated[int, msgspec.Meta(ge=1, le=1024)]
    fov: Opening
    """[rad]"""
    heights: tuple[Number, Number]
    """lowest and highest point that counts, as seen from the sensor [m]; lower is floor, higher is not an obstacle"""

    def __post_init__(self) -> None:
        low, high = self.heights
        if not low < high:
            raise ValueError(f"heights is [{low}, {high}]; give [lowest, highest]")

    @property
    def angles(self) -> np.ndarray:
        """Of the columns' middles, (columns,) [rad]."""
        return (np.arange(self.columns) + 0.5) * (self.fov / self.columns) - self.fov / 2

    def scan(self, distance: np.ndarray) -> Scan:
        """The reading of distances in the columns, (..., columns) [m]; NaN is a column that says nothing."""
        width, place = self.fov / self.columns, self.place
        first = place.turned((width - self.fov) / 2)
        return Scan(distance, first, -width if place.upside_down else width, self.min_range, math.inf, place.x, place.y)

    @property
    def fans(self) -> tuple[Fan, ...]:
        """Some rays across each column; those of a sensor upside down the other way round."""
        count, place = self.columns * RAYS_IN_A_COLUMN, self.place
        first = place.yaw + (self.fov / count - self.fov) / 2
        return (Fan(first, self.fov / count, count, place.x, place.y),)

    def from_rays(self, angles: np.ndarray) -> Reader:
        """The nearest in each column."""
        if self.place.upside_down:
            return lambda distance: self.scan(self.nearest(distance[..., ::-1]))
        return lambda distance: self.scan(self.nearest(distance))

    @property
    def rays(self) -> np.ndarray:
        """Those of the fan, in the order of the columns."""
        (fan,) = self.fans
        return fan.angles[::-1] if self.place.upside_down else fan.angles

    def nearest(self, distance: np.ndarray) -> np.ndarray:
        """The nearest in each column, (..., columns) of (..., rays)."""
        return distance.reshape(*distance.shape[:-1], self.columns, RAYS_IN_A_COLUMN).min(-1)

    def returns(self, reading: Scan, within: float) -> Returns:
        """As of a scan with a beam in the middle of each column."""
        return of_scan(reading, self.range, within)


class PointCloud(SensorTerm, frozen=True, tag="point_cloud"):
    """Nearest point in each of ``sectors`` equal sectors of ``fov``, which start at ``-fov/2``, counter-clockwise."""

    sensor = "point_cloud"

    sectors: Count
    range: Positive
    """farther points read as this distance [m]"""
    fov: Opening
    """[rad]"""
    past: Age = 0
    """[control periods]; 0: the present only"""

    @property
    def size(self) -> int:
        """Number of values."""
        return self.sectors * (2 if self.past else 1)

    def compute(self, readings: Readings) -> np.ndarray:
        """See :func:`~kdmarl_core.contract.sensors.sectors.lidar`."""
        return now_and_past(self, readings)

    def at(self, readings: Readings) -> np.ndarray:
        """The sectors of one moment."""
        reading = given(readings.more.get("point_cloud"), "point_cloud", "a point cloud")
        return lidar(reading, self.sectors, self.range, self.fov)

    def lacks(self, carried: PointCloudSensor | None) -> list[str]:
        """Columns, range, field of view."""
        if carried is None:
            return ["the policy needs a point cloud, the robot has none"]
        found = []
        for what, wanted, there in (
            ("columns", self.sectors, carried.columns),
            ("m of range", self.range, carried.range),
            ("rad of field of view", self.fov, carried.fov),
        ):
            if there < wanted - 1e-6:
                found.append(f"the policy needs {wanted:.4g} {what} of a point cloud, the robot's has {there:.4g}")
        return found

    @classmethod
    def sample(cls, terms: Sequence[PointCloud], count: int, random: np.random.Generator) -> Scan:
        """Of as many columns as the terms have sectors."""
        columns, fov = max(term.sectors for term in terms), max(term.fov for term in terms)
        sensor = PointCloudSensor(columns=columns, range=farthest(terms), min_range=0.0, fov=fov, heights=(-1.0, 1.0))
        return sensor.scan(random.uniform(0, sensor.range, (count, columns)))
