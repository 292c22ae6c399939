"""Definitions of contact, collision, arrival and coverage, shared by training and judged runs.

A run is sampled periodically, first one period after its start and last at its end: by the training simulator in every
control period, by the judge every 0.05 s. At every sample:

- A robot's *gap* is the distance from its body, a disc, to the nearest wall, pillar or other robot. In training it is
  the minimum since the previous sample.
- A robot is *in contact* while its gap is below ``CONTACT``. When that begins, it has a *collision*; the next one can
  begin only after a gap of at least ``REARM``, whatever it touches in between: a robot that another one pushes along a
  wall has one collision, and the other one has its own.
- A robot has *arrived* while it is within the tolerance of its goal. Its *time to goal* is the first sample from which
  it stays there until the end; it has none if it is elsewhere at the end.
- Where robots divide places among themselves, a robot's goal is the place that :func:`share_out` assigns to it from all
  robots' positions at the previous sample. A place is *covered* while any robot is within the tolerance of it.

Pure functions of numpy arrays. Leading dimensions, written (...), may be environments, times, or none.
"""

from __future__ import annotations

import numpy as np

from kdmarl_core.contract import World

CONTACT = 0.01
"""Gap below which a robot is in contact [m]."""
REARM = 0.05
"""Gap after which the next contact is a new collision [m]."""


def gaps(xy: np.ndarray, radius: np.ndarray, world: World | None) -> np.ndarray:
    """Distance from every robot's body to the nearest obstacle or other robot; negative where they overlap.

    Obstacles are the sides of the arena (outside of it everything is in contact), pillars, and inner walls, which are
    lines. The training simulator computes the same in compiled code (``envs/robots/kernels.py``).

    Args:
        xy: (T, N, 2) positions of the robots [m].
        radius: (N,) of their bodies [m].
        world: arena and obstacles; None if there are only robots.

    Returns:
        (T, N) [m]; inf where there is nothing to hit.
    """
    least = np.full(xy.shape[:2], np.inf)
    if world:
        least = np.minimum(least, (np.array(world.size) / 2 - np.abs(xy)).min(axis=-1))
        for x, y, disc_radius in world.discs:
            least = np.minimum(least, _length(xy - (x, y)) - disc_radius)
        for x1, y1, x2, y2 in world.walls:
            least = np.minimum(least, _segment_distance(xy, np.array([x1, y1]), np.array([x2, y2])))
    for index in range(len(radius)):
        between = _length(xy - xy[:, index, None]) - radius[index]
        between[:, index] = np.inf
        least = np.minimum(least, between)
    return least - radius


def in_contact(gap: np.ndarray) -> np.ndarray:
    """(...) bool: which robots are in contact, by their gaps (...) [m]."""
    return gap < CONTACT


def collisions(gap: np.ndarray, touching: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which robots begin a collision at this sample.

    Args:
        gap: (...) at this sample [m].
        touching: (...) bool, this function's second result for the previous sample; all False at the start.

    Returns:
        (...) bool, a collision begins; and (...) bool, a contact has begun and is not over yet.
    """
    contact = in_contact(gap)
    return contact & ~touching, contact | (touching & (gap < REARM))


def arrived(distance: np.ndarray, tolerance: float) -> np.ndarray:
    """(...) bool: which robots are at their goals, by their distances (...) to them [m] and the tolerance [m]."""
    return distance <= tolerance


def arrival_times(there: np.ndarray, since: np.ndarray, now: np.ndarray | float) -> np.ndarray:
    """Since when robots have been at their goals, (...) [s]; NaN for those that are elsewhere.

    Args:
        there: (...) bool, which robots are there at this sample.
        since: (...) this function's result for the previous sample [s]; all NaN at the start.
        now: time of this sample since the start [s].
    """
    return np.where(there, np.where(np.isnan(since), now, since), np.nan)


def distances(xy: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Distances from every robot (..., N, 2) to every place (..., M, 2), (..., N, M) [m]."""
    return _length(places[..., None, :, :] - xy[..., :, None, :])


def share_out(distances: np.ndarray) -> np.ndarray:
    """Assign places to robots greedily: always the nearest of the remaining pairs of robot and place.

    Args:
        distances: (B, N, M) from each of N robots to each of M places [m].

    Returns:
        (B, N) int, the place of each robot; −1 for robots without a place, if there are too few.
    """
    left = distances.copy()
    batch, places = np.arange(left.shape[0]), left.shape[2]
    own = np.full(left.shape[:2], -1)
    for _ in range(min(left.shape[1:])):
        robot, place = np.divmod(left.reshape(len(left), -1).argmin(1), places)
        own[batch, robot] = place
        left[batch, robot] = np.inf
        left[batch, :, place] = np.inf
    return own


def covered(distances: np.ndarray, tolerance: float) -> np.ndarray:
    """(..., M) bool: which places are covered, by the distances (..., N, M) to them [m] and the tolerance [m]."""
    return distances.min(-2) <= tolerance


def _length(offset: np.ndarray) -> np.ndarray:
    """(...) lengths of vectors (..., 2)."""
    return np.hypot(offset[..., 0], offset[..., 1])


def _segment_distance(xy: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """(...) distances from points (..., 2) to a wall [m]."""
    along = end - start
    length2 = float(along @ along)
    share = np.clip((xy - start) @ along / length2, 0, 1) if length2 else np.zeros(xy.shape[:-1])
    return _length(xy - start - share[..., None] * along)
