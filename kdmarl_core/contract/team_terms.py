"""Observation terms of a team: the other robots, and the places that all share out."""

from __future__ import annotations

import numpy as np

from kdmarl_core.contract.bounds import Positive
from kdmarl_core.contract.readings import BaseTerm, Count, Readings, given
from kdmarl_core.errors import KdmarlError


class Neighbors(BaseTerm, frozen=True, tag="neighbors"):
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
        poses = given(readings.neighbors, "neighbors", "neighbor poses")
        return neighbors(poses, self.count, self.range, self.motion)


class Targets(BaseTerm, frozen=True, tag="targets"):
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
        places = given(readings.targets, "targets", "places to cover")
        poses = given(readings.neighbors, "targets", "neighbor poses, having others: true") if self.others else None
        return targets(places, self.count, self.range, poses)


def needs_neighbors(term: BaseTerm) -> bool:
    """Whether a term is made from the other robots' poses."""
    return isinstance(term, Neighbors) or (isinstance(term, Targets) and term.others)


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
