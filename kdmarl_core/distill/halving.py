"""Successive halving: try many for a short time, keep the better half, and give it twice the time.

Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization" (AISTATS 2016);
one bracket of Hyperband (Li et al., arXiv 1603.06560).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple


class Rung(NamedTuple):
    """One round of the contest."""

    entrants: int
    rounds: int
    """of distillation that each entrant gets"""


def schedule(candidates: int, rounds: int) -> list[Rung]:
    """Rungs until one candidate is left; the last gives half of ``rounds``, each one before half of the next.

    No rung gives less than one round. A single candidate needs no contest.
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
    """Places of those that go on, the best first; what is not a number comes last, equals keep their order."""
    ranked = sorted(range(len(returns)), key=lambda i: (math.isnan(returns[i]), -returns[i]))
    return ranked[: survivors(len(returns))]
