"""Random arenas: walls, pillars, starts and goals whose straight paths cross, or share one passage."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from kdmarl_core.envs.robots.kernels import segment_point

PASSAGE = 1.2
"""Least gap between obstacles, wide enough for the largest robot to pass with room to spare [m]."""
SHORTEST = 2.0
"""Least distance from a start to its goal [m]."""
APPROACH = 0.8
"""Starts and goals are at least this far from the wall with the passage [m]."""
TRIES = 100
"""For one place."""
ARENA_TRIES = 1000
"""For one arena in which every robot finds a place."""


@njit(cache=True)
def _clearance(x: float, y: float, side: float, discs: np.ndarray, walls: np.ndarray) -> float:
    """Distance from a point to the nearest boundary, pillar or inner wall [m]."""
    nearest = side / 2 - max(abs(x), abs(y))
    for k in range(discs.shape[0]):
        if discs[k, 2] > 0:
            nearest = min(nearest, math.hypot(x - discs[k, 0], y - discs[k, 1]) - discs[k, 2])
    for k in range(4, walls.shape[0]):
        if not math.isnan(walls[k, 0]):
            qx, qy = segment_point(x, y, walls[k, 0], walls[k, 1], walls[k, 2], walls[k, 3])
            nearest = min(nearest, math.hypot(x - qx, y - qy))
    return nearest


@njit(cache=True)
def _obstacles(
    rng: np.random.Generator,
    side: float,
    n_discs: int,
    n_walls: int,
    disc_radius: tuple[float, float],
    discs: np.ndarray,
    walls: np.ndarray,
) -> None:
    """Fill ``discs`` and the inner ``walls`` of one arena, leaving passages between them."""
    discs[:] = 0
    walls[:] = math.nan
    half = side / 2
    corners = ((-half, -half), (half, -half), (half, half), (-half, half))
    for k in range(4):
        walls[k, 0], walls[k, 1] = corners[k]
        walls[k, 2], walls[k, 3] = corners[(k + 1) % 4]
    for k in range(n_walls):
        for _ in range(TRIES):
            length, angle = rng.uniform(0.5, 1.5), rng.uniform(0.0, math.pi)
            x, y = rng.uniform(-half, half), rng.uniform(-half, half)
            dx, dy = length / 2 * math.cos(angle), length / 2 * math.sin(angle)
            clear = True
            for part in range(5):
                along = part / 2 - 1
                clear = clear and _clearance(x + along * dx, y + along * dy, side, discs, walls) > PASSAGE
            if clear:
                walls[4 + k] = (x - dx, y - dy, x + dx, y + dy)
                break
    for k in range(n_discs):
        for _ in range(TRIES):
            radius = rng.uniform(disc_radius[0], disc_radius[1])
            x, y = rng.uniform(-half, half), rng.uniform(-half, half)
            if _clearance(x, y, side, discs, walls) > radius + PASSAGE:
                discs[k] = (x, y, radius)
                break


@njit(cache=True)
def _apart(x: float, y: float, robot: int, margin: float, radius: np.ndarray, places: np.ndarray) -> bool:
    """Whether a robot at a point keeps ``margin`` to the places of those before it."""
    for j in range(robot):
        if not math.hypot(x - places[j, 0], y - places[j, 1]) > radius[robot] + radius[j] + margin:
            return False
    return True


@njit(cache=True)
def _place(
    rng: np.random.Generator,
    side: float,
    crossing: bool,
    margin: float,
    radius: np.ndarray,
    angles: np.ndarray,
    discs: np.ndarray,
    walls: np.ndarray,
    away: np.ndarray,
    out: np.ndarray,
) -> bool:
    """Put every robot somewhere free with ``margin`` around it; near ``angles`` on the rim if crossing.

    Places are at least ``SHORTEST`` from the same robot's row of ``away`` (NaN: anywhere).
    """
    for i in range(out.shape[0]):
        found = False
        for _ in range(TRIES):
            if crossing:
                rim = side / 2 - radius[i] - rng.uniform(margin, margin + 0.7)
                angle = angles[i] + rng.normal(0.0, 0.25)
                x, y = rim * math.cos(angle), rim * math.sin(angle)
            else:
                x, y = rng.uniform(-side / 2, side / 2), rng.uniform(-side / 2, side / 2)
            free = _clearance(x, y, side, discs, walls) > radius[i] + margin
            free = free and not math.hypot(x - away[i, 0], y - away[i, 1]) < SHORTEST
            if free and _apart(x, y, i, margin, radius, out):
                out[i, 0], out[i, 1] = x, y
                found = True
                break
        if not found:
            return False
    return True


@njit(cache=True)
def sample(
    rng: np.random.Generator,
    chosen: np.ndarray,
    arena: tuple[float, float],
    n_discs: tuple[int, int],
    disc_radius: tuple[float, float],
    n_walls: tuple[int, int],
    crossing: float,
    margin: float,
    radius: np.ndarray,
    pose: np.ndarray,
    goal: np.ndarray,
    discs: np.ndarray,
    walls: np.ndarray,
) -> bool:
    """Draw new arenas for the ``chosen`` environments, in place.

    Args:
        rng: the environment's generator.
        chosen: (K,) indices of environments.
        arena: side of the square, lowest and highest [m].
        n_discs: number of pillars, lowest and highest.
        disc_radius: lowest and highest [m].
        n_walls: number of inner walls, lowest and highest.
        crossing: share of arenas in which robots start on the rim and go to its far side.
        margin: free space around starts and goals [m].
        radius: (N,) of the robots [m].
        pose: (B, N, 3) out, starts [m, m, rad].
        goal: (B, N, 2) out [m].
        discs: (B, D, 3) out, radius 0 is no disc [m].
        walls: (B, W, 4) out, boundary first, NaN is no wall [m].

    Returns:
        Whether every robot found a place in every arena.
    """
    robots = radius.shape[0]
    nowhere = np.full((robots, 2), math.nan)
    for b in chosen:
        placed = False
        across = rng.random() < crossing
        for _ in range(ARENA_TRIES):
            side = rng.uniform(arena[0], arena[1])
            pillars = rng.integers(n_discs[0], n_discs[1] + 1)
            inner = rng.integers(n_walls[0], n_walls[1] + 1)
            _obstacles(rng, side, pillars, inner, disc_radius, discs[b], walls[b])
            angles = rng.uniform(0.0, 2 * math.pi) + rng.permutation(robots) * (2 * math.pi / robots)
            placed = _place(rng, side, across, margin, radius, angles, discs[b], walls[b], nowhere, pose[b]) and _place(
                rng, side, across, margin, radius, angles + math.pi, discs[b], walls[b], pose[b], goal[b]
            )
            if placed:
                break
        if not placed:
            return False
        _turn(rng, across, pose[b], goal[b])
    return True


@njit(cache=True)
def _turn(rng: np.random.Generator, across: bool, pose: np.ndarray, goal: np.ndarray) -> None:
    """Draw each robot's heading, (N,) of ``pose``: roughly towards its goal if it goes ``across``, any otherwise."""
    for i in range(pose.shape[0]):
        if across:
            ahead = math.atan2(goal[i, 1] - pose[i, 1], goal[i, 0] - pose[i, 0])
            pose[i, 2] = (ahead + rng.normal(0.0, 0.8) + math.pi) % (2 * math.pi) - math.pi
        else:
            pose[i, 2] = rng.uniform(-math.pi, math.pi)


@njit(cache=True)
def sample_passage(
    rng: np.random.Generator,
    chosen: np.ndarray,
    arena: tuple[float, float],
    gap: tuple[float, float],
    margin: float,
    radius: np.ndarray,
    pose: np.ndarray,
    goal: np.ndarray,
    discs: np.ndarray,
    walls: np.ndarray,
) -> bool:
    """Draw new arenas whose two halves are joined by one narrow gap, in place.

    The dividing wall runs along y at x = 0. Half of the robots, drawn anew each time, start on its left and go
    to its right, the others the other way.

    Args:
        rng: the environment's generator.
        chosen: (K,) indices of environments.
        arena: side of the square, lowest and highest [m].
        gap: width of the passage, lowest and highest [m].
        margin: free space around starts and goals [m].
        radius: (N,) of the robots [m].
        pose: (B, N, 3) out, starts [m, m, rad].
        goal: (B, N, 2) out [m].
        discs: (B, D, 3) out, radius 0 is no disc [m].
        walls: (B, W, 4) out, boundary first, then the two parts of the dividing wall [m].

    Returns:
        Whether every robot found a place in every arena.
    """
    robots = radius.shape[0]
    for b in chosen:
        placed = False
        for _ in range(ARENA_TRIES):
            side = rng.uniform(arena[0], arena[1])
            _obstacles(rng, side, 0, 0, (0.0, 0.0), discs[b], walls[b])
            middle, width = rng.uniform(-side / 4, side / 4), rng.uniform(gap[0], gap[1])
            walls[b, 4] = (0.0, -side / 2, 0.0, middle - width / 2)
            walls[b, 5] = (0.0, middle + width / 2, 0.0, side / 2)
            sides = np.where(rng.permutation(robots) < robots / 2, -1.0, 1.0)
            placed = _place_beside(rng, side, sides, margin, radius, pose[b]) and _place_beside(
                rng, side, -sides, margin, radius, goal[b]
            )
            if placed:
                break
        if not placed:
            return False
        for i in range(robots):
            pose[b, i, 2] = rng.uniform(-math.pi, math.pi)
    return True


@njit(cache=True)
def _place_beside(
    rng: np.random.Generator, side: float, sides: np.ndarray, margin: float, radius: np.ndarray, out: np.ndarray
) -> bool:
    """Put every robot somewhere free, ``sides`` (N,) of the dividing wall: left where -1, right where 1."""
    for i in range(out.shape[0]):
        found = False
        for _ in range(TRIES):
            reach = side / 2 - radius[i] - margin
            x, y = sides[i] * rng.uniform(APPROACH + radius[i], reach), rng.uniform(-reach, reach)
            if _apart(x, y, i, margin, radius, out):
                out[i, 0], out[i, 1] = x, y
                found = True
                break
        if not found:
            return False
    return True
