"""What is asked of a sensor: of its settings by simulators and the scan guard, of its term by who checks a policy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar, NamedTuple, Protocol

import msgspec
import numpy as np

from kdmarl_core.contract.bounds import NonNegative, Number, Positive
from kdmarl_core.contract.readings import BaseTerm, Readings

Age = Annotated[int, msgspec.Meta(ge=0, le=100)]

Opening = Annotated[float, msgspec.Meta(gt=0, le=2 * math.pi + 1e-6)]
"""Of a field of view, up to all around [rad]."""

Angle = Annotated[float, msgspec.Meta(ge=-2 * math.pi, le=2 * math.pi)]
"""[rad]"""

MESSAGE_RATE = 10.0
"""Of odometry, and of the messages of a sensor without a rate, in simulators with physics [Hz]."""

Reader = Callable[[np.ndarray], Any]
"""Makes a sensor's reading of distances along rays, (..., rays) [m]."""


class Returns(NamedTuple):
    """What was seen: each an arc around a sensor, on which something may be anywhere, and all behind it."""

    distance: np.ndarray
    """(seen,) from the sensor [m]"""
    angle: np.ndarray
    """(seen,) of the arc's middle, in the robot frame [rad]"""
    half: np.ndarray
    """(seen,) half of the arc's opening [rad]"""
    origin: np.ndarray = np.zeros((2, 1))
    """(2, seen), or (2, 1) for all: x, y of the sensor in the robot frame [m]"""

    def only(self, chosen: np.ndarray) -> Returns:
        """Those that are ``chosen``, (seen,) bool."""
        origin = self.origin if self.origin.shape[1] == 1 else self.origin[:, chosen]
        return Returns(self.distance[chosen], self.angle[chosen], self.half[chosen], origin)


NOTHING = Returns(np.empty(0), np.empty(0), np.empty(0))
"""Seen in the open."""


class Mounting(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a sensor sits on its robot, in the robot frame (REP-103), and which way it looks."""

    x: Number = 0.0
    """ahead of the robot's centre [m]"""
    y: Number = 0.0
    """to the left of it [m]"""
    yaw: Angle = 0.0
    """from the robot's front to the sensor's, counter-clockwise [rad]"""
    upside_down: bool = False
    """turned about its front by half a turn, so that its angles count clockwise"""

    @property
    def centred(self) -> bool:
        """Whether it sits at the robot's centre."""
        return self.x == 0 and self.y == 0

    def turned(self, angle: Any) -> Any:
        """A sensor's ``angle`` in the robot frame [rad]."""
        return self.yaw - angle if self.upside_down else self.yaw + angle


CENTRE = Mounting()


class Fan(NamedTuple):
    """Rays from one place of a robot, evenly spaced."""

    angle_min: float
    """of the first, in the robot frame [rad]"""
    angle_increment: float
    """from one to the next, positive [rad]"""
    rays: int
    """how many"""
    x: float = 0.0
    """of the place, in the robot frame [m]"""
    y: float = 0.0
    """[m]"""

    @property
    def angles(self) -> np.ndarray:
        """(rays,) [rad]."""
        return self.angle_min + self.angle_increment * np.arange(self.rays)


class Sensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of sensors: they measure distances along rays from where they are mounted.

    The fields are what a robot type says of the sensor. Those that came later are unset where they are not given, so
    that what was trained without them is still the same.
    """

    topics: ClassVar[tuple[str, ...]]
    """of its messages in ROS 2, without its label; as many as a robot can have"""

    range: Positive
    """[m]"""
    min_range: NonNegative = 0.05
    """[m]"""
    noise: NonNegative = 0.01
    """standard deviation of a distance [m]"""
    mounting: Mounting | msgspec.UnsetType = msgspec.UNSET
    """at the robot's centre and looking ahead, unless given"""
    rate: Positive | msgspec.UnsetType = msgspec.UNSET
    """how often its messages come [Hz]; unless given, in each control period of training and ten times a second of the
    MuJoCo simulator"""

    @property
    def place(self) -> Mounting:
        """Its mounting, given or not."""
        return self.mounting or CENTRE

    @property
    def message_rate(self) -> float:
        """How often its messages come in simulators with physics [Hz]."""
        return self.rate or MESSAGE_RATE

    # In the training simulator

    @property
    def fans(self) -> tuple[Fan, ...]:
        """Rays that are cast for it; none where those from the centre, which robots have anyway, are enough."""
        return ()

    def from_rays(self, angles: np.ndarray) -> Reader:
        """How its reading is made of the distances along the rays at ``angles``, (rays,) [rad], of all its fans.

        They come with noise, and with what lies beyond ``range`` at some larger distance.

        Raises:
            KdmarlError: the rays are too few.
        """
        raise NotImplementedError

    # In MuJoCo

    @property
    def rays(self) -> np.ndarray:
        """Angles of the rays that it measures along, in the robot frame, (rays,) [rad]."""
        raise NotImplementedError

    @property
    def origins(self) -> np.ndarray:
        """x, y of where they begin in the robot frame, (places, 2) [m]: as many rays from each, in order."""
        return np.array([[self.place.x, self.place.y]])

    @property
    def directions(self) -> np.ndarray:
        """Which way it looks from each of :attr:`origins`, in the robot frame, (places,) [rad]."""
        return np.array([self.place.yaw])

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

    def lacks(self, carried: Any, *more: Any) -> list[str]:
        """What a robot's sensor, None without one, lacks for a policy with this term, each a sentence.

        ``more`` are further ones of its kind, if a robot may have several.
        """
        raise NotImplementedError

    def untrainable(self, carried: Any, *more: Any) -> str:
        """Why no student can be trained with this term through ``carried``, None without one; empty when it can."""
        return "; ".join(self.lacks(carried, *more))

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
