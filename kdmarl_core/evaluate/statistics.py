"""Means and retention with 95 % bootstrap intervals over episodes.

Episodes of one arena are not independent. Where their arenas are given, a bootstrap sample draws arenas, then
episodes within each of them (Davison and Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kdmarl_core.contract.manifest import Interval

RESAMPLES = 2000


def mean(values: np.ndarray, seed: int = 0, clusters: np.ndarray | None = None) -> Interval:
    """Mean of one value per episode with a percentile bootstrap interval over episodes.

    Args:
        values: (episodes, ...), averaged over the trailing axes first; NaN is ignored.
        seed: of the resampling.
        clusters: (episodes,) index of each episode's arena; None if every episode has its own arena.
    """
    per_episode = np.nanmean(values.reshape(values.shape[0], -1), axis=1)
    return _interval(per_episode.mean(), _resampling(per_episode.size, seed, clusters)(per_episode))


def retention(
    student: np.ndarray, expert: np.ndarray, random: np.ndarray, seed: int = 0, clusters: np.ndarray | None = None
) -> Interval | None:
    """(student − random) / (expert − random) of mean returns, with a bootstrap interval.

    None if the expert is no better than random: there is nothing to retain.

    The same row of all three must come from the same environment and its k-th episode, as from ``episodes.run``: they
    are resampled together. Where episodes end by time only, that is the same episode.

    Args:
        student: (episodes, n) returns.
        expert: (episodes, n) returns.
        random: (episodes, n) returns.
        seed: of the resampling.
        clusters: (episodes,) as for :func:`mean`.
    """
    means = [values.reshape(values.shape[0], -1).mean(1) for values in (student, expert, random)]
    if means[1].mean() <= means[2].mean():
        return None
    means_of_samples = _resampling(means[0].size, seed, clusters)
    drawn = [means_of_samples(m) for m in means]
    ratio = (drawn[0] - drawn[2]) / (drawn[1] - drawn[2])
    return _interval((means[0].mean() - means[2].mean()) / (means[1].mean() - means[2].mean()), ratio)


def _resampling(size: int, seed: int, clusters: np.ndarray | None) -> Callable[[np.ndarray], np.ndarray]:
    """Draw bootstrap samples of ``size`` episodes; returns a function to the mean of each, (size,) → (RESAMPLES,)."""
    rng = np.random.default_rng(seed)
    if clusters is None:
        draws = rng.integers(0, size, (RESAMPLES, size))
        return lambda values: values[draws].mean(1)
    _, first, sizes = np.unique(np.sort(clusters), return_index=True, return_counts=True)
    chosen = rng.integers(0, sizes.size, (RESAMPLES, sizes.size))
    # Clusters differ in size: arrays are as wide as the largest, and masked beyond each cluster's size.
    counts = np.arange(sizes.max()) < sizes[chosen][..., None]
    within = rng.integers(0, sizes[chosen][..., None], counts.shape)
    draws = np.argsort(clusters, kind="stable")[first[chosen][..., None] + within]
    return lambda values: np.where(counts, values[draws], 0).sum((1, 2)) / counts.sum((1, 2))


def _interval(value: float, draws: np.ndarray) -> Interval:
    low, high = np.percentile(draws, [2.5, 97.5])
    return Interval(mean=float(value), low=float(low), high=float(high))
