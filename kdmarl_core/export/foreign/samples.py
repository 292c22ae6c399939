"""Random observations of a robot: random readings within the sensors' ranges, observed by the terms themselves."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from kdmarl_core.contract import DiffDrive, Discrete, Readings, Scan, Term, history_length, observe
from kdmarl_core.contract.simulator_terms import Vector
from kdmarl_core.contract.team_terms import Neighbors, Targets
from kdmarl_core.contract.terms import Goal, Lidar, PreviousAction, RangeSensors

ARCS = 24
"""Parts of a scan with equal readings: with independent beams, the minimum of a sector would always be near."""
BEAMS_PER_ARC = 30


def random_observations(
    terms: Sequence[Term], action: DiffDrive | Discrete, count: int, random: np.random.Generator
) -> np.ndarray:
    """Observations of ``count`` independent robots, (count, O) float32."""
    history = tuple(_readings(terms, action, count, random) for _ in range(min(1, history_length(terms))))
    return observe(terms, _readings(terms, action, count, random)._replace(history=history))


def _readings(terms: Sequence[Term], action: DiffDrive | Discrete, count: int, random: np.random.Generator) -> Readings:
    previous = max((term.count for term in terms if isinstance(term, PreviousAction)), default=2)
    ring = max((term.count for term in terms if isinstance(term, RangeSensors)), default=1)
    vector = max((term.size for term in terms if isinstance(term, Vector)), default=1)
    low, high = (action.low, action.high) if isinstance(action, DiffDrive) else (-np.ones(2), np.ones(2))
    sees = _farthest(terms, Lidar)
    arcs = random.uniform(0, sees, (count, ARCS))
    others, places = (_most(terms, kind) + 1 for kind in (Neighbors, Targets))
    return Readings(
        scan=Scan(np.repeat(arcs, BEAMS_PER_ARC, -1), -math.pi, 2 * math.pi / (ARCS * BEAMS_PER_ARC), 0.0, sees),
        ranges=random.uniform(0, _farthest(terms, RangeSensors), (count, ring)),
        goal=_around(_farthest(terms, Goal), (count,), random),
        velocity=random.uniform(low, high, (count, 2)),
        neighbors=_robots(max(_farthest(terms, Neighbors), _farthest(terms, Targets)), (count, others), random),
        targets=_around(_farthest(terms, Targets), (count, places), random),
        previous_action=_previous(action, (count, previous), random),
        vector=random.normal(size=(count, vector)),
    )


def _previous(action: DiffDrive | Discrete, shape: tuple[int, int], random: np.random.Generator) -> np.ndarray:
    if isinstance(action, DiffDrive):
        return random.uniform(action.low, action.high, shape)
    return random.integers(0, action.n, shape)


def _robots(range_: float, shape: tuple[int, int], random: np.random.Generator) -> np.ndarray:
    """Poses, velocities and radii of other robots, (..., 6); some are absent."""
    yaw, speed = random.uniform(-math.pi, math.pi, (*shape, 1)), random.uniform(-1, 1, (*shape, 2))
    rows = np.concatenate([_around(range_, shape, random), yaw, speed, random.uniform(0.1, 0.4, (*shape, 1))], axis=-1)
    return np.where(random.random((*shape, 1)) < 0.3, np.nan, rows)


def _around(range_: float, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """Positions within ``range_`` of the robot, (..., 2) [m]."""
    distance, bearing = random.uniform(0, range_, shape), random.uniform(-math.pi, math.pi, shape)
    return np.stack([distance * np.cos(bearing), distance * np.sin(bearing)], axis=-1)


def _farthest(terms: Sequence[Term], kind: type) -> float:
    """The longest range of the terms of a kind [m]."""
    return max((getattr(term, "range", 0.0) for term in terms if isinstance(term, kind)), default=1.0)


def _most(terms: Sequence[Term], kind: type) -> int:
    return max((getattr(term, "count", 0) for term in terms if isinstance(term, kind)), default=0)
