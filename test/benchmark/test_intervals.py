"""Intervals over seeds, and how often they contain the true value."""

import numpy as np
import pytest
from scipy import stats

from kdmarl_core.benchmark import intervals
from kdmarl_core.benchmark.intervals import COVERAGE, Interval, interval, interval_of_mean

DRAWS = 300
"""Enough to tell the shares of `COVERAGE` apart, which are of 10,000."""


def share_with_zero(seeds, tasks=None, draws=DRAWS):
    """Of intervals of normally distributed seeds around zero: of one task, or of the mean over `tasks`."""
    rng = np.random.default_rng(seeds)
    found = 0
    for _ in range(draws):
        if tasks:
            low, high = interval_of_mean(list(rng.normal(size=(tasks, seeds))))
        else:
            each = interval(rng.normal(size=(seeds, 1)))
            low, high = each.low, each.high
        found += low <= 0 <= high
    return found / draws


@pytest.mark.parametrize("seeds", COVERAGE)
def test_intervals_of_few_seeds_contain_the_true_value_as_often_as_pages_say(seeds):
    said = COVERAGE[seeds]
    for found, share in [
        (share_with_zero(seeds), said.iqm),
        *((share_with_zero(seeds, tasks), said.mean[tasks]) for tasks in intervals.MEAN_TASKS),
    ]:
        assert found == pytest.approx(share, abs=3 * np.sqrt(share * (1 - share) / DRAWS))


def test_intervals_of_many_seeds_contain_the_true_value_about_as_often_as_they_are_to():
    rng = np.random.default_rng(0)
    found = []
    for trial in range(200):
        scores = rng.normal([0.2, 0.9], 0.05, (20, 2))
        each = interval(scores, seed=trial)
        assert each.iqm == pytest.approx(stats.trim_mean(scores, 0.25, axis=None), abs=1e-5)
        found.append(each)
    # The strata stay whole: the interval is that of the seeds, far narrower than the tasks are apart.
    assert np.mean([each.high - each.low for each in found]) < 0.12
    assert np.mean([each.low <= 0.55 <= each.high for each in found]) > 0.85


def test_one_seed_has_no_interval():
    assert interval(np.array([[0.5, 0.7]])) == Interval(iqm=0.6, low=0.6, high=0.6)
    assert interval_of_mean([np.array([0.5, 0.7]), np.array([0.6])]) == (None, None)


@pytest.mark.parametrize(("seeds", "averaged", "spans_all"), [(2, 2, True), (3, 3, True), (4, 2, True), (5, 3, False)])
def test_what_an_interquartile_mean_is_of_few_seeds(seeds, averaged, spans_all):
    assert intervals.averaged(seeds) == averaged
    assert intervals.spans_all(seeds) == spans_all
    scores = np.random.default_rng(seeds).normal(size=seeds)
    middle = np.sort(scores)[(seeds - averaged) // 2 :][:averaged]
    found = interval(scores[:, None])
    assert found.iqm == pytest.approx(middle.mean(), abs=1e-5)
    assert ((found.low, found.high) == pytest.approx((scores.min(), scores.max()), abs=1e-5)) == spans_all
