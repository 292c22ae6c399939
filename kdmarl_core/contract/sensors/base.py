"""What is asked of a sensor: of its settings by simulators and the scan guard, of its term by who checks a policy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar, NamedTuple, Protocol

import msgspec
import numpy as np

from kdmarl_core.contract.bounds import NonNegative, Positive
from kdmarl_core.contract.readings import BaseTerm, Readings

Age = Annotated[int, msgspec.Meta(ge=0, le=100)]

Opening = Annotated[float, msgspec.Meta(gt=0, le=2 * math.pi + 1e-6)]
"""Of a field of view, up to all around [rad]."""

Reader = Callable[[np.ndarray], Any]
"""Makes a sensor's reading of distances along rays, (..., rays) [m]."""


class Returns(NamedTuple):
    """What was seen: each an arc around the robot, on which something may be anywhere, and all behind it."""

    distance: np.ndarray
    """(seen,) [m]"""
    angle: np.ndarray
    """(seen,) of the arc's middle [rad]"""
    half: np.ndarray
    """(seen,) half of the arc's opening [rad]"""


NOTHING = Returns(np.empty(0), np.empty(0), np.empty(0))
"""Seen in the open."""


class Fan(NamedTuple):
    """Rays from a robot's centre, evenly spaced."""

    angle_min: float
    """of the first [rad]"""
    angle_increment: float
    """from one to the next, positive [rad]"""
    rays: int
    """how many"""

    @property
    def angles(self) -> np.ndarray:
        """(rays,) [rad]."""
        return self.angle_min + self.angle_increment * np.arange(self.rays)


class Sensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of sensors: they measure distances along rays from the robot's centre.

    The fields are what a robot type says of the sensor.
    """

    range: Positive
    """[m]"""
    min_range: NonNegative = 0.05
    """[m]"""
    noise: NonNegative = 0.01
    """standard deviation of a distance [m]"""

    # In the training simulator

    @property
    def fan(self) -> Fan | None:
        """Rays that are cast for it; None where the lidar's are enough, or those that a robot without one is lent."""
        return None

    def from_rays(self, angles: np.ndarray) -> Reader:
        """How its reading is made of the distances along the rays at ``angles``, (rays,) [rad].

        They come with noise, and with what lies beyond ``range`` at some larger distance.

        Raises:
            KdmarlError: the rays are too few.
        """
        raise NotImplementedError

    # In MuJoCo

    @property
    def rays(self) -> np.ndarray:
        """Angles of the rays that it measures along, (rays,) [rad]."""
        raise NotImplementedError

    def nearest(self, distance: np.ndarray) -> np.ndarray:
        """What it would measure without noise, (values,) [m], of the true ``distance`` along :attr:`rays`, (rays,)."""
        return distance

    def measure(self, distance: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """What its messages say of the true ``distance`` along :attr:`rays`, (rays,) [m], inf where they meet nothing.

        Returns:
            (values,) float32 [m], with noise; too far reads inf and too near -inf (REP-117).
        """
        measured = self.nearest(distance)
        measured = measured + self.noise * random.standard_normal(measured.size)
        measured[measured > self.range] = np.inf
        measured[measured < self.min_range] = -np.inf
        return measured.astype(np.float32)

    # Under the scan guard

    def returns(self, reading: Any, within: float) -> Returns | None:
        """What a reading says is nearer than ``within`` [m], or out of sight; None if it says nothing to guard by."""
        return None


class SensorTerm(BaseTerm, frozen=True):
    """Base of terms that are made of one sensor's reading."""

    sensor: ClassVar[str]
    """its name in robot types"""
    guards: ClassVar[bool] = True
    """whether the scan guard can see by it"""

    def lacks(self, carried: Any) -> list[str]:
        """What a robot's sensor, None without one, lacks for a policy with this term, each a sentence."""
        raise NotImplementedError

    def untrainable(self, carried: Any) -> str:
        """Why no student can be trained with this term through ``carried``, None without one; empty when it can."""
        return "; ".join(self.lacks(carried))

    @classmethod
    def sample(cls, terms: Sequence[Any], count: int, random: np.random.Generator) -> Any:
        """A random reading for ``count`` robots, within the ranges of ``terms``, which are of this kind."""
        raise NotImplementedError


def farthest(terms: Sequence[Any]) -> float:
    """The longest range of some terms [m]; 1 without any."""
    return max((float(term.range) for term in terms), default=1.0)


def out_of_reach(wanted: float, reach: float) -> str:
    """That a term sees ``wanted`` [m] far, in training, and its sensor ``reach`` [m]; empty if that is no less."""
    return f"a term reaches {wanted} m, the sensor {reach} m; lower it" if wanted > reach else ""


class _Looking(Protocol):
    @property
    def past(self) -> int: ...

    def at(self, readings: Readings) -> np.ndarray: ...


def now_and_past(term: _Looking, readings: Readings) -> np.ndarray:
    """What a term makes of the present and, with ``past``, of that many control periods ago."""
    if not term.past:
        return term.at(readings)
    return np.concatenate([term.at(readings), term.at(readings.past(term.past))], axis=-1)
