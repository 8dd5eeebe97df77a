"""A data set on disk, and the samples of it that a worker reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from bitpick.preprocessing import Preprocessing


class Samples(BaseModel):
    """Samples in `.npy` files, read batch by batch through a memory map. Crosses to workers as its paths.

    Attributes:
        inputs: array of shape (n, …).
        labels: array of shape (n,), integer classes.
        indices: which samples, in which order: array of shape (m,), int64; None is all of them.
        count: how many.
        sha256: digest that identifies them.
        preprocessing: from a stored sample to what the model takes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    inputs: Path
    labels: Path
    indices: Path | None = None
    count: int
    sha256: str
    preprocessing: Preprocessing = Preprocessing()

    def batches(self, size: int) -> Iterator[NDArray[np.float32]]:
        """Prepared inputs of shape (at most `size`, …), float32. Memory does not grow with the number of samples."""
        indices = None if self.indices is None else np.load(self.indices)
        for start in range(0, self.count, size):
            window = slice(start, min(start + size, self.count))
            # Mapped anew for each batch: a map that stays keeps every page that was read in this process's memory.
            inputs = np.load(self.inputs, mmap_mode="r")
            batch = self.preprocessing(inputs[window] if indices is None else inputs[indices[window]])
            del inputs
            yield batch

    def targets(self) -> NDArray[np.int64]:
        """The labels: array of shape (count,), int64."""
        labels: NDArray[np.integer] = np.load(self.labels)
        return (labels if self.indices is None else labels[np.load(self.indices)])[: self.count].astype(np.int64)

    def head(self, count: int) -> Samples:
        """The first samples, at most `count` of them."""
        return self.model_copy(update={"count": min(count, self.count)})


@dataclass(frozen=True)
class Split:
    """One split of a data set, as memory-mapped arrays.

    Attributes:
        inputs: array of shape (n, …), as stored.
        labels: array of shape (n,), integer classes.
        sha256: digest of both.
        inputs_path: the file behind `inputs`.
        labels_path: the file behind `labels`.
    """

    inputs: NDArray[np.generic]
    labels: NDArray[np.integer]
    sha256: str
    inputs_path: Path
    labels_path: Path

    @property
    def samples(self) -> Samples:
        """All samples of the split."""
        return Samples(inputs=self.inputs_path, labels=self.labels_path, count=len(self.labels), sha256=self.sha256)


@dataclass(frozen=True)
class Dataset:
    """A labelled data set for classification.

    Attributes:
        name: as users write it.
        classes: names of the classes, in the order of the labels.
        calibration: the split that calibration samples are drawn from, usually the training split.
        evaluation: the split that builds are evaluated on.
    """

    name: str
    classes: tuple[str, ...]
    calibration: Split
    evaluation: Split
