"""Means and retention with 95 % bootstrap intervals over episodes."""

from __future__ import annotations

import numpy as np

from kdmarl_core.contract.manifest import Interval

RESAMPLES = 2000


def mean(values: np.ndarray, seed: int = 0) -> Interval:
    """Mean of one value per episode with a percentile bootstrap interval over episodes.

    Args:
        values: (episodes, ...), averaged over the trailing axes first; NaN is left out.
        seed: of the resampling.
    """
    per_episode = np.nanmean(values.reshape(values.shape[0], -1), axis=1)
    draws = _resample(per_episode.size, seed)
    return _interval(per_episode.mean(), per_episode[draws].mean(1))


def retention(student: np.ndarray, expert: np.ndarray, random: np.ndarray, seed: int = 0) -> Interval:
    """(student − random) / (expert − random) of mean returns, with a bootstrap interval.

    The three must have met the same episodes in the same order: they are resampled together.

    Args:
        student: (episodes, n) returns.
        expert: (episodes, n) returns.
        random: (episodes, n) returns.
        seed: of the resampling.
    """
    means = [values.reshape(values.shape[0], -1).mean(1) for values in (student, expert, random)]
    draws = _resample(means[0].size, seed)
    drawn = [m[draws].mean(1) for m in means]
    ratio = (drawn[0] - drawn[2]) / (drawn[1] - drawn[2])
    return _interval((means[0].mean() - means[2].mean()) / (means[1].mean() - means[2].mean()), ratio)


def _resample(size: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, size, (RESAMPLES, size))


def _interval(value: float, draws: np.ndarray) -> Interval:
    low, high = np.percentile(draws, [2.5, 97.5])
    return Interval(mean=float(value), low=float(low), high=float(high))
