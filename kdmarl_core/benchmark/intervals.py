"""Statistics over seeds: interquartile means and bootstrap confidence intervals.

As in Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice" (arXiv 2108.13264): every
task is a stratum, and seeds are resampled within each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import numpy as np
from scipy import stats

CONFIDENCE = 0.95
"""Confidence level of every interval."""
RESAMPLES = 2000
TRIM = 0.25
"""Share of values that an interquartile mean trims at each end, rounded down to whole values."""


MEAN_TASKS = (1, 10)
"""Numbers of tasks for which :data:`COVERAGE` of means over tasks is known."""


class Coverage(NamedTuple):
    """How often intervals contain the true value."""

    iqm: float
    """for :func:`interval`, one task"""
    mean: dict[int, float]
    """number of tasks → for :func:`interval_of_mean`"""


COVERAGE = {
    2: Coverage(0.50, {1: 0.50, 10: 0.80}),
    3: Coverage(0.75, {1: 0.75, 10: 0.87}),
    4: Coverage(0.875, {1: 0.80, 10: 0.89}),
    5: Coverage(0.90, {1: 0.84, 10: 0.91}),
}
"""Seeds of each task → coverage, if seeds are normally distributed; with many seeds it is :data:`CONFIDENCE`.

It is 1 - 2^(1 - seeds) for intervals of one task that reach from the lowest to the highest seed (:func:`spans_all`);
the others are simulated with 10,000 draws by ``share_with_zero`` of ``test/benchmark/test_intervals.py``.
"""


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """Interquartile mean with its confidence interval."""

    iqm: float
    low: float
    high: float


def interval(scores: np.ndarray, seed: int = 0) -> Interval:
    """Interquartile mean of ``scores`` (seeds, tasks) and its interval by stratified bootstrap over seeds.

    With one seed the interval has zero width.
    """
    low = high = iqm = rounded(stats.trim_mean(scores, TRIM, axis=None))
    if scores.shape[0] > 1:
        low, high = _bootstrap(
            list(scores.T), lambda *drawn, axis: stats.trim_mean(np.concatenate(drawn, axis), TRIM, axis=axis), seed
        )
    return Interval(iqm=iqm, low=low, high=high)


def interval_of_mean(strata: list[np.ndarray], seed: int = 0) -> tuple[float | None, float | None]:
    """Interval of the mean over tasks of means over seeds, by stratified bootstrap.

    Args:
        strata: values of each task's seeds.
        seed: of the resampling.

    Returns:
        Lower and upper bound; None if a task has only one seed.
    """
    if min(map(len, strata)) < 2:
        return None, None
    return _bootstrap(strata, lambda *drawn, axis: np.mean([values.mean(axis) for values in drawn], 0), seed)


def averaged(seeds: int) -> int:
    """How many of a task's ``seeds`` (the middle ones) an interquartile mean averages."""
    return seeds - 2 * int(TRIM * seeds)


def spans_all(seeds: int) -> bool:
    """Whether the interval of a task with this number of ``seeds`` reaches from the lowest to the highest seed.

    This is the case if resamples whose interquartile mean averages only the lowest seed are frequent enough.
    """
    found = interval(np.arange(seeds, dtype=np.float64)[:, None])
    return (found.low, found.high) == (0.0, seeds - 1.0)


def rounded(value: float) -> float:
    """Round to the decimals of result files."""
    return round(float(value), 5)


def _bootstrap(strata: list[np.ndarray], statistic: Callable[..., Any], seed: int) -> tuple[float, float]:
    """Interval of ``statistic`` over ``strata``, each resampled independently."""
    bounds = stats.bootstrap(
        tuple(strata),
        statistic,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return rounded(bounds.low), rounded(bounds.high)
