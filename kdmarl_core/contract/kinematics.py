"""Kinematics: how a robot's base moves, what commands it takes and what motion they make. One class is one of them."""

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple, TypeVar, get_args

import msgspec
import numpy as np

from kdmarl_core.contract.bounds import LARGEST, Positive
from kdmarl_core.errors import KdmarlError

K = TypeVar("K", bound="Kinematics")


class Axis(NamedTuple):
    """One value of a command."""

    limits: str
    """the field with the lowest and the highest value; the field of its acceleration has a name made of it"""
    name: str
    """in words"""
    unit: str

    @property
    def acceleration(self) -> str:
        """The field with the largest change a second."""
        return f"{self.limits}_acceleration"


class Kinematics(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    """Base of all kinematics: action spaces of robots, in SI units and REP-103 axes.

    A subclass has a tag, ``axes``, and for each axis a field (lowest, highest) and one for the acceleration;
    :meth:`body_velocity` and :meth:`command` convert between commands and motion over ground. The last value of a
    command turns the robot, the ones before it move it.
    """

    axes: ClassVar[tuple[Axis, ...]]
    """the values of a command, in order"""
    sideways: ClassVar[bool] = False
    """whether the robot can move to its left and right"""

    def __post_init__(self) -> None:
        for axis in self.axes:
            low, high = getattr(self, axis.limits)
            if not -LARGEST <= low <= 0 < high <= LARGEST:  # NaN as well
                raise ValueError(f"{axis.limits} is [{low}, {high}]; give [lowest, highest] with lowest <= 0 < highest")

    def body_velocity(self, command: np.ndarray) -> np.ndarray:
        """Motion of a command.

        Args:
            command: (..., A) in the order and the units of ``axes``.

        Returns:
            (..., 3) speed forward and to the left, yaw rate [m/s, m/s, rad/s].
        """
        raise NotImplementedError

    def command(self, body_velocity: np.ndarray) -> np.ndarray:
        """Command for a motion: (..., 3) as :meth:`body_velocity` returns it → (..., A).

        Parts of the motion that the base cannot do are left out.
        """
        raise NotImplementedError

    @property
    def kind(self) -> str:
        """The tag, as in files."""
        return str(type(self).__struct_config__.tag)

    @property
    def size(self) -> int:
        """Number of values in one command, A."""
        return len(self.axes)

    @property
    def units(self) -> str:
        """Of a command's values, in words."""
        return ", ".join(axis.unit for axis in self.axes)

    @property
    def limits(self) -> list[tuple[float, float]]:
        """Lowest and highest of each value."""
        return [getattr(self, axis.limits) for axis in self.axes]

    @property
    def low(self) -> np.ndarray:
        """Lowest command, (A,)."""
        return np.array([low for low, _ in self.limits], np.float32)

    @property
    def high(self) -> np.ndarray:
        """Highest command, (A,)."""
        return np.array([high for _, high in self.limits], np.float32)

    @property
    def acceleration(self) -> np.ndarray:
        """Largest change a second, (A,)."""
        return np.array([getattr(self, axis.acceleration) for axis in self.axes], np.float32)

    @property
    def top_speed(self) -> float:
        """No command makes a higher speed over ground [m/s]."""
        return math.hypot(*(max(-low, high) for low, high in self.limits[:-1]))

    def within(self, other: Kinematics) -> bool:
        """Whether every command of this space is one that ``other`` allows."""
        if type(self) is not type(other):
            return False
        return bool((self.low >= other.low - 1e-6).all() and (self.high <= other.high + 1e-6).all())

    def measured(self, command: np.ndarray) -> np.ndarray:
        """Odometry of the motion of commands (..., A), as in :attr:`~kdmarl_core.contract.Readings.velocity`.

        (..., 3), or (..., 2) without the speed to the left if the robot cannot move sideways.
        """
        velocity = self.body_velocity(command)
        return velocity if self.sideways else velocity[..., ::2]

    def words(self) -> str:
        """The limits in words."""
        return ", ".join(
            f"{low:g} to {high:g} {axis.unit}" for (low, high), axis in zip(self.limits, self.axes, strict=True)
        )

    @classmethod
    def describe(cls) -> str:
        """The values of a command in words."""
        *others, last = (f"{axis.name} [{axis.unit}]" for axis in cls.axes)
        return f"{', '.join(others)} and {last}"


class DiffDrive(Kinematics, frozen=True, tag="diff_drive"):
    """Command of a differential drive: forward speed [m/s] and yaw rate [rad/s] (REP-103).

    ``linear`` and ``angular`` are (lowest, highest); accelerations bound the change of either.
    """

    linear: tuple[float, float]
    """[m/s]"""
    angular: tuple[float, float]
    """[rad/s]"""
    linear_acceleration: Positive
    """[m/s²]"""
    angular_acceleration: Positive
    """[rad/s²]"""

    axes: ClassVar[tuple[Axis, ...]] = (Axis("linear", "forward speed", "m/s"), Axis("angular", "yaw rate", "rad/s"))

    def body_velocity(self, command: np.ndarray) -> np.ndarray:
        """Straight ahead or back, (..., 2) → (..., 3)."""
        velocity = np.zeros((*command.shape[:-1], 3), command.dtype)
        velocity[..., ::2] = command
        return velocity

    def command(self, body_velocity: np.ndarray) -> np.ndarray:
        """Forward speed and yaw rate, (..., 3) → (..., 2)."""
        return body_velocity[..., ::2]


class Holonomic(Kinematics, frozen=True, tag="holonomic"):
    """Command of a base that moves any way: speed forward and to the left [m/s], yaw rate [rad/s] (REP-103).

    For example with mecanum or omni wheels, or a drone at a fixed height. ``linear``, ``lateral`` and ``angular`` are
    (lowest, highest); each acceleration bounds the change of its own value.
    """

    linear: tuple[float, float]
    """[m/s]"""
    lateral: tuple[float, float]
    """[m/s]"""
    angular: tuple[float, float]
    """[rad/s]"""
    linear_acceleration: Positive
    """[m/s²]"""
    lateral_acceleration: Positive
    """[m/s²]"""
    angular_acceleration: Positive
    """[rad/s²]"""

    axes: ClassVar[tuple[Axis, ...]] = (
        Axis("linear", "forward speed", "m/s"),
        Axis("lateral", "speed to the left", "m/s"),
        Axis("angular", "yaw rate", "rad/s"),
    )
    sideways: ClassVar[bool] = True

    def body_velocity(self, command: np.ndarray) -> np.ndarray:
        """The command itself, (..., 3)."""
        return command

    def command(self, body_velocity: np.ndarray) -> np.ndarray:
        """The motion itself, (..., 3)."""
        return body_velocity


AnyKinematics = DiffDrive | Holonomic
"""The kinematics that a robot type can have: add your own class here."""

KINDS: tuple[type[Kinematics], ...] = get_args(AnyKinematics)


def with_lower_accelerations(limits: K, robot: Kinematics) -> K:
    """``limits`` with the lower accelerations of the two, which are of one kind."""
    names = [axis.acceleration for axis in limits.axes]
    return msgspec.structs.replace(limits, **{name: min(getattr(limits, name), getattr(robot, name)) for name in names})


def require_kinematics(space: msgspec.Struct, who: str, robot: Kinematics | None = None) -> Kinematics:
    """Return the action space ``space`` if a robot can follow it: the one with kinematics ``robot``, or any.

    Raises:
        KdmarlError: ``space`` is of another kind.
    """
    if isinstance(space, Kinematics) and (robot is None or type(space) is type(robot)):
        return space
    wanted = " or ".join(str(kind.__struct_config__.tag) for kind in (KINDS if robot is None else (type(robot),)))
    tag = type(space).__struct_config__.tag
    raise KdmarlError(f"{who}: action space is {tag}, the robot drives by {wanted} commands; use another policy")
