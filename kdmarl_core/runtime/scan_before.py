"""A lidar's scan before its newest one, which has seen what that one leaves out.

A lidar that rotates while its robot turns the other way leaves out a sector, where its scan begins and ends, as wide as
the robot turns in one rotation. The scan before has seen that sector from nearly the same heading.
"""

from __future__ import annotations

from typing import NamedTuple

from kdmarl_core.contract import Scan

SAME = 1e-4
"""Between the times of one message in two control cycles [s]: rounding."""


class Taken(NamedTuple):
    """A scan, and when it was taken."""

    scan: Scan
    earliest: float
    """[s]"""
    latest: float
    """[s]"""

    def age(self, now: float) -> tuple[float, float]:
        """No less and no more than [s]."""
        return now - self.latest, now - self.earliest


class ScanBefore:
    """Keeps the two newest scans of one sensor; a control cycle may come before there is a new one."""

    def __init__(self) -> None:
        self._newest: Taken | None = None
        self._before: Taken | None = None

    def __call__(self, newest: Taken) -> Taken | None:
        """The scan before ``newest``; None where there is none."""
        known = self._newest
        if known is None or abs(newest.latest - known.latest) > SAME:
            # Where time has gone back, nobody knows when the one before was taken.
            self._before = known if known is None or known.latest < newest.latest else None
            self._newest = newest._replace(scan=newest.scan._replace(ranges=newest.scan.ranges.copy()))
        return self._before
