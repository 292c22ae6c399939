"""Observation terms: pure functions from raw sensor arrays to float32 vectors.

The training simulator and the robot call the same functions, so there is no second implementation to
drift. Every function is batched over leading dimensions ``...``. Axes follow REP-103: x forward, y left,
angles counter-clockwise from x.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kdmarl_core.contract.bounds import Positive
from kdmarl_core.contract.readings import BaseTerm, Count, Readings, given
from kdmarl_core.contract.sensors import AnySensorTerm
from kdmarl_core.contract.sensors.lidar import Lidar
from kdmarl_core.contract.sensors.range_sensors import RangeSensors, range_sensors
from kdmarl_core.contract.sensors.sectors import lidar
from kdmarl_core.contract.simulator_terms import ActionMask, Vector
from kdmarl_core.contract.spaces import ActionSpace, Discrete
from kdmarl_core.contract.team_terms import Neighbors, Targets
from kdmarl_core.errors import KdmarlError

__all__ = [
    "NEAR_GOAL",
    "Goal",
    "Lidar",
    "PreviousAction",
    "RangeSensors",
    "Term",
    "Velocity",
    "action_mask",
    "goal",
    "history_length",
    "lidar",
    "observation_size",
    "observe",
    "range_sensors",
]

NEAR_GOAL = 0.1
"""Distance [m] below which the direction to the goal fades to zero, so that noise does not turn the robot."""


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


class Velocity(BaseTerm, frozen=True, tag="velocity", omit_defaults=True):
    """Measured forward speed [m/s] and yaw rate [rad/s]; with ``lateral`` the speed to the left [m/s] between them."""

    lateral: bool = False

    @property
    def size(self) -> int:
        """Number of values."""
        return 3 if self.lateral else 2

    def compute(self, readings: Readings) -> np.ndarray:
        """The measured velocity as float32, (..., size)."""
        velocity = np.asarray(given(readings.velocity, "velocity", "a velocity"), np.float32)
        return velocity if self.lateral or velocity.shape[-1] != 3 else velocity[..., ::2]


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


Term = AnySensorTerm | Goal | Velocity | Neighbors | Targets | PreviousAction | Vector | ActionMask


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
