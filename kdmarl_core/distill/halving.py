"""Successive halving: try many candidates briefly, keep the better half, and give it twice the time.

Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization" (AISTATS 2016);
one bracket of Hyperband (Li et al., arXiv 1603.06560).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple


class Rung(NamedTuple):
    """One stage of successive halving."""

    entrants: int
    rounds: int
    """of distillation for each entrant"""


def schedule(candidates: int, rounds: int) -> list[Rung]:
    """Rungs until one candidate is left; the last has half of ``rounds``, each earlier one half of the next.

    Every rung has at least one round. A single candidate needs no rungs.
    """
    entrants = []
    while candidates > 1:
        entrants.append(candidates)
        candidates = survivors(candidates)
    last = len(entrants)
    return [Rung(count, max(1, rounds >> (last - index))) for index, count in enumerate(entrants)]


def survivors(entrants: int) -> int:
    """How many of a rung's entrants go on: half of them, rounded up."""
    return -(-entrants // 2)


def better_half(returns: Sequence[float]) -> list[int]:
    """Indices of the survivors, best first; NaN is ranked last, ties keep their order."""
    ranked = sorted(range(len(returns)), key=lambda i: (math.isnan(returns[i]), -returns[i]))
    return ranked[: survivors(len(returns))]
