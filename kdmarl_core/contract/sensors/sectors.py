"""A scan in sectors around the robot."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from kdmarl_core.contract.readings import Scan
from kdmarl_core.errors import KdmarlError

MAX_ANGLE = 4 * math.pi
"""Farthest angle of a beam, either way [rad]: drivers count from 0 or from the middle, and some of them twice."""


def lidar(scan: Scan, sectors: int, max_range: float, fov: float = 2 * math.pi) -> np.ndarray:
    """Min-pool a scan into ``sectors`` equal sectors of ``fov`` by angle.

    Invalid beams (NaN, below ``range_min``) say nothing; beams that saw nothing (inf, above
    ``range_max``) and distances beyond ``max_range`` read as ``max_range``; -inf reads as ``range_min``.
    A sector without a beam of its own takes the nearest beam, so coarse scans work too. Of a lidar that is not at the
    robot's centre, each beam stands for the arc up to half way to its neighbours, and each point of it counts in the
    sector where it is as seen from that centre.

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
    angles = scan.ranges.shape[-1], float(scan.angle_min), float(scan.angle_increment)
    gather, starts = _sector_plan(*angles, sectors, float(fov))
    if scan.x or scan.y:
        return around_centre(scan, sectors, max_range, fov)
    clean = _clean(scan, max_range)
    if gather is not None:
        clean = clean[..., gather]
    pooled = clean if clean.shape[-1] == sectors else np.minimum.reduceat(clean, starts, axis=-1)
    return np.maximum(pooled, 0, out=pooled)


def _clean(scan: Scan, max_range: float) -> np.ndarray:
    """Ranges up to ``max_range``, which stands for beams that saw nothing or say nothing, too."""
    ranges = np.asarray(scan.ranges, np.float32)
    farthest = np.float32(max_range)
    clean = np.minimum(ranges, farthest)
    if not scan.range_max >= max_range:
        clean = np.where(ranges <= scan.range_max, clean, farthest)
    valid = ranges >= scan.range_min
    if not valid.all():
        nearest = np.float32(min(scan.range_min, max_range))
        clean = np.where(valid, clean, np.where(ranges == -np.inf, nearest, farthest))
    return clean


def around_centre(scan: Scan, sectors: int, max_range: float, fov: float) -> np.ndarray:
    """Sectors around the robot's centre of a lidar elsewhere, or of one of several, which need not look everywhere.

    Args as :func:`lidar`'s; a sector that the lidar does not look into reads ``max_range``.

    Raises:
        KdmarlError: the scan is empty or its angles make no sense.
    """
    ranges, farthest = _clean(scan, max_range), np.float32(max_range)
    width, beams = fov / sectors, ranges.shape[-1]
    parts = max(1, math.ceil(2 * abs(scan.angle_increment) / width))
    beam, cos, sin = _beam_parts(beams, float(scan.angle_min), float(scan.angle_increment), parts)
    seen = ranges[..., beam]
    x, y = scan.x + seen * cos, scan.y + seen * sin
    sector = np.floor((np.arctan2(y, x) + np.float32(fov / 2)) % np.float32(2 * math.pi) / np.float32(width))
    distance = np.where((seen < farthest) & (sector < sectors), np.hypot(x, y), farthest)
    rows = math.prod(ranges.shape[:-1])
    pooled = np.full((rows, sectors), farthest, np.float32)
    sector = np.minimum(sector.astype(np.intp), sectors - 1).reshape(rows, -1)
    np.minimum.at(pooled.ravel(), (sector + sectors * np.arange(rows)[:, None]).ravel(), distance.ravel())
    return pooled.reshape(*ranges.shape[:-1], sectors)


@lru_cache(maxsize=64)
def _beam_parts(
    beams: int, angle_min: float, angle_increment: float, parts: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``parts`` rays for each beam, evenly over its arc: the beam, and cos and sin of the angle, (beams · parts,)."""
    _check_angles(beams, angle_min, angle_increment)
    beam = np.repeat(np.arange(beams), parts)
    within = (np.tile(np.arange(parts), beams) + 0.5) / parts - 0.5
    angle = angle_min + angle_increment * (beam + within)
    return beam, np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)


@lru_cache(maxsize=64)
def _sector_plan(
    beams: int, angle_min: float, angle_increment: float, sectors: int, fov: float
) -> tuple[np.ndarray | None, np.ndarray]:
    """Beam indices grouped by sector (None when they already are) and where each group starts."""
    _check_angles(beams, angle_min, angle_increment)
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


def _check_angles(beams: int, angle_min: float, angle_increment: float) -> None:
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
