"""Intervals cover what they should; retention is 1 for the expert and 0 for random commands."""

import numpy as np
import pytest

from kdmarl_core.evaluate import statistics


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        interval = statistics.mean(rng.normal(1.0, 2.0, (60, 2)), seed=trial)
        assert interval.low < interval.mean < interval.high
        covered += interval.low <= 1.0 <= interval.high
    assert 0.9 <= covered / 200 <= 0.99


def test_retention():
    rng = np.random.default_rng(0)
    expert, random = rng.normal(10, 1, (500, 2)), rng.normal(-2, 1, (500, 2))
    student = rng.normal(7, 1, (500, 2))
    same = statistics.retention(expert, expert, random)
    assert (same.mean, same.low, same.high) == pytest.approx((1.0, 1.0, 1.0))
    assert statistics.retention(random, expert, random).mean == pytest.approx(0.0)
    kept = statistics.retention(student, expert, random)
    assert kept.mean == pytest.approx(9 / 12, abs=0.02)
    assert kept.low < 0.75 < kept.high
    assert kept.high - kept.low < 0.05


def test_missing_values_are_left_out():
    assert statistics.mean(np.array([[1.0, np.nan], [3.0, 5.0]])).mean == pytest.approx(2.5)
