"""Random observations of a robot: random readings within the sensors' ranges, observed by the terms themselves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from kdmarl_core.contract import Discrete, Kinematics, Readings, Term, history_length, observe
from kdmarl_core.contract.readings import OWN_FIELD
from kdmarl_core.contract.sensors import Lidar, RangeSensors, SensorTerm
from kdmarl_core.contract.simulator_terms import Vector
from kdmarl_core.contract.team_terms import Neighbors, Targets
from kdmarl_core.contract.terms import Goal, PreviousAction


def random_observations(
    terms: Sequence[Term], action: Kinematics | Discrete, count: int, random: np.random.Generator
) -> np.ndarray:
    """Observations of ``count`` independent robots, (count, O) float32."""
    history = tuple(_readings(terms, action, count, random) for _ in range(min(1, history_length(terms))))
    return observe(terms, _readings(terms, action, count, random)._replace(history=history))


def _readings(
    terms: Sequence[Term], action: Kinematics | Discrete, count: int, random: np.random.Generator
) -> Readings:
    values = action.size if isinstance(action, Kinematics) else 2
    previous = max((term.count for term in terms if isinstance(term, PreviousAction)), default=values)
    vector = max((term.size for term in terms if isinstance(term, Vector)), default=1)
    kinds = list(dict.fromkeys(type(term) for term in terms if isinstance(term, SensorTerm)))
    others, places = (_most(terms, kind) + 1 for kind in (Neighbors, Targets))
    return Readings(
        scan=_sample(Lidar, terms, count, random),
        ranges=_sample(RangeSensors, terms, count, random),
        goal=_around(_farthest(terms, Goal), (count,), random),
        velocity=_velocity(action, count, random),
        neighbors=_robots(max(_farthest(terms, Neighbors), _farthest(terms, Targets)), (count, others), random),
        targets=_around(_farthest(terms, Targets), (count, places), random),
        previous_action=_previous(action, (count, previous), random),
        vector=random.normal(size=(count, vector)),
        more={kind.sensor: _sample(kind, terms, count, random) for kind in kinds if kind.sensor not in OWN_FIELD},
    )


def _sample(kind: type[SensorTerm], terms: Sequence[Term], count: int, random: np.random.Generator) -> Any:
    """A random reading for the terms of a kind, which may be none."""
    return kind.sample([term for term in terms if isinstance(term, kind)], count, random)


def _velocity(action: Kinematics | Discrete, count: int, random: np.random.Generator) -> np.ndarray:
    if isinstance(action, Kinematics):
        return action.measured(random.uniform(action.low, action.high, (count, action.size)))
    return random.uniform(-1, 1, (count, 2))


def _previous(action: Kinematics | Discrete, shape: tuple[int, int], random: np.random.Generator) -> np.ndarray:
    if isinstance(action, Kinematics):
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
