"""Keeping simulated time at a chosen ratio to the steady clock."""

from __future__ import annotations

import time

LARGEST_DEBT = 0.2
"""Delay that is caught up later; more than this is forgiven [s]."""
WINDOW = 5.0
"""Time over which the factor reached is measured [s]."""


class Pace:
    """Sleeps between ticks so that simulated over steady time is ``factor``; 0 is as fast as possible."""

    def __init__(self, factor: float, tick: float) -> None:
        self.factor = factor
        self._tick = tick
        self._due = self._window_start = time.monotonic()
        self._ticks = 0

    def wait(self, factor: float | None = None) -> None:
        """Sleep until the next tick is due, for this tick by another ``factor`` if given."""
        factor = self.factor if factor is None else factor
        now = time.monotonic()
        self._due = max(self._due, now - LARGEST_DEBT) + (self._tick / factor if factor else 0.0)
        self._ticks += 1
        if factor and self._due > now:
            time.sleep(self._due - now)

    def shortfall(self) -> float | None:
        """The factor reached in the window just ended, if it fell short of ``factor`` by over 5 %; else None."""
        elapsed = time.monotonic() - self._window_start
        if elapsed < WINDOW:
            return None
        reached = self._ticks * self._tick / elapsed
        self._window_start, self._ticks = time.monotonic(), 0
        return reached if reached < 0.95 * self.factor else None
