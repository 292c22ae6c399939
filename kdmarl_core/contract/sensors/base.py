"""What is asked of a sensor."""

from __future__ import annotations

from typing import Annotated, NamedTuple, Protocol

import msgspec
import numpy as np

from kdmarl_core.contract.readings import Readings

Age = Annotated[int, msgspec.Meta(ge=0, le=100)]


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


class _Looking(Protocol):
    @property
    def past(self) -> int: ...

    def at(self, readings: Readings) -> np.ndarray: ...


def now_and_past(term: _Looking, readings: Readings) -> np.ndarray:
    """What a term makes of the present and, with ``past``, of that many control periods ago."""
    if not term.past:
        return term.at(readings)
    return np.concatenate([term.at(readings), term.at(readings.past(term.past))], axis=-1)
