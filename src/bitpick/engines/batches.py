"""Batches for graphs that take a number of samples of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from bitpick.datasets.dataset import Samples
from bitpick.engines.engine import CALIBRATION_BATCH
from bitpick.errors import EngineError
from bitpick.preprocessing import Arrays


def calibration_size(samples: Samples, size: int | None, kept: bool = False) -> int:
    """How many samples a calibration batch has, see `calibration_batches`: the largest part of a full one that fits."""
    step = size or 1
    full = max(1, CALIBRATION_BATCH // step) * step
    fits = max(step, samples.at_once(full, kept))
    return next(part for part in range(full, 0, -step) if part <= fits and full % part == 0)


def calibration_batches(samples: Samples, size: int | None, kept: bool = False) -> Iterator[Arrays]:
    """Calibration samples, some at a time, each of them once: 50, or fewer where a sample's activations are large.

    Args:
        samples: the calibration set.
        size: the number of samples that a graph takes at once; None where any will do. Every batch is a multiple of it:
            the last one is filled up with the first samples, which distorts what is seen less than one sample that is
            repeated.
        kept: whether all activations of a batch are kept while it is looked at.
    """
    if size is None:
        yield from samples.batches(calibration_size(samples, size, kept))
        return
    for batch in samples.batches(calibration_size(samples, size, kept)):
        if short := -len(batch[0]) % size:
            first = next(samples.head(short).batches(short))
            fill = (np.resize(each, (short, *each.shape[1:])) for each in first)
            yield tuple(np.concatenate(pair) for pair in zip(batch, fill, strict=True))
        else:
            yield batch


def example(samples: Samples, size: int | None, count: int) -> Arrays:
    """The first samples: so many, or as many as a graph takes at once.

    Args:
        samples: a set.
        size: the number of samples that a graph takes at once; None where any will do.
        count: how many, in that case.
    """
    number = size or count
    return pieces(next(samples.head(number).batches(number)), size)[0]


def pieces(batch: Arrays, size: int | None) -> list[Arrays]:
    """A batch in pieces of the size that a graph takes, the last one filled up; whole where any size will do."""
    if size is None:
        return [batch]
    count = len(batch[0])
    found = [tuple(array[i : i + size] for array in batch) for i in range(0, count, size)]
    if short := size - len(found[-1][0]):
        found[-1] = tuple(np.concatenate([array, np.repeat(array[-1:], short, axis=0)]) for array in found[-1])
    return found


def joined(parts: Sequence[Arrays], count: int, size: int | None = None) -> Arrays:
    """The outputs of pieces, put together again and cut to so many samples, as float32.

    Args:
        parts: the outputs of each piece.
        count: the number of samples.
        size: the number of samples of each piece; None where there is one piece, which has all of them.

    Raises:
        EngineError: an output does not have a row for each sample of its piece, or other sizes in one than in another.
    """
    for number, each in enumerate(each for part in parts for each in part):
        if each.shape[:1] != (size or count,):
            name = number % len(parts[0]) + 1
            raise EngineError(
                f"output {name} has the shape {each.shape} for {size or count} samples",
                expected="a first axis that is the batch",
                fix="give a model whose outputs have one row for each sample",
            )
    for number, arrays in enumerate(zip(*parts, strict=True)):
        first = arrays[0].shape
        if other := next((array.shape for array in arrays if array.shape != first), None):
            raise EngineError(
                f"output {number + 1} has the shape {first} for some samples, and {other} for others",
                expected="outputs of one shape, whatever the sample",
                fix="fill up the output to its largest size, or cut the model before the step that makes it vary",
            )
    if len(parts) == 1:
        return tuple(np.asarray(each[:count], dtype=np.float32) for each in parts[0])
    return tuple(np.concatenate(each)[:count].astype(np.float32, copy=False) for each in zip(*parts, strict=True))
