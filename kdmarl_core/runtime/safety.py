"""The last gate between a policy and a robot: finite, within the limits, no faster change than allowed."""

from __future__ import annotations

import numpy as np

from kdmarl_core.contract import DiffDrive, KdmarlError


class UnsafeCommand(KdmarlError):
    """A policy gave something that is no command at all."""


class SafetyFilter:
    """Lets through only what the limits allow, starting from standstill."""

    def __init__(self, action: DiffDrive, period: float) -> None:
        """Hold commands within ``action``, given every ``period`` seconds."""
        self._low, self._high = action.low, action.high
        self._step = action.acceleration * np.float32(period)
        self._last = np.zeros(action.size, np.float32)

    def __call__(self, command: np.ndarray) -> np.ndarray:
        """Limit speed, then the change since the last command.

        Args:
            command: (2,) [m/s, rad/s].

        Returns:
            (2,) float32, a new array, which counts as given.

        Raises:
            UnsafeCommand: it holds NaN or inf; nothing counts as given.
        """
        if not np.isfinite(command).all():
            raise UnsafeCommand(f"the policy commands {np.asarray(command).tolist()}, which is not finite")
        allowed = np.minimum(np.maximum(command, self._low), self._high)
        self._last = np.minimum(np.maximum(allowed, self._last - self._step), self._last + self._step)
        return self._last.copy()

    def reset(self) -> None:
        """The robot stands: the next command starts from zero."""
        self._last = np.zeros_like(self._last)
