"""From what a reader found to a data set: labels encoded, one set divided into two, everything in files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.datasets import cache, checks, labels, npy, splits
from bitpick.datasets.dataset import Dataset, Split
from bitpick.datasets.options import DataOptions
from bitpick.errors import DataError
from bitpick.models.model import Signature


@dataclass(frozen=True)
class Found:
    """Samples as a reader found them.

    Attributes:
        inputs: the `.npy` file of each input, by its name.
        labels: as the source has them, see `labels.Labels`; None where it has none.
        sha256: digest of the inputs.
        notes: what the reader guessed or noticed, in words.
    """

    inputs: dict[str, Path]
    labels: NDArray[Any] | None
    sha256: str
    notes: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """How many samples.

        Raises:
            DataError: the inputs, or the labels, are not as many as each other.
        """
        counts = {name: len(npy.mapped(path)) for name, path in self.inputs.items()}
        if self.labels is not None:
            counts["labels"] = len(self.labels)
        if len(set(counts.values())) != 1:
            told = ", ".join(f"{name} {count:,}" for name, count in counts.items())
            raise DataError(f"the arrays have different numbers of samples: {told}", expected="as many of each")
        return next(iter(counts.values()))


def dataset(
    name: str,
    found: Mapping[str, Found],
    options: DataOptions,
    signature: Signature | None,
    known: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Dataset:
    """The data set that readers' finds make.

    Args:
        name: as users write it.
        found: by the names of splits; one alone is divided.
        options: how to read it.
        signature: what the model gives.
        known: names of the classes in the order of numbered labels, where the source has them.
        notes: what the reader noticed.

    Raises:
        DataError: there are samples without labels beside samples with them, or too few.
    """
    chosen = _paired(name, found) if len(found) > 1 else dict(found)
    told = list(notes)
    if unused := sorted(found.keys() - chosen.keys()):
        told.append(f"the split {', '.join(unused)} is not used")
    for split, each in chosen.items():
        if each.count == 0:
            raise DataError(f"{name} has no samples{f' in {split}' if split else ''}")
    given = {split: each.labels for split, each in chosen.items() if each.labels is not None}
    if given and len(given) != len(chosen):
        without = next(split for split in chosen if split not in given)
        raise DataError(
            f"the split {without} of {name} has no labels, but the other one does",
            expected="labels in both, or in none",
            fix="give only the file or folder with labels: bitpick divides it into two sets",
        )
    encoded = labels.encode(given, known, options.class_names, signature)
    told += dict.fromkeys(note for each in chosen.values() for note in each.notes)
    told += encoded.notes
    if len(chosen) == 1:
        ((split, one),) = chosen.items()
        for tensor, path in one.inputs.items():  # by their places here, which a half of the set does not know
            checks.finite(name, tensor, npy.mapped(path))
        made = _divided(one, encoded.labels.get(split), bool(encoded.classes), options)
        told.append(splits.told(options.split, made[0].count, made[1].count))
    else:
        made = [with_labels(each.inputs, each.sha256, encoded.labels.get(split)) for split, each in chosen.items()]
    return Dataset(name, encoded.classes, made[0], made[1], notes=tuple(told), values=encoded.values)


def _paired(name: str, found: Mapping[str, Found]) -> dict[str, Found]:
    """The two splits of several that calibrate and evaluate, in this order.

    Raises:
        DataError: their names do not say which ones they are.
    """
    names = splits.pair(found)
    if names is None:
        raise DataError(
            f"{name} has the splits {', '.join(found)}",
            expected=f"one of {', '.join(splits.CALIBRATION)} and one of {', '.join(splits.EVALUATION)}",
        )
    return {split: found[split] for split in names}


def whole(found: Dataset, options: DataOptions) -> Dataset:
    """A data set that has splits, labels and classes of its own, its classes in the order of the model's scores.

    Raises:
        DataError: the options would change its labels or splits, or name classes that it does not have.
    """
    for option, said in (("--labels", options.labels), ("--split", options.split)):
        if said is not None:
            raise DataError(f"{found.name} has labels and splits of its own", fix=f"leave {option} out")
    asked = options.class_names
    if asked is None or asked == found.classes:
        return found
    both = {"calibration": found.calibration, "evaluation": found.evaluation}
    encoded = labels.encode({name: np.asarray(each.labels) for name, each in both.items()}, found.classes, asked)
    made = [with_labels(each.paths, each.sha256, encoded.labels[name]) for name, each in both.items()]
    return replace(found, classes=encoded.classes, calibration=made[0], evaluation=made[1])


def _divided(one: Found, target: NDArray[Any] | None, classes: bool, options: DataOptions) -> list[Split]:
    """One set as two, in files of their own."""
    by_class = target if classes and target is not None and target.ndim == 1 else None
    both = splits.divide(by_class, one.count, options.split, options.split_seed)
    made = []
    for places in both:
        key = ["part", one.sha256, hashlib.sha256(places.tobytes()).hexdigest()]
        size = sum(npy.mapped(path)[:1].nbytes for path in one.inputs.values()) * len(places)

        def make(folder: Path, places: NDArray[np.int64] = places) -> dict[str, Any]:
            paths = []
            for number, source in enumerate(one.inputs.values()):
                paths.append(folder / f"{number}.npy")
                npy.copy_rows(source, places, paths[-1])
            return {"sha256": npy.sha256(paths)}

        folder, noted = cache.entry(key, size, make)
        paths = {name: folder / f"{number}.npy" for number, name in enumerate(one.inputs)}
        made.append(with_labels(paths, noted["sha256"], None if target is None else target[places]))
    return made


def with_labels(inputs: Mapping[str, Path], sha256: str, target: NDArray[Any] | None) -> Split:
    """A split of these inputs, whose digest is `sha256`, and labels, which are put in a file of the cache."""
    if target is None:
        return Split(dict(inputs), None, sha256)
    digest = hashlib.sha256(f"{target.dtype.str} {target.shape}".encode() + target.tobytes()).hexdigest()

    def make(folder: Path) -> dict[str, Any]:
        np.save(folder / "labels.npy", target)
        return {}

    folder, _ = cache.entry(["labels", digest], target.nbytes, make)
    return Split(dict(inputs), folder / "labels.npy", hashlib.sha256(f"{sha256} {digest}".encode()).hexdigest())
