"""A planar lidar: distances all around, or in a field of view."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated

import msgspec
import numpy as np

from kdmarl_core.contract.bounds import Positive
from kdmarl_core.contract.readings import Count, Readings, Scan, given
from kdmarl_core.contract.sensors.base import (
    NOTHING,
    Age,
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
from kdmarl_core.errors import KdmarlError

MAX_ANGLE = 4 * math.pi
"""Farthest angle of a beam, either way [rad]: drivers count from 0 or from the middle, and some of them twice."""

ARCS = 24
"""Parts of a random scan in which all beams read the same: were all different, sectors would only see near ones."""
BEAMS_PER_ARC = 30


class LidarSensor(Sensor, frozen=True, kw_only=True):
    """A planar lidar at the robot's centre; beam i points at ``-fov/2 + i·fov/beams``."""

    beams: Annotated[int, msgspec.Meta(ge=1, le=4096)]
    fov: Opening = 2 * math.pi
    """[rad]"""

    @property
    def angle_min(self) -> float:
        """Angle of the first beam [rad]."""
        return -self.fov / 2

    @property
    def angle_increment(self) -> float:
        """Angle from beam to beam [rad]."""
        return self.fov / self.beams

    @property
    def fan(self) -> Fan:
        """Its beams, which are cast for other sensors, too."""
        return Fan(self.angle_min, self.angle_increment, self.beams)

    def from_rays(self, angles: np.ndarray) -> Reader:
        """A scan of all the rays."""
        return lambda distance: Scan(distance, self.angle_min, self.angle_increment, self.min_range, self.range)

    @property
    def rays(self) -> np.ndarray:
        """The beams' angles."""
        return self.fan.angles

    def returns(self, reading: Scan, within: float) -> Returns:
        """See :func:`of_scan`."""
        return of_scan(reading, self.range, within)


class Lidar(SensorTerm, frozen=True, tag="lidar"):
    """Nearest obstacle in each of ``sectors`` equal sectors of ``fov``, whatever the scan's beams.

    Sector 0 starts at ``-fov/2`` and they follow counter-clockwise. With ``past``, the sectors of that many
    control periods ago follow, so that a policy without memory can tell what moves.
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
        """See :func:`lidar`."""
        return now_and_past(self, readings)

    def at(self, readings: Readings) -> np.ndarray:
        """The sectors of one moment."""
        return lidar(given(readings.scan, "lidar", "a scan"), self.sectors, self.range, self.fov)

    def lacks(self, carried: LidarSensor | None) -> list[str]:
        """A lidar, range, field of view."""
        if carried is None:
            return ["the policy needs a lidar, the robot has none"]
        found = []
        if carried.range < self.range - 1e-6:
            found.append(
                f"the policy needs a lidar that sees {self.range:g} m far, the robot's sees {carried.range:g} m"
            )
        if carried.fov < self.fov - 1e-6:
            found.append(
                f"the policy needs a lidar with a field of view of {self.fov:.2f} rad, "
                f"the robot's has {carried.fov:.2f} rad"
            )
        return found

    def untrainable(self, carried: LidarSensor | None) -> str:
        """No lidar, or too short a range."""
        if carried is None:
            return "has a lidar term, the robot has no lidar; remove it"
        return out_of_reach(self.range, carried.range)

    @classmethod
    def sample(cls, terms: Sequence[Lidar], count: int, random: np.random.Generator) -> Scan:
        """A scan in arcs, all around."""
        sees = farthest(terms)
        arcs = random.uniform(0, sees, (count, ARCS))
        return Scan(np.repeat(arcs, BEAMS_PER_ARC, -1), -math.pi, 2 * math.pi / (ARCS * BEAMS_PER_ARC), 0.0, sees)


def lidar(scan: Scan, sectors: int, max_range: float, fov: float = 2 * math.pi) -> np.ndarray:
    """Min-pool a scan into ``sectors`` equal sectors of ``fov`` by angle.

    Invalid beams (NaN, below ``range_min``) say nothing; beams that saw nothing (inf, above
    ``range_max``) and distances beyond ``max_range`` read as ``max_range``; -inf reads as ``range_min``.
    A sector without a beam of its own takes the nearest beam, so coarse scans work too.

    Args:
        scan: ranges of shape (..., beams) [m].
        sectors: number of sectors.
        max_range: clipping distance [m].
        fov: angle that the sectors cover, centred on x [rad].

    Returns:
        (..., sectors) float32 [m].

    Raises:
        KdmarlError: the scan is empty or does not cover ``fov``.
    """
    ranges = np.asarray(scan.ranges, np.float32)
    gather, starts = _sector_plan(
        ranges.shape[-1], float(scan.angle_min), float(scan.angle_increment), sectors, float(fov)
    )
    farthest = np.float32(max_range)
    clean = np.minimum(ranges, farthest)
    if not scan.range_max >= max_range:
        clean = np.where(ranges <= scan.range_max, clean, farthest)
    valid = ranges >= scan.range_min
    if not valid.all():
        nearest = np.float32(min(scan.range_min, max_range))
        clean = np.where(valid, clean, np.where(ranges == -np.inf, nearest, farthest))
    if gather is not None:
        clean = clean[..., gather]
    pooled = clean if clean.shape[-1] == sectors else np.minimum.reduceat(clean, starts, axis=-1)
    return np.maximum(pooled, 0, out=pooled)


@lru_cache(maxsize=64)
def _sector_plan(
    beams: int, angle_min: float, angle_increment: float, sectors: int, fov: float
) -> tuple[np.ndarray | None, np.ndarray]:
    """Beam indices grouped by sector (None when they already are) and where each group starts."""
    if beams == 0:
        raise KdmarlError("scan has no beams; check the lidar driver")
    ends = (angle_min, angle_min + angle_increment * (beams - 1))
    if not all(-MAX_ANGLE <= angle <= MAX_ANGLE for angle in ends) or (
        beams > 1 and angle_increment == 0
    ):  # NaN as well
        raise KdmarlError(
            f"scan of {beams} beams has angle_min {angle_min} and angle_increment {angle_increment} rad; both must "
            "be finite and within two turns, the increment not zero"
        )
    width = fov / sectors
    angles = angle_min + angle_increment * np.arange(beams)
    centres = -fov / 2 + width * (np.arange(sectors) + 0.5)
    # A tiny shift keeps beams that lie on a boundary on one side of it in spite of rounding.
    offset = (angles + fov / 2 + 1e-5) % (2 * math.pi)
    sector = np.floor(offset / width).astype(int)
    groups = [np.flatnonzero(sector == index) for index in range(sectors)]
    for index, centre in enumerate(centres):
        if groups[index].size == 0:
            away = np.abs((angles - centre + math.pi) % (2 * math.pi) - math.pi)
            nearest = int(away.argmin())
            if away[nearest] > max(width, abs(angle_increment)) / 2 + 1e-4:
                raise KdmarlError(
                    f"scan of {beams} beams from {angle_min:.2f} by {angle_increment:.4f} rad sees nothing at "
                    f"{centre:.2f} rad; the policy needs {math.degrees(fov):.0f} degrees around the front"
                )
            groups[index] = np.array([nearest])
    gather = np.concatenate(groups)
    starts = np.cumsum([0] + [group.size for group in groups[:-1]])
    identity = gather.size == beams and bool((gather == np.arange(beams)).all())
    return (None if identity else gather), starts


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
    return Returns(distance, scan.angle_min + scan.angle_increment * near, np.full(near.size, half))


def _filled(ranges: np.ndarray, silent: np.ndarray) -> np.ndarray:
    """``ranges`` with the nearer of the next values to both sides where they are ``silent``; inf if there are none."""
    known = np.flatnonzero(~silent)
    if known.size == 0:
        return np.full_like(ranges, np.inf)
    beams = np.arange(ranges.size)
    after = known[np.minimum(np.searchsorted(known, beams), known.size - 1)]
    before = known[np.maximum(np.searchsorted(known, beams, "right") - 1, 0)]
    return np.where(silent, np.minimum(ranges[before], ranges[after]), ranges)
