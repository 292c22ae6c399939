"""Action spaces: what a policy commands, in SI units and REP-103 axes."""

from __future__ import annotations

from typing import Annotated

import msgspec
import numpy as np

from kdmarl_core.contract.bounds import Number
from kdmarl_core.contract.kinematics import AnyKinematics


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


Continuous = AnyKinematics | Box
"""Spaces of numbers between ``low`` and ``high``"""
ActionSpace = AnyKinematics | Box | Discrete
