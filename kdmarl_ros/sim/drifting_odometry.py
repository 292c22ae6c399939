"""Odometry as wheels measure it, and the poses of a localisation that corrects it, of a simulated robot."""

from __future__ import annotations

import math

import numpy as np

from kdmarl_core.contract.planar import Planar

GAIN, BIAS = 0.03, 0.02
"""Standard deviations of a robot's errors: of distances and angles as a share, and of the heading [rad/m]."""

POSE_PERIOD = 500_000_000
"""From pose to pose of the localisation [ns]."""

POSE_NOISE = (0.02, 0.01)
"""Its standard deviation [m, rad]."""


class DriftingOdometry:
    """Starts at zero where the robot starts, and is wrong by more the farther that robot drives."""

    def __init__(self, random: np.random.Generator) -> None:
        """Draw the robot's errors."""
        self._random = random
        self._gain, self._turn_gain = (1 + GAIN * random.standard_normal(2)).tolist()
        self._bias = BIAS * float(random.standard_normal())
        self._true: Planar | None = None
        self._measured = Planar()

    def measure(self, true: Planar) -> Planar:
        """Where it says that the robot is, which is at ``true``; call it at short intervals."""
        if self._true is not None:
            step = self._true.inverse @ true
            way = math.hypot(step.x, step.y)
            turned = math.remainder(step.yaw, 2 * math.pi)
            step = Planar(self._gain * step.x, self._gain * step.y, self._turn_gain * turned + self._bias * way)
            self._measured = self._measured @ step
        self._true = true
        return self._measured

    def localise(self, true: Planar) -> Planar:
        """Where a localisation says that the robot is."""
        x, y, yaw = self._random.standard_normal(3).tolist()
        return Planar(true.x + POSE_NOISE[0] * x, true.y + POSE_NOISE[0] * y, true.yaw + POSE_NOISE[1] * yaw)
