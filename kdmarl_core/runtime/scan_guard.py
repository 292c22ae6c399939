"""The scan guard: never a command from which the robot could not stop short of what its own sensors see.

Before a command is given, the robot's way is computed: the command for one period, then braking as fast as
:class:`~kdmarl_core.runtime.SafetyFilter` lets it. If that way is clear, so is the braking after it, which is what
remains to be done when the next command is not. So a robot that begins clear of what stands still around it stays clear
of it, whatever its policy wants. What the sensors do not see, and what moves, is not covered.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from kdmarl_core.contract import DiffDrive, KdmarlError, Readings, RobotType, Scan
from kdmarl_core.contract.robots import RangeSensorRing

MARGIN = 0.02
"""Kept beyond the robot's radius [m], for what the way's samples leave out."""

MAX_SAMPLES = 1000
"""Places on a way, for each latency."""

LATENCIES = (0.0, 0.5, 1.0)
"""From the readings to the robot's obeying [periods], each of which the way must be clear for."""

SHARES = (1.0, 0.75, 0.5, 0.25, 0.0)
"""Of the commanded forward speed, that are tried in turn."""

CHANGED = 1e-5
"""Difference of commands that is no rounding [m/s, rad/s]."""


class Returns(NamedTuple):
    """What was seen: each an arc around the robot, on which something may be anywhere."""

    distance: np.ndarray
    """(seen,) [m]"""
    angle: np.ndarray
    """(seen,) of the arc's middle [rad]"""
    half: np.ndarray
    """(seen,) half of the arc's opening [rad]"""


NOTHING = Returns(np.empty(0), np.empty(0), np.empty(0))
"""Seen in the open."""


class ScanGuard:
    """Slows a robot down, or stops it, before what its lidar or its range sensors see.

    Supposed is that readings are no older, and the robot obeys no later, than one period together, and that cycles come
    in time.
    ``changed`` tells whether the last command was.
    """

    def __init__(self, action: DiffDrive, robot: RobotType, period: float, spacing: float = 1.0) -> None:
        """Guard a ``robot`` whose commands change by what ``action`` allows in a ``period`` [s].

        A command may stay in force for ``spacing`` periods before the next.

        Raises:
            KdmarlError: it brakes so slowly, or drives so far in a period, that its way is too long to be looked at.
        """
        self.changed = False
        self._acceleration = np.asarray(action.acceleration, np.float64)
        self._step = self._acceleration * period
        self._period = spacing * period
        self._radius = robot.radius
        self._earlier = np.zeros(2)
        """command before the last one"""
        self._ring = robot.sensors.range_sensors
        # The robot's, not the policy's: after a swap it may still be faster than its new policy.
        farthest = max(-robot.action.linear[0], robot.action.linear[1]) * self._period
        self._substeps = max(1, math.ceil(farthest / ((robot.radius + MARGIN) / 2)))
        if farthest > MAX_SAMPLES / self._substeps * self._step[0] * self._period:
            raise KdmarlError(
                f"linear_acceleration {action.linear_acceleration:g} m/s² is too little for the scan guard at "
                f"{list(robot.action.linear)} m/s; correct the limits or turn scan_guard off"
            )
        # A disc that is this much larger at two samples covers the robot between them.
        self._need = math.hypot(robot.radius + MARGIN, farthest / self._substeps / 2)

    def __call__(self, readings: Readings, last: np.ndarray, command: np.ndarray) -> np.ndarray:
        """The command, or one with less forward speed, or braking.

        Args:
            readings: of this cycle, from a lidar, range sensors or both.
            last: command that was given last, (2,) [m/s, rad/s].
            command: as the safety filter lets it through, (2,) [m/s, rad/s].

        Returns:
            (2,) float32 [m/s, rad/s], which changes no faster than the safety filter allows.

        Raises:
            KdmarlError: there is neither scan nor ranges.
        """
        seen = self._returns(readings, self._farthest(last, command) + self._need)
        touching = bool((seen.distance < self._radius).any())
        for share in SHARES:
            wanted = self._within_reach(last, command * np.array([share, 1.0]))
            # A robot that touches something may drive away from it, not scrape along by turning.
            if not (touching and wanted[0] == 0) and self._is_clear(seen, last, wanted):
                break
        else:
            wanted = self._within_reach(last, np.zeros(2))
        self._earlier = np.asarray(last, np.float64)
        allowed = wanted.astype(np.float32)
        self.changed = bool((np.abs(allowed - command) > CHANGED).any())
        return allowed

    def reset(self) -> None:
        """The robot stands."""
        self._earlier = np.zeros(2)

    def take_over(self, other: ScanGuard) -> None:
        """Go on from the commands that ``other`` let through."""
        self._earlier = other._earlier

    def covers(self, other: ScanGuard) -> bool:
        """Whether it brakes as fast as ``other``, and as often has a command to do so."""
        return bool((self._acceleration >= other._acceleration).all()) and self._period <= other._period

    def _within_reach(self, last: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        return np.minimum(np.maximum(wanted, last - self._step), last + self._step)

    def _farthest(self, last: np.ndarray, command: np.ndarray) -> float:
        """No less than the length [m] of the way of any command between ``last`` and ``command``.

        On it the robot goes no faster than in any of these, for one period of latency, one of changing from the last
        command to the next, and those of braking.
        """
        speed = max(abs(float(last[0])), abs(float(self._earlier[0])), abs(float(command[0])))
        return self._period * speed * (2 + math.ceil(speed / self._step[0]))

    def _is_clear(self, seen: Returns, last: np.ndarray, command: np.ndarray) -> bool:
        """Whether the way stays clear of everything seen; of what is too near already, whether it comes no nearer."""
        if seen.distance.size == 0:
            return True
        x, y = self._way(last, command)
        reach, bearing = np.hypot(x, y)[:, None], np.arctan2(y, x)[:, None]
        near = seen.distance < reach.max() + self._need
        distance, angle, half = (part[near] for part in seen)
        if distance.size == 0:
            return True
        away = np.abs((bearing - angle + math.pi) % (2 * math.pi) - math.pi)
        squared = distance**2 + reach**2 - 2 * distance * reach * np.cos(np.maximum(away - half, 0))
        return bool((squared >= np.minimum(self._need, distance) ** 2 - 1e-9).all())

    def _way(self, last: np.ndarray, command: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Places on the way of ``command`` and of braking after it, x and y [m] from where the readings were taken.

        For each of ``LATENCIES``, in which the robot is still on its way to ``last``.
        """
        periods = math.ceil(abs(command[0]) / self._step[0] - 1e-9)
        braking = np.maximum(np.abs(command) - self._step * np.arange(1, periods + 1)[:, None], 0) * np.sign(command)
        commands = np.vstack([last, command, braking])
        times = np.arange((len(commands) - 1) * self._substeps + 1) / self._substeps
        speed, rate = (np.interp(times, np.arange(len(commands)), column) for column in commands.T)
        duration = self._period / self._substeps
        forward, turn = (speed[1:] + speed[:-1]) / 2 * duration, (rate[1:] + rate[:-1]) / 2 * duration
        heading = np.cumsum(turn) - turn / 2
        x, y = np.cumsum(forward * np.cos(heading)), np.cumsum(forward * np.sin(heading))
        latency = np.array(LATENCIES)[:, None]
        before, turned = (self._period * latency * (last - (last - self._earlier) * latency / 2)).T[..., None]
        late_x = before * np.cos(turned / 2) + np.cos(turned) * x - np.sin(turned) * y
        late_y = before * np.sin(turned / 2) + np.sin(turned) * x + np.cos(turned) * y
        return late_x.ravel(), late_y.ravel()

    def _returns(self, readings: Readings, within: float) -> Returns:
        """What was seen nearer than ``within`` [m]."""
        parts = []
        if readings.scan is not None:
            parts.append(_of_scan(readings.scan, within))
        if readings.ranges is not None and self._ring is not None:
            parts.append(_of_ring(readings.ranges, self._ring, within))
        if not parts:
            raise KdmarlError("the scan guard needs a scan or ranges, and there are none; turn scan_guard off")
        if len(parts) == 1:
            return parts[0]
        return Returns(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _of_scan(scan: Scan, within: float) -> Returns:
    """Beams that saw something nearer than ``within`` [m], by the rules of :func:`~kdmarl_core.contract.terms.lidar`.

    Each stands for all up to its neighbours: what lies between two beams is no farther away than they say.
    """
    ranges = np.asarray(scan.ranges, np.float64)
    near = np.flatnonzero(ranges < within)  # -inf as well
    if near.size == 0:  # mostly
        return NOTHING
    distance = np.where(ranges[near] == -np.inf, scan.range_min, ranges[near])
    valid = (distance >= scan.range_min) & (distance <= scan.range_max)
    seen, half = near[valid], min(abs(scan.angle_increment), math.pi)
    return Returns(distance[valid], scan.angle_min + scan.angle_increment * seen, np.full(seen.size, half))


def _of_ring(ranges: np.ndarray, ring: RangeSensorRing, within: float) -> Returns:
    """Sensors that saw something nearer than ``within`` [m], each over its cone and half way to its nearest neighbour.

    The distance is shortened by what a straight wall may come nearer beyond the cone.
    """
    bearings = np.asarray(ring.bearings)
    apart = np.abs((bearings[:, None] - bearings + math.pi) % (2 * math.pi) - math.pi)
    np.fill_diagonal(apart, np.inf if bearings.size > 1 else ring.fov)
    half = np.maximum(apart.min(-1), ring.fov) / 2
    distance = np.where(np.isneginf(ranges), ring.min_range, ranges) * np.cos(half - ring.fov / 2)
    seen = (ranges <= ring.range) & (distance < within)  # neither NaN nor inf
    return Returns(np.maximum(distance[seen], 0.0), bearings[seen], half[seen])
