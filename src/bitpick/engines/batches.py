"""Batches for graphs that take a number of samples of their own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bitpick.preprocessing import Arrays


def pieces(batch: Arrays, size: int | None) -> list[Arrays]:
    """A batch in pieces of the size that a graph takes, the last one filled up; whole where any size will do."""
    if size is None:
        return [batch]
    count = len(batch[0])
    found = [tuple(array[i : i + size] for array in batch) for i in range(0, count, size)]
    short = size - len(found[-1][0])
    found[-1] = tuple(np.concatenate([array, np.repeat(array[-1:], short, axis=0)]) for array in found[-1])
    return found


def joined(parts: Sequence[Arrays], count: int) -> Arrays:
    """The outputs of pieces, put together again and cut to so many samples, as float32."""
    if len(parts) == 1:
        return tuple(np.asarray(each[:count], dtype=np.float32) for each in parts[0])
    return tuple(np.concatenate(each)[:count].astype(np.float32, copy=False) for each in zip(*parts, strict=True))
