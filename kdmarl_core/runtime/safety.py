"""The filter between a policy and a robot: limits speed and acceleration, and refuses values that are not finite."""

from __future__ import annotations

import numpy as np

from kdmarl_core.contract import KdmarlError, Kinematics


class UnsafeCommandError(KdmarlError):
    """A policy's output is not a valid command."""


class SafetyFilter:
    """Limits commands, starting from standstill.

    ``last`` is the previous filtered command, (A,) float32 in the action space's units.
    """

    def __init__(self, action: Kinematics, period: float) -> None:
        """Limit commands to ``action``; they are published every ``period`` seconds."""
        self._low, self._high = action.low, action.high
        self._step = action.acceleration * np.float32(period)
        self.last = np.zeros(action.size, np.float32)

    def __call__(self, command: np.ndarray) -> np.ndarray:
        """Limit speed, then the change since the last command.

        Args:
            command: (A,) in the action space's units.

        Returns:
            (A,) float32, a new array; becomes ``last``.

        Raises:
            UnsafeCommandError: it contains NaN or inf; ``last`` is not changed.
        """
        if not np.isfinite(command).all():
            raise UnsafeCommandError(f"the policy commands {np.asarray(command).tolist()}, which is not finite")
        allowed = np.minimum(np.maximum(command, self._low), self._high)
        self.last = np.minimum(np.maximum(allowed, self.last - self._step), self.last + self._step)
        return self.last.copy()

    def reset(self) -> None:
        """The robot stands: the next command starts from zero."""
        self.last = np.zeros_like(self.last)
