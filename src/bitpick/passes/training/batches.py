"""Batches of training samples, with random flips and shifts of pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitpick.datasets.dataset import Samples
from bitpick.preprocessing import Arrays

_COLOURS = (1, 3, 4)
_SMALLEST_PICTURE = 16  # pixels; a smaller map is rather no picture


@dataclass(frozen=True)
class Augmentation:
    """Random changes of pictures.

    Attributes:
        flip: whether half of them are turned left to right.
        shift: by how many pixels they are moved at most, up or down and left or right; zeros move in.
    """

    flip: bool = False
    shift: int = 0

    def __str__(self) -> str:
        turned = "turned left to right" if self.flip else ""
        moved = f"moved by up to {self.shift} pixels" if self.shift else ""
        return " and ".join(each for each in (turned, moved) if each)

    def apply(self, pictures: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.float32]:
        """Return changed pictures, of the same shape.

        Args:
            pictures: of shape (n, height, width, colours) or (n, colours, height, width).
            generator: draws what is changed.
        """
        last = pictures.shape[3] in _COLOURS
        images = pictures if last else pictures.transpose(0, 2, 3, 1)
        count, height, width, _ = images.shape
        padding = (self.shift, self.shift)
        padded = np.pad(images, ((0, 0), padding, padding, (0, 0)))
        down, right = generator.integers(0, 2 * self.shift + 1, (2, count, 1))
        rows, columns = down + np.arange(height), right + np.arange(width)
        if self.flip:
            columns = np.where(generator.random((count, 1)) < 0.5, columns[:, ::-1], columns)
        changed = padded[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
        return np.ascontiguousarray(changed if last else changed.transpose(0, 3, 1, 2))


def are_pictures(shapes: Sequence[tuple[int, ...]]) -> bool:
    """Return whether the only input looks like pictures.

    Args:
        shapes: the shape of one sample of each input.
    """
    if len(shapes) != 1 or len(shapes[0]) != 3:
        return False
    first, middle, last = shapes[0]
    sides = (first, middle) if last in _COLOURS else (middle, last)
    return (last in _COLOURS or first in _COLOURS) and min(sides) >= _SMALLEST_PICTURE


@dataclass(frozen=True)
class Batches:
    """Some of a split's samples, in random batches.

    Attributes:
        samples: the split.
        places: which samples of it.
        size: samples in a batch.
        seed: of the order and of the changes.
        augmentation: how pictures are changed; None to leave the samples as they are.
        most: the largest number of batches in an epoch; None for all samples.
    """

    samples: Samples
    places: NDArray[np.int64]
    size: int
    seed: int
    augmentation: Augmentation | None = None
    most: int | None = None

    def __len__(self) -> int:
        """Return the number of batches in an epoch; an incomplete one is left out."""
        whole = max(1, len(self.places) // self.size)
        return whole if self.most is None else min(self.most, whole)

    def epoch(self, number: int) -> Iterator[tuple[NDArray[np.int64], Arrays]]:
        """Yield the batches of an epoch: the places of the samples and the inputs. The number decides on all chance."""
        generator = np.random.default_rng([self.seed, number])
        order = generator.permutation(self.places)
        for start in range(0, len(self) * self.size, self.size):
            places = order[start : start + self.size]
            inputs = self.samples.at(places)
            if self.augmentation is not None:
                inputs = (self.augmentation.apply(inputs[0], generator),)
            yield places, inputs


def held_out(places: NDArray[np.int64], seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Divide places into those to train on, and those to hold out: one in twenty, at most 2,000."""
    order = np.random.default_rng(seed).permutation(places)
    held = min(2000, max(1, len(places) // 20))
    return np.sort(order[held:]), np.sort(order[:held])
