"""A data set on disk, and the samples of it that a worker reads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from bitpick.datasets.activations import Activations
from bitpick.preprocessing import Arrays, Preprocessing

# What the activations of a network are beside its inputs, where nobody knows: a few times what is usual.
_UNKNOWN_PEAK, _UNKNOWN_TOTAL = 64, 256


def named_as(path: Path) -> str:
    """The name of a data set at a path: that of its folder or file, of `.` and `..` too."""
    return Path(os.path.abspath(path)).name or "data"  # noqa: PTH100 - a link keeps its own name


class Samples(BaseModel):
    """Samples in `.npy` files, read batch by batch through a memory map. Crosses to workers as its paths.

    Attributes:
        inputs: an array of shape (n, …) for each input of the model, in the model's order.
        labels: array of shape (n, …): integer classes of shape (n,), or what else the task compares with; None where
            there are none.
        indices: which samples, in which order: array of shape (m,), int64; None is all of them.
        count: how many.
        sha256: digest that identifies them.
        preprocessing: from a stored sample to what the model takes, for each input.
        values: what the source writes for each class, in the order of the stored numbers; empty where the stored labels
            are what is compared.
        activations: the memory that the model takes for a sample; None where nobody knows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    inputs: tuple[Path, ...]
    labels: Path | None = None
    indices: Path | None = None
    count: int
    sha256: str
    preprocessing: tuple[Preprocessing, ...] = (Preprocessing(),)
    values: tuple[int, ...] = ()
    activations: Activations | None = None

    def at_once(self, most: int, kept: bool = False) -> int:
        """How many samples the model may be given at once, so that its activations do not fill the memory.

        Args:
            most: the number that small models get.
            kept: whether every tensor of the model is kept, see `Activations.fitting`.
        """
        known = self.activations
        if known is None:
            size = sum(array.nbytes for array in next(self.head(1).batches(1)))
            known = Activations(peak=_UNKNOWN_PEAK * size, total=_UNKNOWN_TOTAL * size)
        return known.fitting(most, kept)

    def at(self, places: NDArray[np.int64]) -> Arrays:
        """The prepared inputs at some places of the set, each of shape (len(places), …)."""
        rows = places if self.indices is None else np.load(self.indices)[places]
        return tuple(prepare(_rows(path, rows)) for path, prepare in zip(self.inputs, self.preprocessing, strict=True))

    def batches(self, size: int) -> Iterator[Arrays]:
        """Prepared inputs, each of shape (at most `size`, …). Memory does not grow with the number of samples."""
        indices = None if self.indices is None else np.load(self.indices)
        for start in range(0, self.count, size):
            window = slice(start, min(start + size, self.count))
            # Mapped anew for each batch: a map that stays keeps every page that was read in this process's memory.
            yield tuple(
                prepare(_rows(path, window if indices is None else indices[window]))
                for path, prepare in zip(self.inputs, self.preprocessing, strict=True)
            )

    def targets(self) -> NDArray[Any]:
        """The labels: array of shape (count, …), or (count,) where that is all; integers as int64, others as float32.

        What a float model with several outputs answers, in the place of labels, has a field for each.
        """
        assert self.labels is not None
        labels: NDArray[Any] = np.load(self.labels)
        found = (labels if self.indices is None else labels[np.load(self.indices)])[: self.count]
        if found.dtype.names:
            return found
        one = found[:, 0] if found.ndim == 2 and found.shape[1] == 1 else found
        one = np.array(self.values)[one] if self.values else one
        return one.astype(np.int64 if np.issubdtype(one.dtype, np.integer) else np.float32)

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shape of one sample of each input, as the model takes it: that of all samples."""
        return [each.shape[1:] for each in next(self.head(1).batches(1))]

    @property
    def files(self) -> list[Path]:
        """All files that they are read from."""
        return [*self.inputs, *(path for path in (self.labels, self.indices) if path is not None)]

    def head(self, count: int) -> Samples:
        """The first samples, at most `count` of them."""
        return self.model_copy(update={"count": min(count, self.count)})


def _rows(path: Path, which: slice | NDArray[np.int64]) -> NDArray[Any]:
    mapped: NDArray[Any] = np.load(path, mmap_mode="r")
    return mapped[which]


@dataclass(frozen=True)
class Split:
    """One split of a data set, in `.npy` files.

    Attributes:
        paths: the file of each input, by its name; an array of shape (n, …), as stored.
        labels_path: the file of the labels, an array of shape (n, …); None where there are none.
        sha256: digest of all of them.
    """

    paths: dict[str, Path]
    labels_path: Path | None
    sha256: str

    @property
    def inputs(self) -> dict[str, NDArray[Any]]:
        """The inputs by their names, each of shape (n, …), memory-mapped."""
        return {name: np.load(path, mmap_mode="r") for name, path in self.paths.items()}

    @property
    def labels(self) -> NDArray[Any] | None:
        """The labels, of shape (n, …), memory-mapped."""
        return None if self.labels_path is None else np.load(self.labels_path, mmap_mode="r")

    @property
    def count(self) -> int:
        """How many samples."""
        return len(np.load(next(iter(self.paths.values())), mmap_mode="r"))


@dataclass(frozen=True)
class Dataset:
    """A data set: samples to calibrate with, and samples to evaluate on.

    Attributes:
        name: as users write it.
        classes: names of the classes, in the order of the labels; empty where labels are no classes, or are not there.
        calibration: the split that calibration samples are drawn from, usually the training split.
        evaluation: the split that builds are evaluated on.
        preprocessing: from a stored sample to what the model takes, by the input's name; raw values where it has none.
        notes: what was guessed or noticed as it was read, in words.
        values: what the source writes for each class, where that is not the class's number, as -1 and 1.
    """

    name: str
    classes: tuple[str, ...]
    calibration: Split
    evaluation: Split
    preprocessing: dict[str, Preprocessing] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    values: tuple[int, ...] = ()

    def without_labels(self) -> Dataset:
        """The same inputs alone; the names of classes stay, as those of the model's scores."""
        both = (replace(split, labels_path=None) for split in (self.calibration, self.evaluation))
        return replace(self, calibration=next(both), evaluation=next(both), values=())

    def samples(self, split: Split, names: tuple[str, ...] = ()) -> Samples:
        """All samples of a split, their inputs in the order of these names; by default in their own."""
        order = names or tuple(split.paths)
        return Samples(
            inputs=tuple(split.paths[name] for name in order),
            labels=split.labels_path,
            count=split.count,
            sha256=split.sha256,
            preprocessing=tuple(self.preprocessing.get(name, Preprocessing()) for name in order),
        )
