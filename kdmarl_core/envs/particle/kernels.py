"""Compiled inner loops of the particle world: motion and contacts, who sees what, who is near.

Formulas as in mpe2 ``_mpe_utils/core.py`` and ``_mpe_utils/partial_observability.py``, computed in the same
order and precision, so that whole episodes agree.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

STEP = 0.1
"""``World.dt`` [s]"""
DAMPING = 0.25
"""share of its speed that a particle loses in a step"""
STIFFNESS = 100.0
"""``World.contact_force``"""
SOFTNESS = 1e-3
"""``World.contact_margin``"""


@njit(cache=True)
def advance(
    position: np.ndarray,
    velocity: np.ndarray,
    force: np.ndarray,
    radius: np.ndarray,
    max_speed: np.ndarray,
    contact: bool,
    obstacles: np.ndarray,
    obstacle_radius: float,
) -> None:
    """Move every particle by one step (``World.step``); masses are 1.

    Args:
        position: (B, M, 2) of all that move, changed in place.
        velocity: (B, M, 2), changed in place.
        force: (B, M, 2) of the actions; contacts are added in place.
        radius: (M,) of each.
        max_speed: (M,) of each, inf where there is none.
        contact: whether particles push each other.
        obstacles: (B, L, 2), which stay where they are and push particles.
        obstacle_radius: of each; 0 where they are not in the way.
    """
    envs, agents = position.shape[0], position.shape[1]
    for b in range(envs):
        if contact:
            for i in range(agents):
                for j in range(i + 1, agents):
                    x, y = _push(position[b, i], position[b, j], radius[i] + radius[j])
                    force[b, i, 0] += x
                    force[b, i, 1] += y
                    force[b, j, 0] -= x
                    force[b, j, 1] -= y
                if obstacle_radius > 0:
                    for k in range(obstacles.shape[1]):
                        x, y = _push(position[b, i], obstacles[b, k], radius[i] + obstacle_radius)
                        force[b, i, 0] += x
                        force[b, i, 1] += y
        for i in range(agents):
            for axis in range(2):
                position[b, i, axis] += velocity[b, i, axis] * STEP
                velocity[b, i, axis] = velocity[b, i, axis] * (1 - DAMPING) + force[b, i, axis] * STEP
            speed = math.sqrt(velocity[b, i, 0] ** 2 + velocity[b, i, 1] ** 2)
            if speed > max_speed[i]:
                for axis in range(2):
                    velocity[b, i, axis] = velocity[b, i, axis] / speed * max_speed[i]


@njit(cache=True)
def _push(position: np.ndarray, other: np.ndarray, apart: float) -> tuple[float, float]:
    """Soft repulsion from another (``World.get_collision_force``); none where mpe2's has no direction."""
    dx, dy = position[0] - other[0], position[1] - other[1]
    distance = math.sqrt(dx * dx + dy * dy)
    if distance == 0.0:
        return 0.0, 0.0
    depth = -(distance - apart) / SOFTNESS
    penetration = (max(depth, 0.0) + math.log1p(math.exp(-abs(depth)))) * SOFTNESS
    return STIFFNESS * dx / distance * penetration, STIFFNESS * dy / distance * penetration


@njit(cache=True)
def look(
    position: np.ndarray,
    first: int,
    last: int,
    things: np.ndarray,
    shown: np.ndarray,
    relative: bool,
    each_other: bool,
    count: int,
    by_distance: bool,
    in_place: bool,
    out: np.ndarray,
    column: int,
) -> None:
    """Write what agents see of things, such as the offsets x, y to them, one slot of two columns a thing.

    Args:
        position: (B, N, 2) of the agents.
        first: the first agent that looks.
        last: one past the last.
        things: (B, M, 2), where they are.
        shown: (B, M, 2), what is seen of them.
        relative: less the agent's own position.
        each_other: the things are the agents, and none sees itself.
        count: how many things an agent sees.
        by_distance: these are the nearest, otherwise the first.
        in_place: every thing has a slot of its own, otherwise slots are filled from the nearest on.
        out: (B, last − first, ·) float32 of zeros, which stay where nothing is seen.
        column: of the first slot.
    """
    envs, total = things.shape[0], things.shape[1]
    order, away = np.empty(total, np.int64), np.empty(total)
    for b in range(envs):
        for i in range(first, last):
            known = 0
            for j in range(total):
                if each_other and i == j:
                    continue
                dx, dy = things[b, j, 0] - position[b, i, 0], things[b, j, 1] - position[b, i, 1]
                square = dx * dx + dy * dy
                k = known
                while by_distance and k > 0 and away[k - 1] > square:
                    order[k], away[k] = order[k - 1], away[k - 1]
                    k -= 1
                order[k], away[k] = j, square
                known += 1
            for k in range(min(count, known)):
                j = order[k]
                own = j - 1 if each_other and j > i else j
                at = column + 2 * (own if in_place else k)
                for axis in range(2):
                    own_part = position[b, i, axis] if relative else 0.0
                    out[b, i - first, at + axis] = shown[b, j, axis] - own_part


@njit(cache=True)
def nearest(position: np.ndarray, landmarks: np.ndarray, distance: np.ndarray) -> None:
    """Write each landmark's distance to the nearest agent into ``distance``, (B, L)."""
    envs, agents = position.shape[0], position.shape[1]
    for b in range(envs):
        for k in range(landmarks.shape[1]):
            least = np.inf
            for i in range(agents):
                dx, dy = position[b, i, 0] - landmarks[b, k, 0], position[b, i, 1] - landmarks[b, k, 1]
                least = min(least, math.sqrt(dx * dx + dy * dy))
            distance[b, k] = least


@njit(cache=True)
def touches(position: np.ndarray, radius: float, count: np.ndarray) -> None:
    """Write how many others each agent overlaps into ``count``, (B, N)."""
    envs, agents = position.shape[0], position.shape[1]
    for b in range(envs):
        for i in range(agents):
            count[b, i] = 0.0
            for j in range(agents):
                dx, dy = position[b, i, 0] - position[b, j, 0], position[b, i, 1] - position[b, j, 1]
                if i != j and math.sqrt(dx * dx + dy * dy) < 2 * radius:
                    count[b, i] += 1.0
