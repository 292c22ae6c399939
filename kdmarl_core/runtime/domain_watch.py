"""Whether a robot behaves as the one that its policy was trained on: how fast its sensors speak, and how it moves.

A difference does not stop the robot, but the policy may do worse than its results say.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from kdmarl_core.contract.kinematics import Kinematics

LAG = 3.0
"""Time constant of the averages that are compared [s]: far longer than any robot takes to follow a command."""

SETTLED = 5.0
"""Driving time before anything is said [s]."""

SLOWER = 0.8
"""Share of a sensor's rate in training below which it differs."""

FOLLOWS = 0.6
"""Share of a commanded speed that a base must reach."""

ENOUGH = 0.2
"""Share of the top speed, on average, below which commands tell nothing of how the base follows them."""


class DomainWatch:
    """Compares averages while the robot drives. Nothing is stored but these."""

    def __init__(
        self,
        action: Kinematics,
        period: float,
        rates: Mapping[str, float],
        intervals: Callable[[], Mapping[str, float]],
    ) -> None:
        """Watch a robot.

        Args:
            action: of the policy.
            period: of control [s].
            rates: topic → rate of the sensor in training [Hz].
            intervals: tells, topic by topic, the time from message to message now [s].
        """
        self._rates, self._intervals = rates, intervals
        self._period = period
        self._weight = min(period / LAG, 1.0)
        self._fastest = action.top_speed, max(map(abs, action.limits[-1]))
        self.reset()

    def reset(self) -> None:
        """The robot stands: begin again."""
        self._driven = 0.0
        self._speed = self._turn = _NOTHING

    def note(self, motion: tuple[float, float, float], velocity: np.ndarray | None) -> None:
        """Note one control cycle.

        Args:
            motion: of the command in force: forward, to the left [m/s], yaw rate [rad/s].
            velocity: as in :attr:`~kdmarl_core.contract.Readings.velocity`; None without odometry.
        """
        self._driven += self._period
        if velocity is not None:
            self._speed = self._speed.towards(motion[0], float(velocity[0]), self._weight)
            self._turn = self._turn.towards(motion[2], float(velocity[-1]), self._weight)

    def differences(self) -> str:
        """What differs from training, in words; empty while nothing does."""
        if self._driven < SETTLED:
            return ""
        found = [
            f"{topic} comes at {1 / interval:.1f} Hz, the policy was trained for {self._rates[topic]:g} Hz"
            for topic, interval in sorted(self._intervals().items())
            if interval * SLOWER * self._rates[topic] > 1
        ]
        for average, fastest, what, unit in (
            (self._speed, self._fastest[0], "drives", "m/s"),
            (self._turn, self._fastest[1], "turns", "rad/s"),
        ):
            wanted, got = average
            if abs(wanted) > ENOUGH * fastest and got * math.copysign(1, wanted) < FOLLOWS * abs(wanted):
                found.append(f"odom says that it {what} at {got:.2f} {unit} where {wanted:.2f} are commanded")
        return "; ".join(found)


class _Average(NamedTuple):
    """Of a speed."""

    commanded: float
    measured: float

    def towards(self, commanded: float, measured: float, weight: float) -> _Average:
        return _Average(
            self.commanded + weight * (commanded - self.commanded), self.measured + weight * (measured - self.measured)
        )


_NOTHING = _Average(0.0, 0.0)
