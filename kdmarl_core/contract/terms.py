"""Observation terms: pure functions from raw sensor arrays to float32 vectors.

The training simulator and the robot call the same functions, so there is no second implementation to
drift. Every function is batched over leading dimensions ``...``. Axes follow REP-103: x forward, y left,
angles counter-clockwise from x.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, NamedTuple

import msgspec
import numpy as np

from kdmarl_core.contract.errors import KdmarlError
from kdmarl_core.contract.spaces import ActionSpace, Discrete, Positive

NEAR_GOAL = 0.1
"""Distance [m] below which the direction to the goal fades to zero, so that noise does not turn the robot."""

MAX_ANGLE = 4 * math.pi
"""Farthest angle of a beam, either way [rad]: drivers count from 0 or from the middle, and some of them twice."""

Count = Annotated[int, msgspec.Meta(ge=1, le=4096)]
Age = Annotated[int, msgspec.Meta(ge=0, le=100)]


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


class Readings(NamedTuple):
    """Raw sensor arrays of one robot or a batch of robots; None where a robot has no such sensor."""

    scan: Scan | None = None
    ranges: np.ndarray | None = None
    """(..., sensors) [m], in the order of the robot type's bearings"""
    goal: np.ndarray | None = None
    """(..., 2) position of the goal in the robot frame [m]"""
    velocity: np.ndarray | None = None
    """(..., 2) measured forward speed and yaw rate [m/s, rad/s]"""
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

    def past(self, age: int) -> Readings:
        """The readings ``age`` control periods ago; the oldest there are if the history is shorter."""
        if age == 0 or not self.history:
            return self
        return self.history[min(age, len(self.history)) - 1]


class _Term(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="term"):
    """Base of all terms: ``size`` values, computed from ``Readings``."""


class Lidar(_Term, frozen=True, tag="lidar"):
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
        return lidar(_given(readings.scan, "lidar", "a scan"), self.sectors, self.range, self.fov)


class RangeSensors(_Term, frozen=True, tag="range_sensors"):
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
        return range_sensors(_given(readings.ranges, "range_sensors", "ranges"), self.count, self.range)


class Goal(_Term, frozen=True, tag="goal"):
    """Distance to the goal [m] and the unit vector to it, in the robot frame."""

    range: Positive
    """farther goals read as this distance [m]"""

    @property
    def size(self) -> int:
        """Number of values."""
        return 3

    def compute(self, readings: Readings) -> np.ndarray:
        """See :func:`goal`."""
        return goal(_given(readings.goal, "goal", "a goal position"), self.range)


class Velocity(_Term, frozen=True, tag="velocity"):
    """Measured forward speed [m/s] and yaw rate [rad/s]."""

    @property
    def size(self) -> int:
        """Number of values."""
        return 2

    def compute(self, readings: Readings) -> np.ndarray:
        """The measured velocity as float32, (..., 2) [m/s, rad/s]."""
        return np.asarray(_given(readings.velocity, "velocity", "a velocity"), np.float32)


class Neighbors(_Term, frozen=True, tag="neighbors"):
    """The nearest ``count`` robots within ``range``: x, y [m], cos yaw, sin yaw, present (0 or 1) each.

    With ``motion`` also each one's velocity along x and y [m/s] and radius [m], which simulation knows.
    """

    count: Count
    range: Positive
    """robots farther than this are not seen [m]"""
    motion: bool = False

    @property
    def size(self) -> int:
        """Number of values."""
        return (8 if self.motion else 5) * self.count

    def compute(self, readings: Readings) -> np.ndarray:
        """See :func:`neighbors`."""
        poses = _given(readings.neighbors, "neighbors", "neighbor poses")
        return neighbors(poses, self.count, self.range, self.motion)


class Targets(_Term, frozen=True, tag="targets"):
    """``count`` places that the team is to cover, nearest first: x, y [m], present (0 or 1) each.

    With ``others`` also how far the nearest other robot is from each place [m], from the neighbors' poses; then first
    come the places that no other robot is nearer to, and after these those to which one is least nearer.
    """

    count: Count
    range: Positive
    """farther ones read as at this distance [m], also for others"""
    others: bool = False

    @property
    def size(self) -> int:
        """Number of values."""
        return (4 if self.others else 3) * self.count

    def compute(self, readings: Readings) -> np.ndarray:
        """See :func:`targets`."""
        places = _given(readings.targets, "targets", "places to cover")
        poses = _given(readings.neighbors, "targets", "neighbor poses, having others: true") if self.others else None
        return targets(places, self.count, self.range, poses)


class PreviousAction(_Term, frozen=True, tag="previous_action"):
    """The last command, in the action space's units."""

    count: Count = 2

    @property
    def size(self) -> int:
        """Number of values."""
        return self.count

    def compute(self, readings: Readings) -> np.ndarray:
        """The last command as float32, (..., count)."""
        return np.asarray(_given(readings.previous_action, "previous_action", "the last command"), np.float32)


class Vector(_Term, frozen=True, tag="vector"):
    """A vector that a simulator gives as it is, in its own order and units; no sensor of a robot gives it.

    Benchmark tasks of other projects define their observations this way.
    """

    size: Count

    def compute(self, readings: Readings) -> np.ndarray:
        """The vector as float32, (..., size)."""
        return np.asarray(_given(readings.vector, "vector", "a simulator's vector"), np.float32)


class ActionMask(_Term, frozen=True, tag="action_mask"):
    """Which of ``count`` numbered actions may be chosen now: 1, or 0 where not.

    A policy that observes it never chooses another action (as long as there is one); see :func:`action_mask`.
    """

    count: Count

    @property
    def size(self) -> int:
        """Number of values."""
        return self.count

    def compute(self, readings: Readings) -> np.ndarray:
        """The mask as float32, (..., count)."""
        return np.asarray(_given(readings.available, "action_mask", "the available actions"), np.float32)


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


def neighbors(poses: np.ndarray, count: int, max_range: float, motion: bool = False) -> np.ndarray:
    """The nearest ``count`` robots within ``max_range``, nearest first, zero-padded.

    Args:
        poses: (..., robots, 3) x, y, yaw in the robot frame [m, m, rad], or (..., robots, 6) with velocity
            along x and y [m/s] and radius [m]; rows with NaN are absent.
        count: how many to keep.
        max_range: [m].
        motion: give velocities and radii too.

    Returns:
        (..., 5 * count) float32: x, y [m], cos yaw, sin yaw, present, for each; with ``motion``
        (..., 8 * count), velocity along x and y [m/s] and radius [m] after those.

    Raises:
        KdmarlError: ``motion`` is asked of poses alone.
    """
    poses = np.asarray(poses, np.float32)
    if motion and poses.shape[-1] != 6:
        raise KdmarlError("neighbors: the term has motion: true, and only poses are given; only simulation has more")
    distance = np.hypot(poses[..., 0], poses[..., 1])
    distance = np.where(np.isfinite(poses).all(-1) & (distance <= max_range), distance, np.inf)
    order = np.argsort(distance, axis=-1, kind="stable")[..., :count]
    poses = np.take_along_axis(poses, order[..., None], axis=-2)
    present = np.isfinite(np.take_along_axis(distance, order, axis=-1))
    yaw = poses[..., 2]
    rows = np.stack([poses[..., 0], poses[..., 1], np.cos(yaw), np.sin(yaw), np.ones_like(yaw)], axis=-1)
    if motion:
        rows = np.concatenate([rows, poses[..., 3:]], axis=-1)
    out = np.zeros((*poses.shape[:-2], count, rows.shape[-1]), np.float32)
    out[..., : order.shape[-1], :] = np.where(present[..., None], rows, 0)
    return out.reshape(*poses.shape[:-2], -1)


def needs_neighbors(term: Term) -> bool:
    """Whether a term is made from the other robots' poses."""
    return isinstance(term, Neighbors) or (isinstance(term, Targets) and term.others)


def targets(places: np.ndarray, count: int, max_range: float, poses: np.ndarray | None = None) -> np.ndarray:
    """``count`` places, nearest first, zero-padded.

    Args:
        places: (..., targets, 2) x, y in the robot frame [m].
        count: how many to keep.
        max_range: farther ones are drawn in to this distance [m].
        poses: of the other robots as for :func:`neighbors`. With them, places that no other robot is nearer to come
            first, nearest first; then the rest, by how much nearer the nearest other robot is.

    Returns:
        (..., 3 * count) float32: x, y [m], present, for each; with ``poses`` (..., 4 * count), after those the
        nearest other robot's distance from the place [m], at most ``max_range``.
    """
    places = np.asarray(places, np.float32)
    distance = rank = np.hypot(places[..., 0], places[..., 1])
    parts = [places * (max_range / np.maximum(distance, max_range))[..., None], np.ones_like(places[..., :1])]
    if poses is not None:
        others = _nearest(places, np.asarray(poses, np.float32)[..., :2])
        # Rising with the distance from -1 to 0, so before all places that another robot is nearer to.
        rank = np.where(distance <= others, -1 / (1 + distance), distance - others)
        parts.append(np.minimum(others, max_range)[..., None])
    order = np.argsort(rank, axis=-1, kind="stable")[..., :count, None]
    rows = np.take_along_axis(np.concatenate(parts, axis=-1), order, axis=-2)
    out = np.zeros((*places.shape[:-2], count, rows.shape[-1]), np.float32)
    out[..., : rows.shape[-2], :] = rows
    return out.reshape(*places.shape[:-2], -1)


def _nearest(places: np.ndarray, robots: np.ndarray) -> np.ndarray:
    """(..., places) from each place (..., places, 2) to the nearest of robots (..., robots, 2) [m], inf without one."""
    offset = places[..., :, None, :] - robots[..., None, :, :]
    distance = np.hypot(offset[..., 0], offset[..., 1])
    return np.where(np.isfinite(distance), distance, np.inf).min(axis=-1, initial=np.inf)


def _now_and_past(term: Lidar | RangeSensors, readings: Readings) -> np.ndarray:
    if not term.past:
        return term.at(readings)
    return np.concatenate([term.at(readings), term.at(readings.past(term.past))], axis=-1)


def _given(reading: object, term: str, what: str):  # type: ignore[no-untyped-def]
    if reading is None:
        raise KdmarlError(f"observation term '{term}' needs {what}, which this robot does not give")
    return reading
