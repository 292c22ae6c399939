"""Observation terms that only a simulator gives: vectors as they are, and masks of actions."""

from __future__ import annotations

import numpy as np

from kdmarl_core.contract.readings import BaseTerm, Count, Readings, given


class Vector(BaseTerm, frozen=True, tag="vector"):
    """A vector that a simulator gives as it is, in its own order and units; no sensor of a robot gives it.

    Benchmark tasks of other projects define their observations this way.
    """

    size: Count

    def compute(self, readings: Readings) -> np.ndarray:
        """The vector as float32, (..., size)."""
        return np.asarray(given(readings.vector, "vector", "a simulator's vector"), np.float32)


class ActionMask(BaseTerm, frozen=True, tag="action_mask"):
    """Which of ``count`` numbered actions may be chosen now: 1, or 0 where not.

    A policy that observes it never chooses another action (as long as there is one); see :func:`action_mask`.
    """

    count: Count

    @property
    def size(self) -> int:
        """Number of values."""
        return self.count

    def compute(self, readings: Readings) -> np.ndarray:
        """The mask as float32, (..., count)."""
        return np.asarray(given(readings.available, "action_mask", "the available actions"), np.float32)
