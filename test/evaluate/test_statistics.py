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


def slow_two_level(values, clusters, rng):
    """Mean of one bootstrap sample, by its definition."""
    arenas = np.unique(clusters)
    sample = []
    for arena in rng.choice(arenas, arenas.size):
        episodes = values[clusters == arena]
        sample += rng.choice(episodes, episodes.size).tolist()
    return np.mean(sample)


@pytest.mark.parametrize("sizes", [[20, 20, 20, 20], [1, 5, 30, 12, 12]])
def test_two_levels_match_their_definition(sizes):
    rng = np.random.default_rng(0)
    clusters = rng.permutation(np.repeat(np.arange(len(sizes)) * 7, sizes))
    values = rng.normal(clusters / 7, 1.0)
    interval = statistics.mean(values, clusters=clusters)
    drawn = [slow_two_level(values, clusters, rng) for _ in range(statistics.RESAMPLES)]
    assert interval.mean == pytest.approx(values.mean())
    assert [interval.low, interval.high] == pytest.approx(np.percentile(drawn, [2.5, 97.5]).tolist(), abs=0.1)


def test_arenas_that_differ_widen_the_interval_as_computed():
    rng = np.random.default_rng(1)
    arenas, episodes = 40, 25
    values = rng.normal(0, 1, (arenas, episodes)) + rng.normal(0, 2, (arenas, 1))
    clusters = np.arange(arenas).repeat(episodes)
    # Variance of the two-level bootstrap of equal clusters: that of their means, and that within them.
    variance = values.mean(1).var() / arenas + values.var(1).mean() / (arenas * episodes)
    wide, narrow = statistics.mean(values.flatten(), clusters=clusters), statistics.mean(values.flatten())
    assert wide.high - wide.low == pytest.approx(2 * 1.96 * variance**0.5, rel=0.07)
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)


def test_nothing_is_retained_of_an_expert_that_is_no_better_than_random_commands():
    returns = np.ones((8, 2))
    assert statistics.retention(returns, returns, returns) is None
    assert statistics.retention(returns, returns, returns + 1) is None


def test_retention_is_resampled_by_arena_too():
    rng = np.random.default_rng(2)
    clusters = np.arange(10).repeat(50)
    hard = rng.normal(0, 2, 10)[clusters][:, None]
    expert, random = 10 + rng.normal(0, 1, (500, 2)), rng.normal(-2, 1, (500, 2))
    student = 8 + hard + rng.normal(0, 1, (500, 2))
    wide = statistics.retention(student, expert, random, clusters=clusters)
    narrow = statistics.retention(student, expert, random)
    assert wide.mean == narrow.mean
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)
    same = statistics.retention(expert, expert, random, clusters=clusters)
    assert (same.low, same.high) == pytest.approx((1.0, 1.0))


def test_missing_values_are_left_out():
    assert statistics.mean(np.array([[1.0, np.nan], [3.0, 5.0]])).mean == pytest.approx(2.5)
