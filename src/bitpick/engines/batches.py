"""Batches for graphs with a fixed batch size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from bitpick.datasets.dataset import Samples
from bitpick.engines.engine import CALIBRATION_BATCH
from bitpick.errors import EngineError
from bitpick.preprocessing import Arrays


def calibration_size(samples: Samples, size: int | None, kept: bool = False) -> int:
    """Return the size of calibration batches: the largest divisor of a full batch that fits into memory."""
    step = size or 1
    full = max(1, CALIBRATION_BATCH // step) * step
    fits = max(step, samples.at_once(full, kept))
    return next(divisor for divisor in range(full, 0, -step) if divisor <= fits and full % divisor == 0)


def calibration_batches(samples: Samples, size: int | None, kept: bool = False) -> Iterator[Arrays]:
    """Yield the calibration samples once, in batches of 50, or fewer if a sample's activations are large.

    Args:
        samples: the calibration set.
        size: the fixed batch size of the graph; None if it takes any. Every batch is a multiple of it: the last one is
            filled up with the first samples, which distorts the ranges less than repeating one sample.
        kept: whether all activations of a batch stay in memory while it is calibrated.
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
    """Return the first samples as one batch that the graph takes.

    Args:
        samples: the samples.
        size: the fixed batch size of the graph; None if it takes any.
        count: number of samples if the graph takes any.
    """
    number = size or count
    return pieces(next(samples.head(number).batches(number)), size)[0]


def pieces(batch: Arrays, size: int | None) -> list[Arrays]:
    """Split a batch into pieces of a graph's fixed batch size, the last one filled up; one piece if `size` is None."""
    if size is None:
        return [batch]
    count = len(batch[0])
    parts = [tuple(array[i : i + size] for array in batch) for i in range(0, count, size)]
    if short := size - len(parts[-1][0]):
        parts[-1] = tuple(np.concatenate([array, np.repeat(array[-1:], short, axis=0)]) for array in parts[-1])
    return parts


def join(parts: Sequence[Arrays], count: int, size: int | None = None) -> Arrays:
    """Concatenate the outputs of the pieces, cut them to the number of samples, and return them as float32.

    Args:
        parts: the outputs of each piece.
        count: the number of samples.
        size: the number of samples in each piece; None if a single piece has all of them.

    Raises:
        EngineError: an output does not have one row for each sample of its piece, or its shape differs between pieces.
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
