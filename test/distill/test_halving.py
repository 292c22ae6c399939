"""Successive halving: who goes on, and for how long."""

import math

import pytest

from kdmarl_core.distill.halving import Rung, better_half, schedule


def test_rounds_double_while_entrants_halve():
    assert schedule(8, 40) == [Rung(8, 5), Rung(4, 10), Rung(2, 20)]
    assert schedule(5, 40) == [Rung(5, 5), Rung(3, 10), Rung(2, 20)]
    assert schedule(1, 40) == []


@pytest.mark.parametrize("candidates", range(2, 20))
@pytest.mark.parametrize("rounds", [1, 2, 7, 40])
def test_every_schedule_ends_with_two_and_stays_below_the_whole(candidates, rounds):
    rungs = schedule(candidates, rounds)
    assert rungs[0].entrants == candidates
    assert rungs[-1].entrants == 2
    assert all(1 <= rung.rounds <= max(1, rounds // 2) for rung in rungs)
    assert [rung.rounds for rung in rungs] == sorted(rung.rounds for rung in rungs)


def test_the_better_half_comes_best_first():
    assert better_half([1.0, 3.0, 2.0, 0.0]) == [1, 2]
    assert better_half([1.0, 1.0, 1.0]) == [0, 1]
    assert better_half([math.nan, -5.0, math.nan]) == [1, 0]
    assert better_half([7.0]) == [0]
