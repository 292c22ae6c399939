"""The scan guard: never a command from which the robot could not stop short of what its own sensors see.

Before a command is given, the robot's way is computed: what it has driven since the readings were taken, the command
for one period, then braking as fast as :class:`~kdmarl_core.runtime.SafetyFilter` lets it. If that way is clear, so is
the braking after it, which is what remains to be done when the next command is not. So a robot that begins clear of
what stands still around it stays clear of it, whatever its policy wants. What the sensors do not see, and what moves,
is not covered.

Nothing nearer, older or less known ever permits more motion: what lies behind a return counts as blocked, too, so that
a nearer return blocks all that a farther one does; older readings add places where the robot may be by now; and what
lies beyond the sensors' sight counts as blocked. Of each lidar, what the scan before the newest one saw counts as well.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from kdmarl_core.contract import KdmarlError, Kinematics, Readings, RobotType, Scan
from kdmarl_core.contract.sensors.base import Returns, Sensor
from kdmarl_core.runtime.blocked import avoids, from_centre
from kdmarl_core.runtime.scan_before import ScanBefore, Taken
from kdmarl_core.runtime.track import KEPT, Track

MARGIN = 0.02
"""Kept beyond the robot's radius [m], for what the way's samples leave out."""

MAX_SAMPLES = 1000
"""Places on a way."""

MAX_AGE = 1.0
"""Of readings, as far back as the robot's own commands are kept [s]."""

SHARES = (1.0, 0.75, 0.5, 0.25, 0.0)
"""Of the commanded speed over ground, that are tried in turn."""

CHANGED = 1e-5
"""Difference of commands that is only rounding, in their units."""


class TooOldError(KdmarlError):
    """The readings are too old to guard by."""


def ages(since_stamp: float, since_arrival: float, turn: float) -> tuple[float, float]:
    """How old a message's readings are, at least and at most [s].

    Drivers stamp a scan with the start of the lidar's turn, as ``sensor_msgs/LaserScan`` says, or with its end: which
    of the two is not known, so it may be either.

    Args:
        since_stamp: from the message's stamp until now [s]; below ``since_arrival`` where clocks disagree.
        since_arrival: from its arrival until now [s].
        turn: from its first reading to its last [s].
    """
    return since_arrival, max(since_stamp, since_arrival) + turn


class _View(NamedTuple):
    """What one message of a sensor says."""

    seen: Returns
    youngest: float
    """least age [s]"""
    oldest: float
    """greatest age [s]"""


class _Course(NamedTuple):
    """Samples of where the robot has been, and goes."""

    place: np.ndarray
    """(n,) x + iy [m]"""
    heading: np.ndarray
    """(n,) [rad]"""
    moves: np.ndarray
    """(n - 1,) whether it moves from one to the next"""
    now: int
    """index of where it is, if it obeys at once"""


class ScanGuard:
    """Slows a robot down, or stops it, before what its sensors see.

    Supposed is that the readings are as old as they say, that the robot obeys no later than one period, and that cycles
    come in time. ``changed`` tells whether the last command was.
    """

    def __init__(self, action: Kinematics, robot: RobotType, period: float, spacing: float = 1.0) -> None:
        """Guard a ``robot`` whose commands change by what ``action`` allows in a ``period`` [s].

        A command may stay in force for ``spacing`` periods before the next.

        Raises:
            KdmarlError: it brakes so slowly, or drives so far in a period, that its way is too long to be looked at.
        """
        self.changed = False
        self._action = action
        self._acceleration = np.asarray(action.acceleration, np.float64)
        self._step = self._acceleration * period
        self._least_step = float(self._step[:-1].min())
        self._period = spacing * period
        self._radius = robot.radius
        self._sensors: dict[str, Sensor] = robot.sensors.carried
        self._offset = {name: float(np.hypot(*each.origins.T).max()) for name, each in self._sensors.items()}
        """of the sensors from the robot's centre [m]"""
        # The robot's, not the policy's: after a swap it may still be faster than its new policy.
        farthest = robot.action.top_speed * self._period
        samples = max(2, math.ceil(farthest / ((robot.radius + MARGIN) / 2)))
        for axis, (low, high), step in zip(action.axes[:-1], robot.action.limits, self._step, strict=False):
            if max(-low, high) > MAX_SAMPLES / samples * step:
                raise KdmarlError(
                    f"{axis.acceleration} {getattr(action, axis.acceleration):g} {axis.unit}² is too little for the "
                    f"scan guard at {[low, high]} {axis.unit}; correct the limits or turn scan_guard off"
                )
        self._samples = samples
        """places on the way of one period"""
        self._duration = self._period / samples
        """from place to place [s]"""
        # A disc that is this much larger at two samples covers the robot between them, whichever of the two the
        # readings' age and the place on the way differ by.
        self._need = math.hypot(robot.radius + MARGIN, farthest / samples)
        self._driven = Track(robot.action.acceleration)
        self._last = np.zeros_like(self._step)
        """the command before the one that was allowed last"""
        self._scan_before = {name: ScanBefore() for name in self._sensors}
        self._shares = [np.array([share] * (action.size - 1) + [1.0]) for share in SHARES]

    def __call__(self, readings: Readings, last: np.ndarray, command: np.ndarray) -> np.ndarray:
        """The command, or one with less speed in the same direction, or braking.

        Args:
            readings: of this cycle, from sensors that show what is around, with their age.
            last: command that was given last, (A,) in the action space's units.
            command: as the safety filter lets it through, (A,).

        Returns:
            (A,) float32, which changes no faster than the safety filter allows.

        Raises:
            TooOldError: the readings may be older than ``MAX_AGE``.
            KdmarlError: there are no such readings.
        """
        oldest = max((age[1] for age in readings.ages.values()), default=0.0)
        if not all(age[1] <= MAX_AGE for age in readings.ages.values()):  # NaN as well
            raise TooOldError(
                f"the sensors' readings may be {oldest:.2f} s old, too old for the scan guard, which needs them within "
                f"{MAX_AGE:g} s; use a faster sensor, or turn scan_guard off"
            )
        self._driven.go_on(readings.time, last, self._period)
        newest, before = self._views(readings, self._fastest(last, command))
        touching = any((from_centre(view.seen) < self._radius).any() for view in newest)
        views = [view for view in (*newest, *before) if view.seen.distance.size]
        for share in self._shares:
            wanted = self._within_reach(last, command * share)
            # A robot that touches something may drive away from it, not scrape along by turning.
            if not (touching and not wanted[:-1].any()) and self._is_clear(views, wanted):
                break
        else:
            wanted = self._within_reach(last, np.zeros_like(self._step))
        allowed = wanted.astype(np.float32)
        self._driven.give(allowed)
        self._last = np.asarray(last, np.float64)
        self.changed = bool((np.abs(allowed - command) > CHANGED).any())
        return allowed

    def withhold(self) -> None:
        """The command that was allowed last did not reach the robot, for which the one before is still in force."""
        self._driven.give(self._last)

    def take_over(self, other: ScanGuard) -> None:
        """Go on from the commands that ``other`` let through, and from what it saw."""
        self._driven, self._last = other._driven, other._last
        self._scan_before |= other._scan_before

    def covers(self, other: ScanGuard) -> bool:
        """Whether it brakes as fast as ``other``, and as often has a command to do so."""
        return bool((self._acceleration >= other._acceleration).all()) and self._period <= other._period

    def _within_reach(self, last: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        return np.minimum(np.maximum(wanted, last - self._step), last + self._step)

    def _fastest(self, last: np.ndarray, command: np.ndarray) -> float:
        """No less than the speed over ground on the way of any command between ``last`` and ``command`` [m/s]."""
        speeds = [max(abs(one), abs(other)) for one, other in zip(last.tolist(), command.tolist(), strict=True)]
        return max(self._driven.fastest, math.hypot(*speeds[:-1]))

    def _farthest(self, oldest: float, speed: float) -> float:
        """No less than the length of such a way [m] at up to ``speed`` [m/s]."""
        return speed * (oldest + self._period * (2 + math.ceil(speed / self._least_step)))

    def _is_clear(self, views: list[_View], command: np.ndarray) -> bool:
        """Whether the way is clear of everything seen; of what is too near already, whether it leads away."""
        if not views:
            return True
        course = self._course(max(view.oldest for view in views), command)
        return all(avoids(view.seen, self._way(view.youngest, view.oldest, course), self._need) for view in views)

    def _course(self, oldest: float, command: np.ndarray) -> _Course:
        """Where the robot has been since ``oldest`` [s] ago, and goes with ``command`` and braking after it.

        A robot that obeys late is where one that obeys at once has been: it begins a period earlier.
        """
        periods = math.ceil((np.abs(command) / self._step)[:-1].max() - 1e-9)
        slower = np.maximum(np.abs(command) - self._step * np.arange(1, periods + 1)[:, None], 0) * np.sign(command)
        before = self._samples_since(oldest)
        times = np.arange(-before, (periods + 1) * self._samples + 1) * self._duration
        speeds = self._driven.speeds(times, [command, *slower], self._period)
        moved = self._action.body_velocity((speeds[1:] + speeds[:-1]) / 2) * self._duration
        heading = np.concatenate([[0], np.cumsum(moved[:, 2])])
        steps = (moved[:, 0] + 1j * moved[:, 1]) * np.exp(1j * (heading[:-1] + moved[:, 2] / 2))
        place = np.concatenate([[0], np.cumsum(steps)])
        return _Course(place, heading, np.asarray(moved.any(1)), before)

    def _samples_since(self, oldest: float) -> int:
        """Places of a course before now, for readings that are ``oldest`` [s]."""
        return math.ceil((oldest + self._period) / self._duration - 1e-9)

    def _way(self, youngest: float, oldest: float, course: _Course) -> np.ndarray:
        """Places that the robot may be at from now on, (2, places) x, y [m] from where the readings were taken.

        For each age of the readings from ``youngest`` to ``oldest`` [s], and each delay of the robot up to a period.
        """
        place, heading, moves, now = course
        first = now - self._samples_since(oldest)
        latest = now - math.floor(youngest / self._duration)
        starts = np.append(np.flatnonzero(moves[first:latest]) + first, latest)  # while it stands, all are the same
        ahead = np.arange(now - self._samples, place.size)
        way = (place[ahead] - place[starts, None]) * np.exp(-1j * heading[starts, None])
        way = way[ahead >= starts[:, None]]
        return np.stack([way.real, way.imag])

    def _views(self, readings: Readings, speed: float) -> tuple[list[_View], list[_View]]:
        """What the ``readings`` say is within reach at ``speed`` [m/s], and what the scans before them say."""
        now = self._driven.now
        newest, before = [], []
        for name, sensor in self._sensors.items():
            reading = readings.said(name)
            if reading is None:
                continue
            youngest, oldest = readings.ages.get(name, (0.0, 0.0))
            beyond = self._need + self._offset[name]
            seen = sensor.returns(reading, self._farthest(oldest, speed) + beyond)
            if seen is None:
                continue
            newest.append(_View(seen, youngest, oldest))
            if not isinstance(reading, Scan):
                continue
            earlier = self._scan_before[name](Taken(reading, now - oldest, now - youngest))
            if earlier is not None and earlier.earliest > now - KEPT:
                youngest, oldest = earlier.age(now)
                seen = sensor.returns(earlier.scan, self._farthest(oldest, speed) + beyond)
                if seen is not None:
                    before.append(_View(seen, youngest, oldest))
        if not newest:
            raise KdmarlError("the scan guard needs a scan or ranges, and there are none; turn scan_guard off")
        return newest, before
