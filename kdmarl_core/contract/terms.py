"""Observation terms: pure functions from raw sensor arrays to float32 vectors.

The training simulator and the robot call the same functions, so there is no second implementation to
drift. Every function is batched over leading dimensions ``...``. Axes follow REP-103: x forward, y left,
angles counter-clockwise from x.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated

import msgspec
import numpy as np

from kdmarl_core.contract.readings import BaseTerm, Count, Readings, Scan, given
from kdmarl_core.contract.simulator_terms import ActionMask, Vector
from kdmarl_core.contract.spaces import ActionSpace, Discrete, Positive
from kdmarl_core.contract.team_terms import Neighbors, Targets
from kdmarl_core.errors import KdmarlError

NEAR_GOAL = 0.1
"""Distance [m] below which the direction to the goal fades to zero, so that noise does not turn the robot."""

MAX_ANGLE = 4 * math.pi
"""Farthest angle of a beam, either way [rad]: drivers count from 0 or from the middle, and some of them twice."""

Age = Annotated[int, msgspec.Meta(ge=0, le=100)]


class Lidar(BaseTerm, frozen=True, tag="lidar"):
    """Nearest obstacle in each of ``sectors`` equal sectors of ``fov``, whatever the scan's beams.

    Sector 0 starts at ``-fov/2`` and they follow counter-clockwise. With ``past``, the sectors of that many
    control periods ago follow, so that a policy without memory can tell what moves.
    """

    sectors: Count
    range: Positive
    """farther obstacles read as this distance [m]"""
    fov: Annotated[float, msgspec.Meta(gt=0, le=2 * math.pi + 1e-6)] = 2 * math.pi
    """[rad]"""
    past: Age = 0
    """[control periods]; 0: the present only"""

    @property
    def size(self) -> int:
        """Number of values."""
        return self.sectors * (2 if self.past else 1)

    def compute(self, readings: Readings) -> np.ndarray:
        """See :func:`lidar`."""
        return _now_and_past(self, readings)

    def at(self, readings: Readings) -> np.ndarray:
        """The sectors of one moment."""
        return lidar(given(readings.scan, "lidar", "a scan"), self.sectors, self.range, self.fov)


class RangeSensors(BaseTerm, frozen=True, tag="range_sensors"):
    """Distances of single range sensors (sonar, infrared, time of flight); ``past`` as in :class:`Lidar`."""

    count: Count
    range: Positive
    """farther obstacles read as this distance [m]"""
    past: Age = 0
    """[control periods]; 0: the present only"""

    @property
    def size(self) -> int:
        """Number of values."""
        return self.count * (2 if self.past else 1)

    def compute(self, readings: Readings) -> np.ndarray:
        """See :func:`range_sensors`."""
        return _now_and_past(self, readings)

    def at(self, readings: Readings) -> np.ndarray:
        """The distances of one moment."""
        return range_sensors(given(readings.ranges, "range_sensors", "ranges"), self.count, self.range)


class Goal(BaseTerm, frozen=True, tag="goal"):
    """Distance to the goal [m] and the unit vector to it, in the robot frame."""

    range: Positive
    """farther goals read as this distance [m]"""

    @property
    def size(self) -> int:
        """Number of values."""
        return 3

    def compute(self, readings: Readings) -> np.ndarray:
        """See :func:`goal`."""
        return goal(given(readings.goal, "goal", "a goal position"), self.range)


class Velocity(BaseTerm, frozen=True, tag="velocity"):
    """Measured forward speed [m/s] and yaw rate [rad/s]."""

    @property
    def size(self) -> int:
        """Number of values."""
        return 2

    def compute(self, readings: Readings) -> np.ndarray:
        """The measured velocity as float32, (..., 2) [m/s, rad/s]."""
        return np.asarray(given(readings.velocity, "velocity", "a velocity"), np.float32)


class PreviousAction(BaseTerm, frozen=True, tag="previous_action"):
    """The last command, in the action space's units."""

    count: Count = 2

    @property
    def size(self) -> int:
        """Number of values."""
        return self.count

    def compute(self, readings: Readings) -> np.ndarray:
        """The last command as float32, (..., count)."""
        return np.asarray(given(readings.previous_action, "previous_action", "the last command"), np.float32)


Term = Lidar | RangeSensors | Goal | Velocity | Neighbors | Targets | PreviousAction | Vector | ActionMask


def observation_size(terms: Sequence[Term]) -> int:
    """Length of the vector that :func:`observe` gives for ``terms``."""
    return sum(term.size for term in terms)


def history_length(terms: Sequence[Term]) -> int:
    """How many earlier readings ``terms`` look at."""
    return max((getattr(term, "past", 0) for term in terms), default=0)


def action_mask(terms: Sequence[Term], action: ActionSpace) -> slice | None:
    """Where the action mask lies in the vector that :func:`observe` gives for ``terms``; None when there is none.

    Raises:
        KdmarlError: there are two, or ``action`` has another number of actions.
    """
    found: slice | None = None
    start = 0
    for term in terms:
        if isinstance(term, ActionMask):
            actions = action.n if isinstance(action, Discrete) else 0
            if found or term.count != actions:
                what = "a second one" if found else f"one of {term.count}, and there are {actions} numbered actions"
                raise KdmarlError(f"action_mask: the observation has {what}; give one of as many as there are actions")
            found = slice(start, start + term.size)
        start += term.size
    return found


def observe(terms: Sequence[Term], readings: Readings, out: np.ndarray | None = None) -> np.ndarray:
    """Concatenate ``terms`` in order into one float32 vector, (..., observation_size).

    Raises:
        KdmarlError: a term's reading is missing, or has another length than the term says.
    """
    parts = [term.compute(readings) for term in terms]
    for term, part in zip(terms, parts, strict=True):
        if part.shape[-1] != term.size:
            name = type(term).__struct_config__.tag
            raise KdmarlError(f"{name}: got {part.shape[-1]} values, the policy expects {term.size}")
    return np.concatenate(parts, axis=-1, out=out)


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


def range_sensors(ranges: np.ndarray, count: int, max_range: float) -> np.ndarray:
    """Clip ``count`` single distances to [0, max_range]; NaN and inf read as ``max_range``.

    Args:
        ranges: (..., count) [m]; -inf means too close to measure (REP-117).
        count: number of sensors.
        max_range: clipping distance [m].

    Returns:
        (..., count) float32 [m].

    Raises:
        KdmarlError: another number of sensors.
    """
    ranges = np.asarray(ranges, np.float32)
    if ranges.shape[-1] != count:
        raise KdmarlError(f"range_sensors: got {ranges.shape[-1]} sensors, the policy expects {count}")
    return np.maximum(np.fmin(ranges, np.float32(max_range)), np.float32(0))


def goal(position: np.ndarray, max_range: float) -> np.ndarray:
    """Distance and direction to the goal.

    Args:
        position: (..., 2) goal in the robot frame [m].
        max_range: clipping distance [m].

    Returns:
        (..., 3) float32: distance [m], then the unit vector to the goal; the vector fades to zero within
        ``NEAR_GOAL``.
    """
    position = np.asarray(position, np.float32)
    distance = np.hypot(position[..., 0], position[..., 1])[..., None]
    return np.concatenate(
        [np.minimum(distance, np.float32(max_range)), position / np.maximum(distance, np.float32(NEAR_GOAL))], axis=-1
    )


def _now_and_past(term: Lidar | RangeSensors, readings: Readings) -> np.ndarray:
    if not term.past:
        return term.at(readings)
    return np.concatenate([term.at(readings), term.at(readings.past(term.past))], axis=-1)
