"""Draw calibration samples: seeded, stratified, from one split, with overlap with the other counted."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.artifacts import durable
from bitpick.datasets import npy
from bitpick.datasets.dataset import Dataset, Samples
from bitpick.errors import DataError

DEFAULT_SIZE = 1000


@dataclass(frozen=True)
class CalibrationDraw:
    """The samples drawn from the calibration split.

    Attributes:
        indices: array of shape (size,), int64, in the order in which engines see the samples.
        sha256: digest of the indices.
        per_class: by class name, the number of samples drawn; every class of the calibration split is listed.
        overlap: number of drawn samples that are, byte for byte, also in the evaluation split.
        evaluated: digest of each sample of the evaluation split, see `digest`; shape (n,).
    """

    indices: NDArray[np.int64]
    sha256: str
    per_class: dict[str, int]
    overlap: int
    evaluated: NDArray[np.bytes_]


def stratified(labels: NDArray[np.integer], size: int, seed: int) -> NDArray[np.int64]:
    """Draw samples in proportion to class frequencies, rounded by the largest remainder method.

    Args:
        labels: array of shape (n,), integer classes.
        size: number of samples to draw, at most n.
        seed: seed of the draw; the same seed gives the same samples in the same order.

    Returns:
        Indices of shape (size,), int64, without repeats, in random order.
    """
    generator = np.random.default_rng(seed)
    _, counts = np.unique(labels, return_counts=True)
    exact = counts * (size / len(labels))
    quota = np.floor(exact).astype(np.int64)
    by_remainder = np.argsort(quota - exact, kind="stable")
    quota[by_remainder[: size - quota.sum()]] += 1
    places = np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1])  # of each class, ascending
    drawn = [generator.permutation(each)[:q] for each, q in zip(places, quota, strict=True)]
    return generator.permutation(np.concatenate(drawn)).astype(np.int64)


def digest(arrays: Sequence[NDArray[Any]]) -> str:
    """Return the digest of a sample: BLAKE2b, 16 bytes, over its arrays in C order, one input after the other."""
    state = hashlib.blake2b(digest_size=16)
    for array in arrays:
        state.update(array.tobytes())
    return state.hexdigest()


def draw(dataset: Dataset, size: int, seed: int, names: tuple[str, ...] = ()) -> CalibrationDraw:
    """Draw calibration samples from a data set's calibration split.

    Args:
        dataset: the data set.
        size: number of samples; `DEFAULT_SIZE` is lowered to the size of the split.
        seed: seed of the draw.
        names: the inputs in the model's order; by default all inputs in stored order.

    Raises:
        DataError: `size` is below 1 or larger than the split.
    """
    count = dataset.calibration.count
    size = min(size, count) if size == DEFAULT_SIZE else size
    if not 1 <= size <= count:
        raise DataError(
            f"cannot draw {size:,} calibration samples from the {count:,} of {dataset.name}'s calibration split",
            expected=f"--calibration-size from 1 to {count}",
            fix="give a larger calibration set; where one set is divided, a smaller --split leaves it more samples",
        )
    stored = dataset.calibration.labels
    # Do not stratify without classes. Multi-label data has class names too, but its labels are not integers per sample.
    classes = dataset.classes if stored is not None and stored.ndim == 1 and stored.dtype.kind in "iu" else ()
    labels = np.asarray(stored) if classes else np.zeros(count, np.int64)
    if classes and labels.max() >= len(classes):
        raise DataError(
            f"the calibration split of {dataset.name} has the label {labels.max()}, which is no class of it",
            expected=f"labels 0 to {len(classes) - 1}",
        )
    indices = stratified(labels, size, seed)
    counts = np.bincount(labels[indices], minlength=len(classes))[: len(classes)]
    order = names or tuple(dataset.evaluation.paths)
    evaluated = _digests([dataset.evaluation.paths[name] for name in order], np.arange(dataset.evaluation.count))
    drawn = _digests([dataset.calibration.paths[name] for name in order], np.sort(indices))
    return CalibrationDraw(
        indices=indices,
        sha256=hashlib.sha256(indices.astype("<i8").tobytes()).hexdigest(),
        per_class={classes[place]: int(counts[place]) for place in np.unique(labels)} if classes else {},
        overlap=int(np.isin(drawn, evaluated).sum()),
        evaluated=evaluated,
    )


def drawn_from(pool: Samples, drawn: CalibrationDraw, out: Path) -> Samples:
    """Return the samples of a draw.

    Args:
        pool: the samples that it was drawn from.
        drawn: the draw.
        out: file for the indices.
    """
    out.parent.mkdir(exist_ok=True)
    durable.save_array(out, drawn.indices)
    digest = hashlib.sha256("\n".join([pool.sha256, drawn.sha256, repr(pool.preprocessing)]).encode()).hexdigest()
    return pool.model_copy(update={"indices": out.absolute(), "count": len(drawn.indices), "sha256": digest})


def redraw(samples: Samples, seed: int, out: Path) -> Samples:
    """Draw again with another seed: as many samples, from the same split, stratified in the same way.

    Args:
        samples: the first draw.
        seed: seed of the new draw.
        out: file for the new indices.
    """
    count = len(np.load(samples.inputs[0], mmap_mode="r"))
    labels = np.zeros(count, np.int64) if samples.labels is None else np.load(samples.labels)
    classes = labels.ndim == 1 and np.issubdtype(labels.dtype, np.integer)
    indices = stratified(labels if classes else np.zeros(count, np.int64), samples.count, seed)
    durable.save_array(out, indices)
    digest = hashlib.sha256(f"{samples.sha256} {indices.astype('<i8').tobytes().hex()}".encode()).hexdigest()
    return samples.model_copy(update={"indices": out.absolute(), "sha256": digest})


def apart(samples: Samples, others: Samples) -> NDArray[np.int64]:
    """Return the places of the samples that are not, byte for byte, also among others, in ascending order."""
    return np.flatnonzero(~np.isin(_stored_digests(samples), _stored_digests(others)))


def _stored_digests(samples: Samples) -> NDArray[np.bytes_]:
    """Return the digests of samples as they are stored."""
    places = np.arange(samples.count) if samples.indices is None else np.load(samples.indices)[: samples.count]
    return _digests(samples.inputs, places)


def part(samples: Samples, count: int, out: Path) -> tuple[Samples, NDArray[np.int64]]:
    """Return a representative part of a set: the first samples if they include every class, else evenly spaced ones.

    Args:
        samples: the whole set.
        count: number of samples to take, at most the size of the set.
        out: file for the indices of evenly spaced samples.

    Returns:
        The part, and the places of its samples in the whole set, of shape (count,).
    """
    first = samples.head(count)
    targets = np.zeros(samples.count) if samples.labels is None else samples.targets()
    classes = targets.ndim == 1 and np.issubdtype(targets.dtype, np.integer)
    if not classes or np.array_equal(np.unique(targets[: first.count]), np.unique(targets)):
        return first, np.arange(first.count)
    places = np.linspace(0, samples.count - 1, first.count).astype(np.int64)
    return at_places(samples, places, out), places


def at_places(samples: Samples, places: NDArray[np.int64], out: Path) -> Samples:
    """Return some samples of a set, in this order.

    Args:
        samples: the whole set.
        places: the places of the samples in it, of shape (n,).
        out: file for their indices.
    """
    durable.save_array(out, places if samples.indices is None else np.load(samples.indices)[places])
    digest = hashlib.sha256(f"{samples.sha256} {places.tobytes().hex()}".encode()).hexdigest()
    return samples.model_copy(update={"indices": out.absolute(), "count": len(places), "sha256": digest})


def _digests(paths: Sequence[Path], places: NDArray[np.int64]) -> NDArray[np.bytes_]:
    """Return the digests of the samples at these places of `.npy` files, as an array of shape (len(places),)."""
    row_bytes = sum(np.load(path, mmap_mode="r")[:1].nbytes for path in paths)
    digests = []
    for window in npy.chunks(len(places), row_bytes):
        inputs = [np.load(path, mmap_mode="r") for path in paths]  # mapped again: see Samples.batches
        digests += [digest([array[place] for array in inputs]) for place in places[window]]
    return np.array(digests, dtype="S32")
