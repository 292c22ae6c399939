"""Retries: few in a whole run of the tests, and each is reported."""

from __future__ import annotations

import warnings
from collections.abc import Callable


class Retries:
    """Lets a trial fail once, ``left`` times in all."""

    def __init__(self, left: int) -> None:
        self.left = left

    def run(self, trial: Callable[[], None], heal: Callable[[], None]) -> None:
        """Run ``trial``; if it fails and a retry is left, say so among pytest's warnings, ``heal``, run it again.

        Raises:
            AssertionError: of the trial that failed when no retry was left, or twice.
        """
        try:
            trial()
        except AssertionError as error:
            heal()  # later trials must not be affected by this one
            if not self.left:
                raise
            self.left -= 1
            warnings.warn(f"tried once more ({self.left} retries left), after: {error}", stacklevel=2)
            trial()
