"""Resamples that all rows share: they are drawn once for each number of samples."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from bitpick.statistics.bca import Replicates

RESAMPLES = 2000
_SEED = 0
# Groups for the jackknife that estimates the skew of a metric; with fewer samples, each sample is a group.
_JACKKNIFE_GROUPS = 200
# More samples than this are drawn in random groups of equal size: a mean over many groups of exchangeable samples
# varies like one over the samples, and this many groups give its variance to within 2%.
_MAX_GROUPS = 10_000
_CHUNK = 200  # resamples at a time, which keeps the memory of their weights small


Combined = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Computes a statistic from means: shape (m, means) to (m,)."""


def of_means(terms: NDArray[np.float64], combined: Combined, resamples: int = RESAMPLES) -> Replicates:
    """Resample a statistic that is a function of means over samples, with a matrix product for all resamples.

    Args:
        terms: the contribution of each sample to each mean, of shape (n, means).
        combined: computes the statistic from means: shape (m, means) to (m,); not finite where it has no value.
        resamples: number of resamples.
    """
    count = len(terms)
    block = _resampling_groups(count)
    groups = int(block[-1]) + 1
    sums = np.add.reduceat(terms[_order(count)], np.searchsorted(block, np.arange(groups)), axis=0)
    sizes = np.bincount(block).astype(np.float64)
    weights = _weights(groups, resamples)
    drawn = np.concatenate(
        [
            (chunk @ sums) / (chunk @ sizes)[:, None]
            for start in range(0, resamples, _CHUNK)
            for chunk in [weights[start : start + _CHUNK].astype(np.float64)]
        ]
    )
    total, group = terms.sum(axis=0), _jackknife_groups(count)
    removed = np.stack([np.bincount(group, column, group.max() + 1) for column in terms.T], axis=1)
    left_out = (total - removed) / (count - np.bincount(group))[:, None] if count > 1 else np.empty((0, terms.shape[1]))
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(combined(terms.mean(axis=0)[None])[0])
        return Replicates(value, combined(drawn), combined(left_out), count)


def of_places(
    statistic: Callable[[NDArray[np.int64]], float], count: int, resamples: int = RESAMPLES, seed: int = _SEED
) -> Replicates:
    """Resample any statistic: it is called once for each resample, with sample indices of shape (count,)."""
    places, group = np.arange(count), _jackknife_groups(count)
    drawn = np.array([statistic(each) for each in _places(count, resamples, seed)])
    left_out = np.array([statistic(places[group != each]) for each in range(group.max() + 1)] if count > 1 else [])
    return Replicates(statistic(places), drawn, left_out, count)


def _jackknife_groups(count: int) -> NDArray[np.int64]:
    """Return the jackknife group of each sample: shape (count,)."""
    return np.arange(count) % min(count, _JACKKNIFE_GROUPS)


def _places(count: int, resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    for _ in range(resamples):
        yield rng.integers(0, count, count)


@functools.lru_cache(maxsize=4)
def _order(count: int) -> NDArray[np.int64]:
    """Return the samples in an order that keeps groups together."""
    if count <= _MAX_GROUPS:
        return np.arange(count)
    return np.random.default_rng(_SEED).permutation(count)


def _resampling_groups(count: int) -> NDArray[np.int64]:
    """Return the group of each sample in that order: shape (count,), increasing from 0."""
    return np.arange(count) * min(count, _MAX_GROUPS) // count


@functools.lru_cache(maxsize=2)
def _weights(groups: int, resamples: int) -> NDArray[np.uint8]:
    """Return how often each group occurs in each resample: shape (resamples, groups)."""
    rng = np.random.default_rng(_SEED)
    weights = np.empty((resamples, groups), np.uint8)  # a group practically never occurs 255 times in a resample
    for row in weights:
        row[:] = np.bincount(rng.integers(0, groups, groups), minlength=groups)
    return weights
