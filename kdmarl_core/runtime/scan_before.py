"""A lidar's scan before its newest one, which has seen what that one leaves out.

A lidar that rotates while its robot turns the other way leaves out a sector, where its scan begins and ends, as wide as
the robot turns in one rotation. Both scans together leave out nothing, since one goes on where the other ended.
"""

from __future__ import annotations

from typing import NamedTuple

from kdmarl_core.contract import Scan


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
    """Tells one message from the next by what they say: a control cycle may come before there is a new one."""

    def __init__(self) -> None:
        self._newest: Taken | None = None
        self._before: Taken | None = None

    def __call__(self, newest: Taken) -> Taken | None:
        """The scan before ``newest``; None where there is none."""
        known = self._newest
        if known is not None and _same(known.scan, newest.scan):
            self._newest = newest._replace(scan=known.scan)
        else:
            self._before = known
            self._newest = newest._replace(scan=newest.scan._replace(ranges=newest.scan.ranges.copy()))
        return self._before


def _same(scan: Scan, other: Scan) -> bool:
    return scan[1:] == other[1:] and scan.ranges.tobytes() == other.ranges.tobytes()
