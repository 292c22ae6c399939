"""What a robot's sensors say at one moment, and the base of the terms that are made of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
import numpy as np

from kdmarl_core.errors import KdmarlError

Count = Annotated[int, msgspec.Meta(ge=1, le=4096)]
T = TypeVar("T")

OWN_FIELD = {"lidar": "scan", "range_sensors": "ranges"}
"""Name of a sensor → the field of :class:`Readings` that is its own; other sensors have a place in ``more``."""
NO_MORE: Mapping[str, Any] = {}


class Scan(NamedTuple):
    """One planar scan, or a batch of scans of one geometry, as in ``sensor_msgs/LaserScan``."""

    ranges: np.ndarray
    """(..., beams) [m]; may hold NaN (invalid), inf (nothing seen), -inf (too close), see REP-117"""
    angle_min: float
    """angle of the first beam [rad]"""
    angle_increment: float
    """angle from beam to beam [rad], negative when the lidar hangs upside down"""
    range_min: float
    """[m]"""
    range_max: float
    """[m]"""
    x: float = 0.0
    """of the lidar in the robot frame, as the angles are [m]"""
    y: float = 0.0
    """[m]"""


class Readings(NamedTuple):
    """Raw sensor arrays of one robot or a batch of robots; None where a robot has no such sensor."""

    scan: Scan | None = None
    ranges: np.ndarray | None = None
    """(..., sensors) [m], in the order of the robot type's bearings"""
    goal: np.ndarray | None = None
    """(..., 2) position of the goal in the robot frame [m]"""
    velocity: np.ndarray | None = None
    """(..., 2) measured forward speed and yaw rate [m/s, rad/s], or (..., 3) with the speed to the left [m/s] between
    them"""
    neighbors: np.ndarray | None = None
    """(..., robots, 3) x, y, yaw of other robots in the robot frame [m, m, rad]; NaN rows are absent; with
    (..., robots, 6) also their velocity over ground along x and y of that frame [m/s] and their radius [m]"""
    targets: np.ndarray | None = None
    """(..., targets, 2) x, y of the places to cover in the robot frame [m]"""
    previous_action: np.ndarray | None = None
    """(..., action) last command given, in the action space's units"""
    vector: np.ndarray | None = None
    """(..., values) what a simulator gives as it is, in its own units"""
    available: np.ndarray | None = None
    """(..., actions) which of the numbered actions may be chosen now: 1, or 0 where not"""
    history: tuple[Readings, ...] = ()
    """readings of earlier control periods, the most recent first"""
    ages: Mapping[str, tuple[float, float]] = NO_MORE
    """name of a sensor → how old its reading is, no less and no more than [s]; of those not named, 0"""
    time: float | None = None
    """of the control cycle, on a clock that goes forward [s]; None: a control period after the one before"""
    more: Mapping[str, Any] = NO_MORE
    """name of a sensor → its reading, of those without a field of their own"""

    def past(self, age: int) -> Readings:
        """The readings ``age`` control periods ago; the oldest there are if the history is shorter."""
        if age == 0 or not self.history:
            return self
        return self.history[min(age, len(self.history)) - 1]

    @classmethod
    def of_sensors(cls, said: Mapping[str, Any]) -> Readings:
        """The readings that sensors give, by their names in robot types."""
        own = {field: said[sensor] for sensor, field in OWN_FIELD.items() if sensor in said}
        return cls(**own, more={sensor: reading for sensor, reading in said.items() if sensor not in OWN_FIELD})

    def further(self, kind: str) -> list[Any]:
        """The readings of a robot's further sensors of one kind, in the order of its type."""
        return [reading for sensor, reading in self.more.items() if sensor.startswith(f"{kind}.")]

    def said(self, sensor: str) -> Any:
        """The reading of a sensor, by its name in robot types; None where there is none."""
        field = OWN_FIELD.get(sensor)
        return self.more.get(sensor) if field is None else getattr(self, field)


class BaseTerm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="term"):
    """Base of all terms: ``size`` values, computed from ``Readings``."""


def given(reading: T | None, term: str, what: str) -> T:
    """The reading that a term needs.

    Raises:
        KdmarlError: there is none.
    """
    if reading is None:
        raise KdmarlError(f"observation term '{term}' needs {what}, which this robot does not give")
    return reading
