"""What a robot has driven of late: its commands as it followed them, to know where it was when its sensors looked."""

from __future__ import annotations

import math

import numpy as np

KEPT = 3.0
"""How far back [s]."""


class Track:
    """Speeds over time, in straight lines between moments.

    A command is followed within one period, as far as the robot's accelerations allow. ``fastest`` is the highest
    speed over ground that is kept [m/s].
    """

    def __init__(self, acceleration: np.ndarray) -> None:
        """For a robot that changes the speeds of its commands by ``acceleration``, (A,), the last of which turns it."""
        self._acceleration = np.asarray(acceleration, np.float64)
        self._times: list[float] = []
        """[s]"""
        self._speeds: list[np.ndarray] = []
        """(A,) each"""
        self._over_ground: list[float] = []
        """their speeds over ground [m/s]"""
        self._given = np.zeros_like(self._acceleration)
        """the command in force"""
        self.fastest = 0.0

    @property
    def now(self) -> float:
        """The moment up to which it goes [s]."""
        return self._times[-1]

    def go_on(self, time: float | None, last: np.ndarray, period: float) -> None:
        """Note that it is now ``time``.

        Args:
            time: [s]; None is a ``period`` after the time before.
            last: the command that is in force, (A,).
            period: in which a command is followed [s].
        """
        before = self._times[-1] if self._times else None
        if time is None:
            time = 0.0 if before is None else before + period
        if before is None or time <= before:  # nothing is known: it may have driven like this for long
            self._times, self._speeds, self._over_ground = [], [], []
            self._keep(time, np.asarray(last, np.float64))
        else:
            # A command that was in force for longer than a period has been reached before. One of zero that is not the
            # last that was given is a stop since, in which the robot has slowed down from that one.
            if before + period < time:
                self._note(before + period, self._given)
                rests = np.abs(self._speeds[-1] - last) / self._acceleration
                for rest in np.unique(rests[rests > 0]):
                    if before + period + rest < time:
                        self._note(before + period + float(rest), last)
            self._note(time, last)
        while len(self._times) > 1 and self._times[1] < time - KEPT:
            del self._times[0], self._speeds[0], self._over_ground[0]
        self.fastest = max(self._over_ground)

    def _note(self, time: float, command: np.ndarray) -> None:
        """That the robot has followed ``command`` until ``time``, as far as it could."""
        self._keep(time, self._after(self._speeds[-1], command, time - self._times[-1]))

    def _keep(self, time: float, speed: np.ndarray) -> None:
        self._times.append(time)
        self._speeds.append(speed)
        self._over_ground.append(math.hypot(*speed[:-1]))

    def _after(self, speed: np.ndarray, command: np.ndarray, duration: float) -> np.ndarray:
        step = self._acceleration * duration
        return np.minimum(np.maximum(command, speed - step), speed + step)

    def give(self, command: np.ndarray) -> None:
        """Note the command that is given now, (A,)."""
        self._given = np.asarray(command, np.float64)

    def speeds(self, times: np.ndarray, commands: list[np.ndarray], period: float) -> np.ndarray:
        """Speeds at ``times`` since now.

        Args:
            times: (n,) [s], negative ones have been.
            commands: those to come, (A,) each.
            period: from one command to the next [s].

        Returns:
            (n, A). Before what is kept, and after the last command, they do not change.
        """
        speeds = list(self._speeds)
        for command in commands:
            speeds.append(self._after(speeds[-1], command, period))
        now = self._times[-1]
        known = [*(time - now for time in self._times), *(period * (index + 1) for index in range(len(commands)))]
        return np.array([np.interp(times, known, axis) for axis in np.array(speeds).T]).T
