"""Action spaces: what a policy commands, in SI units and REP-103 axes."""

from __future__ import annotations

from typing import Annotated

import msgspec
import numpy as np

from kdmarl_core.errors import KdmarlError

LARGEST = 1e9
"""Largest number that a file or a message may give for anything: neither infinity nor what overflows squared."""

Positive = Annotated[float, msgspec.Meta(gt=0, le=LARGEST)]
NonNegative = Annotated[float, msgspec.Meta(ge=0, le=LARGEST)]
Number = Annotated[float, msgspec.Meta(ge=-LARGEST, le=LARGEST)]


class DiffDrive(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="diff_drive"):
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

    def __post_init__(self) -> None:
        for name in ("linear", "angular"):
            low, high = getattr(self, name)
            if not -LARGEST <= low <= 0 < high <= LARGEST:  # NaN as well
                raise ValueError(f"{name} is [{low}, {high}]; give [lowest, highest] with lowest <= 0 < highest")

    @property
    def size(self) -> int:
        """Number of values in one command."""
        return 2

    @property
    def low(self) -> np.ndarray:
        """Lowest command, (2,) [m/s, rad/s]."""
        return np.array([self.linear[0], self.angular[0]], np.float32)

    @property
    def high(self) -> np.ndarray:
        """Highest command, (2,) [m/s, rad/s]."""
        return np.array([self.linear[1], self.angular[1]], np.float32)

    @property
    def acceleration(self) -> np.ndarray:
        """Largest change a second, (2,) [m/s², rad/s²]."""
        return np.array([self.linear_acceleration, self.angular_acceleration], np.float32)

    def within(self, other: DiffDrive) -> bool:
        """Whether every command of this space is one that ``other`` allows."""
        return bool((self.low >= other.low - 1e-6).all() and (self.high <= other.high + 1e-6).all())


class Box(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="box"):
    """Any command of several numbers between limits, in units that only the task knows."""

    lowest: tuple[Number, ...]
    highest: tuple[Number, ...]

    def __post_init__(self) -> None:
        if not self.lowest or len(self.lowest) != len(self.highest):
            raise ValueError(f"lowest has {len(self.lowest)} values, highest {len(self.highest)}; give equally many")
        for low, high in zip(self.lowest, self.highest, strict=True):
            if not low < high:
                raise ValueError(f"lowest is {low} where highest is {high}; give a lower one")

    @property
    def size(self) -> int:
        """Number of values in one command, A."""
        return len(self.lowest)

    @property
    def low(self) -> np.ndarray:
        """Lowest command, (A,)."""
        return np.array(self.lowest, np.float32)

    @property
    def high(self) -> np.ndarray:
        """Highest command, (A,)."""
        return np.array(self.highest, np.float32)


class Discrete(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="discrete"):
    """One of ``n`` actions, numbered from 0."""

    n: Annotated[int, msgspec.Meta(ge=2)]

    @property
    def size(self) -> int:
        """Number of values in one command: the action's index."""
        return 1


Continuous = DiffDrive | Box
"""Spaces of numbers between ``low`` and ``high``"""
ActionSpace = DiffDrive | Box | Discrete


def require_diff_drive(space: ActionSpace, who: str) -> DiffDrive:
    """Return ``space`` if a wheeled robot can follow it.

    Raises:
        KdmarlError: it is another kind of action space.
    """
    if not isinstance(space, DiffDrive):
        raise KdmarlError(
            f"{who}: action space is {type(space).__struct_config__.tag}, the robot drives by diff_drive commands; use "
            "another policy"
        )
    return space
