"""When to restart a process or node that has died: after increasing delays, and not at all after too many deaths."""

from __future__ import annotations

import time
from collections import deque

FIRST_DELAY = 0.2
"""Delay of the first restart [s]; doubled for each further death within ``CRASH_WINDOW``."""
CRASH_LIMIT = 5
CRASH_WINDOW = 10.0
"""After ``CRASH_LIMIT`` deaths within this time there are no more restarts [s]."""
BAD_INPUT = 2
"""Exit code of a process that cannot start because of bad input; a restart would not help."""


class Restarts:
    """Counts the deaths of one process or node."""

    def __init__(self) -> None:
        self._deaths: deque[float] = deque(maxlen=CRASH_LIMIT)

    def count_death(self) -> float | None:
        """Count a death; returns the delay until the next start [s], None after too many deaths."""
        now = time.monotonic()
        self._deaths.append(now)
        recent = sum(now - death < CRASH_WINDOW for death in self._deaths)
        return None if recent == CRASH_LIMIT else FIRST_DELAY * 2 ** (recent - 1)
