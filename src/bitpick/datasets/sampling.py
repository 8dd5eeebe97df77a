"""Calibration samples: seeded, stratified, drawn from one split, checked against the other."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.datasets import npy
from bitpick.datasets.dataset import Dataset, Samples, Split
from bitpick.errors import DataError

DEFAULT_SIZE = 1000


@dataclass(frozen=True)
class CalibrationDraw:
    """Which samples of the calibration split were drawn.

    Attributes:
        indices: array of shape (size,), int64, in the order in which they are shown to an engine.
        sha256: digest of the indices.
        per_class: how many of each class that the calibration split has, by its name.
        overlap: how many of them are, byte for byte, in the evaluation split too.
        evaluated: digest of each sample of the evaluation split, see `digest`; shape (n,).
    """

    indices: NDArray[np.int64]
    sha256: str
    per_class: dict[str, int]
    overlap: int
    evaluated: NDArray[np.bytes_]


def stratified(labels: NDArray[np.integer], size: int, seed: int) -> NDArray[np.int64]:
    """Draw samples with each class's share of the whole, by largest remainder.

    Args:
        labels: array of shape (n,), integer classes.
        size: how many to draw, at most n.
        seed: of the draw; the same seed gives the same samples in the same order.

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
    """Identifies a sample: BLAKE2b, 16 bytes, of the bytes of its arrays in C order, one input after the other."""
    found = hashlib.blake2b(digest_size=16)
    for array in arrays:
        found.update(array.tobytes())
    return found.hexdigest()


def draw(dataset: Dataset, size: int, seed: int, names: tuple[str, ...] = ()) -> CalibrationDraw:
    """Draw calibration samples from a data set's calibration split.

    Args:
        dataset: the data set.
        size: how many.
        seed: of the draw.
        names: the inputs in the model's order; by default all of them in their own.

    Raises:
        DataError: the split has fewer samples than asked for, or none were asked for. `DEFAULT_SIZE` asks for no more
            than there are.
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
    # Without classes every sample is as good as any other; names may also be those of labels of which several hold.
    classes = dataset.classes if stored is not None and stored.ndim == 1 and stored.dtype.kind in "iu" else ()
    labels = np.asarray(stored) if classes else np.zeros(count, np.int64)
    if classes and labels.max() >= len(classes):
        raise DataError(
            f"the calibration split of {dataset.name} has the label {labels.max()}, which is no class of it",
            expected=f"labels 0 to {len(classes) - 1}",
        )
    indices = stratified(labels, size, seed)
    counts = np.bincount(labels[indices], minlength=len(classes))[: len(classes)]
    evaluated = _digests(dataset.evaluation, names, np.arange(dataset.evaluation.count))
    drawn = _digests(dataset.calibration, names, np.sort(indices))
    return CalibrationDraw(
        indices=indices,
        sha256=hashlib.sha256(indices.astype("<i8").tobytes()).hexdigest(),
        per_class={classes[place]: int(counts[place]) for place in np.unique(labels)} if classes else {},
        overlap=int(np.isin(drawn, evaluated).sum()),
        evaluated=evaluated,
    )


def drawn_from(pool: Samples, drawn: CalibrationDraw, out: Path) -> Samples:
    """The samples of a draw.

    Args:
        pool: those that it was made from.
        drawn: which of them.
        out: file for their indices.
    """
    out.parent.mkdir(exist_ok=True)
    np.save(out, drawn.indices)
    digest = hashlib.sha256("\n".join([pool.sha256, drawn.sha256, repr(pool.preprocessing)]).encode()).hexdigest()
    return pool.model_copy(update={"indices": out.absolute(), "count": len(drawn.indices), "sha256": digest})


def redraw(samples: Samples, seed: int, out: Path) -> Samples:
    """As many samples as a draw has, from the same split and stratified too, drawn with another seed.

    Args:
        samples: a draw.
        seed: of the new one.
        out: file for its indices.
    """
    count = len(np.load(samples.inputs[0], mmap_mode="r"))
    labels = np.zeros(count, np.int64) if samples.labels is None else np.load(samples.labels)
    classes = labels.ndim == 1 and np.issubdtype(labels.dtype, np.integer)
    indices = stratified(labels if classes else np.zeros(count, np.int64), samples.count, seed)
    np.save(out, indices)
    digest = hashlib.sha256(f"{samples.sha256} {indices.astype('<i8').tobytes().hex()}".encode()).hexdigest()
    return samples.model_copy(update={"indices": out.absolute(), "sha256": digest})


def part(samples: Samples, count: int, out: Path) -> tuple[Samples, NDArray[np.int64]]:
    """A part of a set that stands for it: the first samples where they hold every class, else evenly spaced ones.

    Args:
        samples: the whole set.
        count: how many to take; at most all of them.
        out: file for the indices of evenly spaced ones.

    Returns:
        The part, and the places of its samples in the whole set, of shape (count,).
    """
    first = samples.head(count)
    targets = np.zeros(samples.count) if samples.labels is None else samples.targets()
    classes = targets.ndim == 1 and np.issubdtype(targets.dtype, np.integer)
    if not classes or np.array_equal(np.unique(targets[: first.count]), np.unique(targets)):
        return first, np.arange(first.count)
    places = np.linspace(0, samples.count - 1, first.count).astype(np.int64)
    np.save(out, places if samples.indices is None else np.load(samples.indices)[places])
    digest = hashlib.sha256(f"{samples.sha256} {places.tobytes().hex()}".encode()).hexdigest()
    return samples.model_copy(update={"indices": out.absolute(), "count": len(places), "sha256": digest}), places


def _digests(split: Split, names: tuple[str, ...], places: NDArray[np.int64]) -> NDArray[np.bytes_]:
    """Digests of samples, as an array of shape (len(places),)."""
    order = names or tuple(split.paths)
    row = sum(split.inputs[name][:1].nbytes for name in order)
    found = []
    for window in npy.chunks(len(places), row):
        inputs = [split.inputs[name] for name in order]  # mapped anew: see Samples.batches
        found += [digest([array[place] for array in inputs]) for place in places[window]]
    return np.array(found, dtype="S32")
