"""A data set on disk, and the samples that workers read from it."""

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

# Assumed size of a network's activations, as a multiple of its inputs: a few times the usual.
_UNKNOWN_PEAK, _UNKNOWN_TOTAL = 64, 256


def dataset_name(path: Path) -> str:
    """Return the name of the data set at a path: the name of its folder or file, even for `.` and `..`."""
    return Path(os.path.abspath(path)).name or "data"  # noqa: PTH100 - a link keeps its own name


class Samples(BaseModel):
    """Samples in `.npy` files, read batch by batch through a memory map. Workers receive the paths.

    Attributes:
        inputs: files with an array of shape (n, …) for each input of the model, in the model's order.
        labels: file with an array of shape (n, …): integer classes of shape (n,), or whatever else the task compares
            with; None if there are no labels.
        indices: file with an array of shape (m,), int64: which samples, in which order; None for all of them.
        count: number of samples.
        sha256: digest that identifies the samples.
        preprocessing: for each input, how a stored sample becomes what the model takes.
        values: the label that the source uses for each class, in the order of the stored class numbers; empty if the
            stored labels are compared as they are.
        activations: memory that the model needs for one sample; None if it is unknown.
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
        """Return how many samples the model may run at once without its activations filling the memory.

        Args:
            most: batch size for small models.
            kept: whether every tensor of the model is kept, see `Activations.fitting`.
        """
        activations = self.activations
        if activations is None:
            size = sum(array.nbytes for array in next(self.head(1).batches(1)))
            activations = Activations(peak=_UNKNOWN_PEAK * size, total=_UNKNOWN_TOTAL * size)
        return activations.fitting(most, kept)

    def at(self, places: NDArray[np.int64]) -> Arrays:
        """Return the preprocessed inputs of the samples at these places, each of shape (len(places), …)."""
        rows = places if self.indices is None else np.load(self.indices)[places]
        return tuple(prepare(_rows(path, rows)) for path, prepare in zip(self.inputs, self.preprocessing, strict=True))

    def batches(self, size: int) -> Iterator[Arrays]:
        """Yield batches of preprocessed inputs, each of shape (at most `size`, …), in constant memory."""
        indices = None if self.indices is None else np.load(self.indices)
        for start in range(0, self.count, size):
            window = slice(start, min(start + size, self.count))
            # Map the file again for each batch: a map that stays open keeps every page it has read in memory.
            yield tuple(
                prepare(_rows(path, window if indices is None else indices[window]))
                for path, prepare in zip(self.inputs, self.preprocessing, strict=True)
            )

    def targets(self) -> NDArray[Any]:
        """Return the labels: shape (count, …), or (count,) if there is one per sample; integers as int64, else float32.

        The answers of a float model with several outputs, used instead of labels, are a structured array with a field
        for each output.
        """
        assert self.labels is not None
        stored: NDArray[Any] = np.load(self.labels)
        labels = (stored if self.indices is None else stored[np.load(self.indices)])[: self.count]
        if labels.dtype.names:
            return labels
        column = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
        column = np.array(self.values)[column] if self.values else column
        return column.astype(np.int64 if np.issubdtype(column.dtype, np.integer) else np.float32)

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shape of one sample of each input, as the model takes it; all samples have it."""
        return [array.shape[1:] for array in next(self.head(1).batches(1))]

    @property
    def files(self) -> list[Path]:
        """All files that the samples are read from."""
        return [*self.inputs, *(path for path in (self.labels, self.indices) if path is not None)]

    def head(self, count: int) -> Samples:
        """Return the first samples, at most `count` of them."""
        return self.model_copy(update={"count": min(count, self.count)})


def _rows(path: Path, rows: slice | NDArray[np.int64]) -> NDArray[Any]:
    array: NDArray[Any] = np.load(path, mmap_mode="r")
    return array[rows]


@dataclass(frozen=True)
class Split:
    """One split of a data set, in `.npy` files.

    Attributes:
        paths: file of each input by name: an array of shape (n, …), as stored.
        labels_path: file of the labels: an array of shape (n, …); None if there are no labels.
        sha256: digest of inputs and labels.
    """

    paths: dict[str, Path]
    labels_path: Path | None
    sha256: str

    @property
    def inputs(self) -> dict[str, NDArray[Any]]:
        """The inputs by name, each of shape (n, …), memory-mapped."""
        return {name: np.load(path, mmap_mode="r") for name, path in self.paths.items()}

    @property
    def labels(self) -> NDArray[Any] | None:
        """The labels, of shape (n, …), memory-mapped."""
        return None if self.labels_path is None else np.load(self.labels_path, mmap_mode="r")

    @property
    def count(self) -> int:
        """Number of samples."""
        return len(np.load(next(iter(self.paths.values())), mmap_mode="r"))


@dataclass(frozen=True)
class Dataset:
    """A data set: samples to calibrate with, and samples to evaluate on.

    Attributes:
        name: the name that users write.
        classes: class names in label order; empty if there are no labels, or if they are not classes.
        calibration: the split that calibration samples are drawn from, usually the training split.
        evaluation: the split that builds are evaluated on.
        preprocessing: by input name, how a stored sample becomes what the model takes; an input without an entry is
            used as stored.
        notes: what was guessed or noticed while reading, in sentences for the user.
        values: the label that the source uses for each class, if that is not the class number, e.g. -1 and 1.
    """

    name: str
    classes: tuple[str, ...]
    calibration: Split
    evaluation: Split
    preprocessing: dict[str, Preprocessing] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    values: tuple[int, ...] = ()

    def without_labels(self) -> Dataset:
        """Return the data set without labels. Class names stay: they still name the model's scores."""
        splits = (replace(split, labels_path=None) for split in (self.calibration, self.evaluation))
        return replace(self, calibration=next(splits), evaluation=next(splits), values=())

    def samples(self, split: Split, names: tuple[str, ...] = ()) -> Samples:
        """Return all samples of a split, with the inputs in the order of `names` (by default, in stored order)."""
        order = names or tuple(split.paths)
        return Samples(
            inputs=tuple(split.paths[name] for name in order),
            labels=split.labels_path,
            count=split.count,
            sha256=split.sha256,
            preprocessing=tuple(self.preprocessing.get(name, Preprocessing()) for name in order),
        )
