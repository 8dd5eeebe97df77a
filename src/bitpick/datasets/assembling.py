"""Assemble a data set from what readers return: encode labels, divide a single set, write everything to files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.artifacts import durable
from bitpick.datasets import cache, checks, labels, npy, splits
from bitpick.datasets.dataset import Dataset, Split
from bitpick.datasets.options import DataOptions
from bitpick.errors import DataError
from bitpick.models.model import Signature


@dataclass(frozen=True)
class RawSplit:
    """Samples as a reader returns them, labels not encoded yet.

    Attributes:
        inputs: `.npy` file of each input, by name.
        labels: as the source stores them, see `labels.Labels`; None if it has none.
        sha256: digest of the inputs.
        notes: what the reader guessed or noticed, in sentences for the user.
    """

    inputs: dict[str, Path]
    labels: NDArray[Any] | None
    sha256: str
    notes: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Number of samples.

        Raises:
            DataError: inputs and labels do not have the same number of samples.
        """
        counts = {name: len(npy.mapped(path)) for name, path in self.inputs.items()}
        if self.labels is not None:
            counts["labels"] = len(self.labels)
        if len(set(counts.values())) != 1:
            numbers = ", ".join(f"{name} {count:,}" for name, count in counts.items())
            raise DataError(f"the arrays have different numbers of samples: {numbers}", expected="as many of each")
        return next(iter(counts.values()))


def dataset(
    name: str,
    raw: Mapping[str, RawSplit],
    options: DataOptions,
    signature: Signature | None,
    source_names: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Dataset:
    """Assemble a data set from the splits that readers return.

    Args:
        name: the name that users write.
        raw: samples by split name; a single split is divided.
        options: how to read the data set.
        signature: outputs of the model.
        source_names: class names in the order of the class numbers, if the source has them.
        notes: what the reader noticed.

    Raises:
        DataError: only one split has labels, or there are too few samples.
    """
    used = _paired(name, raw) if len(raw) > 1 else dict(raw)
    all_notes = list(notes)
    if unused := sorted(raw.keys() - used.keys()):
        all_notes.append(f"the split {', '.join(unused)} is not used")
    for split, each in used.items():
        if each.count == 0:
            raise DataError(f"{name} has no samples{f' in {split}' if split else ''}")
    raw_labels = {split: each.labels for split, each in used.items() if each.labels is not None}
    if raw_labels and len(raw_labels) != len(used):
        without = next(split for split in used if split not in raw_labels)
        raise DataError(
            f"the split {without} of {name} has no labels, but the other one does",
            expected="labels in both, or in none",
            fix="give only the file or folder with labels: bitpick divides it into two sets",
        )
    encoded = labels.encode(raw_labels, source_names, options.class_names, signature)
    all_notes += dict.fromkeys(note for each in used.values() for note in each.notes)
    all_notes += encoded.notes
    if len(used) == 1:
        ((split, single),) = used.items()
        # Before the division, so that messages have the samples' places in the undivided set.
        for tensor, path in single.inputs.items():
            checks.finite(name, tensor, npy.mapped(path))
        pair = _divided(single, encoded.labels.get(split), bool(encoded.classes), options)
        all_notes.append(splits.division_note(options.split, pair[0].count, pair[1].count))
    else:
        pair = [with_labels(each.inputs, each.sha256, encoded.labels.get(split)) for split, each in used.items()]
    return Dataset(name, encoded.classes, pair[0], pair[1], notes=tuple(all_notes), values=encoded.values)


def _paired(name: str, raw: Mapping[str, RawSplit]) -> dict[str, RawSplit]:
    """Return the calibration split and the evaluation split, in this order.

    Raises:
        DataError: the names do not tell which splits these are.
    """
    names = splits.pair(raw)
    if names is None:
        raise DataError(
            f"{name} has the splits {', '.join(raw)}",
            expected=f"one of {', '.join(splits.CALIBRATION)} and one of {', '.join(splits.EVALUATION)}",
        )
    return {split: raw[split] for split in names}


def apply_options(dataset: Dataset, options: DataOptions) -> Dataset:
    """Apply options to a data set with its own splits, labels and classes: put classes in the order of the scores.

    Raises:
        DataError: the options would change its labels or splits, or name classes that it does not have.
    """
    for option, value in (("--labels", options.labels), ("--split", options.split)):
        if value is not None:
            raise DataError(f"{dataset.name} has labels and splits of its own", fix=f"leave {option} out")
    order = options.class_names
    if order is None or order == dataset.classes:
        return dataset
    halves = {"calibration": dataset.calibration, "evaluation": dataset.evaluation}
    encoded = labels.encode({name: np.asarray(each.labels) for name, each in halves.items()}, dataset.classes, order)
    relabelled = [with_labels(each.paths, each.sha256, encoded.labels[name]) for name, each in halves.items()]
    return replace(dataset, classes=encoded.classes, calibration=relabelled[0], evaluation=relabelled[1])


def _divided(raw: RawSplit, target: NDArray[Any] | None, are_classes: bool, options: DataOptions) -> list[Split]:
    """Divide one set into two, each in its own files."""
    by_class = target if are_classes and target is not None and target.ndim == 1 else None
    halves = splits.divide(by_class, raw.count, options.split, options.split_seed)
    divided = []
    for places in halves:
        key = ["part", raw.sha256, hashlib.sha256(places.tobytes()).hexdigest()]
        size = sum(npy.mapped(path)[:1].nbytes for path in raw.inputs.values()) * len(places)

        def make(folder: Path, places: NDArray[np.int64] = places) -> dict[str, Any]:
            paths = []
            for number, source in enumerate(raw.inputs.values()):
                paths.append(folder / f"{number}.npy")
                npy.copy_rows(source, places, paths[-1])
            return {"sha256": npy.sha256(paths)}

        folder, noted = cache.entry(key, size, make)
        paths = {name: folder / f"{number}.npy" for number, name in enumerate(raw.inputs)}
        divided.append(with_labels(paths, noted["sha256"], None if target is None else target[places]))
    return divided


def with_labels(inputs: Mapping[str, Path], sha256: str, target: NDArray[Any] | None) -> Split:
    """Return a split of these inputs, with digest `sha256`, and of labels, written to a file in the cache."""
    if target is None:
        return Split(dict(inputs), None, sha256)
    digest = hashlib.sha256(f"{target.dtype.str} {target.shape}".encode() + target.tobytes()).hexdigest()

    def make(folder: Path) -> dict[str, Any]:
        durable.save_array(folder / "labels.npy", target)
        return {}

    folder, _ = cache.entry(["labels", digest], target.nbytes, make)
    return Split(dict(inputs), folder / "labels.npy", hashlib.sha256(f"{sha256} {digest}".encode()).hexdigest())
