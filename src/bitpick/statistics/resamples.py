"""Resamples that all rows share: the same ones for the same number of samples, drawn once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from bitpick.statistics.bca import Replicates

RESAMPLES = 2000
_SEED = 0
# So many groups of samples are left out in turn to find how skewed a metric is; one sample each, where there are fewer.
_GROUPS = 200
# More samples than this are drawn in groups of even size, put together at random: a mean over many groups of
# exchangeable samples varies as one over the samples does, and so many groups tell its variance to within 2%.
_MOST_GROUPS = 10_000
_CHUNK = 200  # resamples at once: the memory of their weights stays small


Combined = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""From means of shape (m, means) to a statistic of each: shape (m,)."""


def of_means(terms: NDArray[np.float64], combined: Combined, resamples: int = RESAMPLES) -> Replicates:
    """A statistic that is made of means over samples, on resamples: a matrix product for all of them.

    Args:
        terms: what each sample adds to each mean, of shape (n, means).
        combined: takes means of shape (m, means) and gives the statistic of each, of shape (m,); not finite where it
            has no value.
        resamples: how many.
    """
    count = len(terms)
    block = _blocks(count)
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
    whole, out = terms.sum(axis=0), _left_out(count)
    taken = np.stack([np.bincount(out, column, out.max() + 1) for column in terms.T], axis=1)
    left = (whole - taken) / (count - np.bincount(out))[:, None] if count > 1 else np.empty((0, terms.shape[1]))
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(combined(terms.mean(axis=0)[None])[0])
        return Replicates(value, combined(drawn), combined(left), count)


def of_places(
    statistic: Callable[[NDArray[np.int64]], float], count: int, resamples: int = RESAMPLES, seed: int = _SEED
) -> Replicates:
    """Any statistic, on resamples: one call for each, with the places of its samples, of shape (count,)."""
    places, out = np.arange(count), _left_out(count)
    drawn = np.array([statistic(each) for each in _places(count, resamples, seed)])
    left = np.array([statistic(places[out != each]) for each in range(out.max() + 1)] if count > 1 else [])
    return Replicates(statistic(places), drawn, left, count)


def _left_out(count: int) -> NDArray[np.int64]:
    """Into which group each sample falls that is left out as a whole: shape (count,)."""
    return np.arange(count) % min(count, _GROUPS)


def _places(count: int, resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    for _ in range(resamples):
        yield rng.integers(0, count, count)


@functools.lru_cache(maxsize=4)
def _order(count: int) -> NDArray[np.int64]:
    """The samples in an order in which groups are next to each other."""
    if count <= _MOST_GROUPS:
        return np.arange(count)
    return np.random.default_rng(_SEED).permutation(count)


def _blocks(count: int) -> NDArray[np.int64]:
    """The group of each sample in that order: shape (count,), rising from 0."""
    return np.arange(count) * min(count, _MOST_GROUPS) // count


@functools.lru_cache(maxsize=2)
def _weights(groups: int, resamples: int) -> NDArray[np.uint8]:
    """How often each group is in each resample: shape (resamples, groups)."""
    rng = np.random.default_rng(_SEED)
    found = np.empty((resamples, groups), np.uint8)  # a group comes up 255 times in a resample about never
    for row in found:
        row[:] = np.bincount(rng.integers(0, groups, groups), minlength=groups)
    return found
