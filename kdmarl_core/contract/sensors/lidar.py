"""A planar lidar: distances all around, or in a field of view."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Literal

import msgspec
import numpy as np

from kdmarl_core.contract.bounds import NonNegative, Positive
from kdmarl_core.contract.readings import Count, Readings, Scan, given
from kdmarl_core.contract.sensors.base import (
    NOTHING,
    Age,
    Angle,
    Fan,
    Opening,
    Reader,
    Returns,
    Sensor,
    SensorTerm,
    farthest,
    now_and_past,
    out_of_reach,
)
from kdmarl_core.contract.sensors.sectors import around_centre, lidar

NEXT_TO = 0.05
"""How near to a lidar, from the robot's centre, the others have to see [m]."""
SAME_FIELD = 1e-2
"""Difference of fields of view that is only rounding [rad]: 6.28 is all around."""

ARCS = 24
"""Parts of a random scan in which all beams read the same: were all different, sectors would only see near ones."""
BEAMS_PER_ARC = 30


Span = tuple[Angle, Angle]


class LidarSensor(Sensor, frozen=True, kw_only=True):
    """A planar lidar; beam i points at ``-fov/2 + i·fov/beams`` from its own front."""

    topics = ("scan",)

    beams: Annotated[int, msgspec.Meta(ge=1, le=4096)]
    fov: Opening = 2 * math.pi
    """[rad]"""
    hidden: list[Span] | msgspec.UnsetType = msgspec.UNSET
    """angles between which parts of the robot are in its way, [from, to] as its messages count them [rad]"""
    ignore_below: NonNegative | msgspec.UnsetType = msgspec.UNSET
    """what it sees nearer than this is its robot [m]"""
    misses: Literal["inf", "nan", "zero"] | msgspec.UnsetType = msgspec.UNSET
    """what its messages say of a beam that meets nothing, inf unless given"""

    def __post_init__(self) -> None:
        for low, high in self.hidden or ():
            if not low < high <= low + 2 * math.pi:
                raise ValueError(f"hidden has [{low}, {high}]; give [from, to] counter-clockwise, up to a turn apart")

    @property
    def angle_min(self) -> float:
        """Angle of the first beam [rad]."""
        return -self.fov / 2

    @property
    def angle_increment(self) -> float:
        """Angle from beam to beam [rad]."""
        return self.fov / self.beams

    @property
    def own_angles(self) -> np.ndarray:
        """The beams' angles as its messages count them, (beams,) [rad]."""
        return self.angle_min + self.angle_increment * np.arange(self.beams)

    @property
    def fans(self) -> tuple[Fan, ...]:
        """Its beams, which are cast for other sensors, too, if it is at the centre."""
        place = self.place
        first = self.own_angles[-1] if place.upside_down else self.angle_min
        return (Fan(float(place.turned(first)), self.angle_increment, self.beams, place.x, place.y),)

    def from_rays(self, angles: np.ndarray) -> Reader:
        """A scan of all the rays, of which those that its robot hides say nothing."""
        place = self.place
        hidden = self.hides(self.angle_min, self.angle_increment, self.beams)
        if place.upside_down:
            hidden = hidden[::-1]
        about = (float(angles[0]), self.angle_increment, self.min_range, self.range, place.x, place.y)
        if not hidden.any():
            return lambda distance: Scan(distance, *about)
        return lambda distance: Scan(np.where(hidden, np.float32(np.nan), distance), *about)

    def looks(self, places: np.ndarray) -> np.ndarray:
        """Whether its field of view holds some places of the robot frame, (..., 2) [m] to (...) bool."""
        bearing = np.arctan2(places[..., 1] - self.place.y, places[..., 0] - self.place.x)
        off = np.abs((bearing - self.place.yaw + math.pi) % (2 * math.pi) - math.pi)
        return np.asarray(off <= self.fov / 2 + SAME_FIELD)

    @property
    def rays(self) -> np.ndarray:
        """The beams' angles."""
        return np.asarray(self.place.turned(self.own_angles))

    def hides(self, angle_min: float, angle_increment: float, beams: int) -> np.ndarray:
        """Of which beams parts of the robot are in the way, (beams,) bool."""
        return _within(tuple(self.hidden or ()), angle_min, angle_increment, beams)

    def with_misses(self, ranges: np.ndarray) -> np.ndarray:
        """The ranges of a message, (beams,) float32 [m], in which a beam that met nothing reads inf."""
        if self.misses == "nan":
            return np.where(np.isnan(ranges), np.float32(np.inf), ranges)
        if self.misses == "zero":
            return np.where(ranges == 0, np.float32(np.inf), ranges)
        return ranges

    def as_sent(self, measured: np.ndarray) -> np.ndarray:
        """What its messages say where it has ``measured``, (beams,) float32 [m], with nothing of its robot seen."""
        sent = measured
        if self.misses in ("nan", "zero"):
            sent = np.where(np.isposinf(sent), np.float32(np.nan if self.misses == "nan" else 0), sent)
        if self.hidden:
            sent = np.where(
                self.hides(self.angle_min, self.angle_increment, self.beams), np.float32(self.min_range), sent
            )
        return sent

    def on_robot(self, scan: Scan) -> Scan:
        """A scan as its messages count angles, in the robot frame; beams that see the robot itself read NaN."""
        place, ranges = self.place, scan.ranges
        if self.ignore_below:
            itself = ranges < self.ignore_below
            if scan.range_min > self.ignore_below:  # -inf may be farther away than that
                itself &= ranges != -np.inf
            ranges = np.where(itself, np.float32(np.nan), ranges)
        if self.hidden:
            hidden = self.hides(scan.angle_min, scan.angle_increment, ranges.size)
            ranges = np.where(hidden, np.float32(np.nan), ranges)
        first, increment = place.turned(scan.angle_min), scan.angle_increment
        return Scan(ranges, first, -increment if place.upside_down else increment, *scan[3:5], x=place.x, y=place.y)

    def returns(self, reading: Scan, within: float) -> Returns:
        """See :func:`of_scan`."""
        return of_scan(reading, self.range, within)


@lru_cache(maxsize=64)
def _within(spans: tuple[Span, ...], angle_min: float, angle_increment: float, beams: int) -> np.ndarray:
    """Which beams look into one of the ``spans``, (beams,) bool."""
    angles = angle_min + angle_increment * np.arange(beams)
    inside = np.zeros(beams, bool)
    for low, high in spans:
        inside |= (angles - low) % (2 * math.pi) <= high - low
    return inside


class Lidar(SensorTerm, frozen=True, tag="lidar"):
    """Nearest obstacle in each of ``sectors`` equal sectors of ``fov``, whatever the scan's beams.

    Sector 0 starts at ``-fov/2`` and they follow counter-clockwise; angles and distances are from the robot's centre,
    wherever the lidar is. With ``past``, the sectors of that many control periods ago follow, so that a policy without
    memory can tell what moves.
    """

    sensor = "lidar"

    sectors: Count
    range: Positive
    """farther obstacles read as this distance [m]"""
    fov: Opening = 2 * math.pi
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
        """The sectors of one moment; of several lidars, the nearest that any of them sees."""
        scans = given(readings.scan, "lidar", "a scan"), *readings.further("lidar")
        if len(scans) == 1:
            return lidar(scans[0], self.sectors, self.range, self.fov)
        return np.minimum.reduce([around_centre(scan, self.sectors, self.range, self.fov) for scan in scans])

    def lacks(self, carried: LidarSensor | None, *more: LidarSensor) -> list[str]:
        """A lidar, range, field of view."""
        if carried is None:
            return ["the policy needs a lidar, the robot has none"]
        found = []
        reach = min(each.range for each in (carried, *more))
        if reach < self.range - 1e-6:
            found.append(f"the policy needs a lidar that sees {self.range:g} m far, the robot's sees {reach:g} m")
        if narrow := self._narrow(carried, *more):
            found.append(narrow)
        return found

    def _narrow(self, carried: LidarSensor, *more: LidarSensor) -> str:
        """That the lidars do not look all the way that the term does; empty if they do.

        Of several lidars every place around the robot has to be in one's sight, from as near as the lidars are.
        """
        if more:
            ways = np.linspace(-self.fov / 2, self.fov / 2, 721)
            nearest = max(math.hypot(each.place.x, each.place.y) for each in (carried, *more)) + NEXT_TO
            distances = np.linspace(nearest, max(self.range, nearest), 60)[:, None, None]
            places = distances * np.stack([np.cos(ways), np.sin(ways)], -1)
            seen = np.logical_or.reduce([each.looks(places) for each in (carried, *more)])
            blind = ways[~seen.all(0)]
            if not blind.size:
                return ""
            return (
                f"the policy needs lidars that look {self.fov / 2:.2f} rad to each side, none of the robot's looks to "
                f"{blind[np.abs(blind).argmin()]:.2f} rad"
            )
        yaw = math.remainder(carried.place.yaw, 2 * math.pi)
        if carried.fov >= 2 * math.pi - SAME_FIELD or abs(yaw) + self.fov / 2 <= carried.fov / 2 + SAME_FIELD:
            return ""
        return (
            f"the policy needs a lidar that looks {self.fov / 2:.2f} rad to each side, the robot's looks from "
            f"{yaw - carried.fov / 2:.2f} to {yaw + carried.fov / 2:.2f} rad"
        )

    def untrainable(self, carried: LidarSensor | None, *more: LidarSensor) -> str:
        """No lidar, too short a range, or another field of view."""
        if carried is None:
            return "has a lidar term, the robot has no lidar; remove it"
        reach = min(each.range for each in (carried, *more))
        return out_of_reach(self.range, reach) or self._narrow(carried, *more)

    @classmethod
    def sample(cls, terms: Sequence[Lidar], count: int, random: np.random.Generator) -> Scan:
        """A scan in arcs, all around."""
        sees = farthest(terms)
        arcs = random.uniform(0, sees, (count, ARCS))
        return Scan(np.repeat(arcs, BEAMS_PER_ARC, -1), -math.pi, 2 * math.pi / (ARCS * BEAMS_PER_ARC), 0.0, sees)


def of_scan(scan: Scan, sight: float, within: float) -> Returns:
    """Beams that saw something nearer than ``within`` [m], or see no farther.

    Each stands for all up to its neighbours: what lies between two beams is no farther away than they say. A beam that
    says nothing (NaN, or 0 where that is below ``range_min``) is taken for the nearer of the next ones that do. What is
    nearer than ``range_min`` counts at its distance: too near to be measured well, but there.

    Args:
        scan: of the lidar.
        sight: how far the lidar sees where the scan does not say [m].
        within: that matters [m].
    """
    farthest = scan.range_max if scan.range_max < math.inf else sight
    # Mostly nothing is near; beams that say nothing take a value of others.
    if min(farthest, float(np.fmin.reduce(scan.ranges, initial=np.inf))) >= within:
        return NOTHING
    ranges = np.asarray(scan.ranges, np.float64)
    silent = np.isnan(ranges) | ((ranges <= 0) & (ranges < scan.range_min) & (ranges != -np.inf))
    if silent.any():
        ranges = _filled(ranges, silent)
    near = np.flatnonzero(np.minimum(ranges, farthest) < within)  # -inf as well
    if near.size == 0:
        return NOTHING
    distance = np.where(ranges[near] == -np.inf, scan.range_min, np.minimum(ranges[near], farthest))
    half = min(abs(scan.angle_increment), math.pi)
    angle = scan.angle_min + scan.angle_increment * near
    return Returns(distance, angle, np.full(near.size, half), np.array([[scan.x], [scan.y]]))


def _filled(ranges: np.ndarray, silent: np.ndarray) -> np.ndarray:
    """``ranges`` with the nearer of the next values to both sides where they are ``silent``; inf if there are none."""
    known = np.flatnonzero(~silent)
    if known.size == 0:
        return np.full_like(ranges, np.inf)
    beams = np.arange(ranges.size)
    after = known[np.minimum(np.searchsorted(known, beams), known.size - 1)]
    before = known[np.maximum(np.searchsorted(known, beams, "right") - 1, 0)]
    return np.where(silent, np.minimum(ranges[before], ranges[after]), ranges)
