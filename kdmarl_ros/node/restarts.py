"""When to start again what has died: ever later, and after too many deaths not at all."""

from __future__ import annotations

import time
from collections import deque

FIRST_DELAY = 0.2
"""Before the next start [s]; doubled for each further death within ``CRASH_WINDOW``."""
CRASH_LIMIT = 5
CRASH_WINDOW = 10.0
"""What dies ``CRASH_LIMIT`` times in this time stays down [s]."""
BAD_INPUT = 2
"""Exit code of a process that cannot start as it was told to; trying again is no use."""


class Restarts:
    """The deaths of one process or node."""

    def __init__(self) -> None:
        self._deaths: deque[float] = deque(maxlen=CRASH_LIMIT)

    def count_death(self) -> float | None:
        """Count a death; the delay until the next start [s], None when it has died too often."""
        now = time.monotonic()
        self._deaths.append(now)
        recent = sum(now - death < CRASH_WINDOW for death in self._deaths)
        return None if recent == CRASH_LIMIT else FIRST_DELAY * 2 ** (recent - 1)
