"""A data set by name, by path, by a YAML file that says it all, or handed over from Python."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bitpick.datasets import (
    arrays,
    arrow,
    assembling,
    checks,
    cifar10,
    csv_file,
    image_folder,
    preparing,
    splits,
    streams,
    tables,
)
from bitpick.datasets import options as reading
from bitpick.datasets.assembling import Found
from bitpick.datasets.dataset import Dataset, named_as
from bitpick.datasets.options import DataOptions
from bitpick.datasets.progress import Progress, silent
from bitpick.errors import DataError
from bitpick.models.model import Signature
from bitpick.preprocessing import Decoding, Preprocessing
from bitpick.recipe import did_you_mean

NAMES = ("cifar10",)
FILES = (*arrays.SUFFIXES, *csv_file.SUFFIXES, *arrow.SUFFIXES)
KINDS = (
    "cifar10, a folder of pictures (class/name.png), .npz or .npy arrays, a .csv or .parquet table, a directory that "
    "Hugging Face datasets saved, or a .yaml file that describes one"
)


Data = Any
"""A name, a path, or samples, see `streams.keep`."""
Options = DataOptions | Mapping[str, Any] | None
"""How to read it."""


@dataclass(frozen=True)
class DataSource:
    """A data set that was asked for.

    Attributes:
        data: its name or path; a pair of paths, to calibrate with and to evaluate on; or samples from Python, kept.
        options: how to read it.
    """

    data: str | Path | tuple[Path, Path] | streams.Kept
    options: DataOptions

    @property
    def name(self) -> str:
        """The data set as users write it."""
        if isinstance(self.data, streams.Kept):
            return self.data.name
        return " and ".join(map(str, self.data)) if isinstance(self.data, tuple) else str(self.data)

    def as_before(self, known: Mapping[str, Preprocessing], classes: tuple[str, ...]) -> DataSource:
        """The same data set for a build that says how its inputs are prepared, by their names, and what it tells apart.

        What the user says goes before that.
        """
        own: dict[str, Any] = {}
        if not self.options.says_pixels:
            own["preprocessing"] = {name: reading.as_before(each) for name, each in known.items()}
        if self.options.classes is None and classes != tuple(map(str, range(len(classes)))):
            own["classes"] = classes
        return replace(self, options=self.options.model_copy(update=own))

    def load(self, signature: Signature | None = None, progress: Progress = silent) -> Dataset:
        """Load it, fetching it where it is known by name and not here yet.

        Args:
            signature: what the model takes and gives; None where there is no model.
            progress: is told how far a download or a decoding is.

        Raises:
            DataError: no such data set, no way to it, or one that cannot be read.
        """
        found = self._load(signature, progress)
        found = preparing.prepared(found, self.options, signature)
        return replace(found, notes=(*found.notes, *checks.look(found)))

    def _load(self, signature: Signature | None, progress: Progress) -> Dataset:
        if isinstance(self.data, streams.Kept):
            return assembling.dataset(self.name, self.data.found(self.options, signature), self.options, signature)
        if isinstance(self.data, tuple):
            return _two(self.data, self.options, signature, progress)
        path = Path(self.data)
        if str(self.data) == "cifar10":
            return assembling.whole(cifar10.load(progress=progress), self.options)
        if path.is_file():
            return _files({"": [path]}, named_as(path), self.options, signature, progress)
        if not path.is_dir():
            raise _missing(path)
        return _folder(path, self.options, signature, progress)


def data_source(data: Data, options: Options = None) -> DataSource:
    """What is asked for: a YAML file is read, samples from Python are kept in the cache.

    Args:
        data: a name, a path, or samples, see `streams.keep`.
        options: how to read it; they go before those of a YAML file.

    Raises:
        DataError: options that are none, or samples that cannot be kept.
    """
    given = options if isinstance(options, DataOptions) else reading.checked(options or {})
    if not isinstance(data, (str, Path)):
        return DataSource(streams.keep(data, given), given)
    path = Path(data)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise _missing(path)
        own = reading.read(path)
        given = reading.checked(own.model_dump(exclude_defaults=True) | given.model_dump(exclude_defaults=True))
        data = given.data or path
    if given.calibration is not None and given.evaluation is not None:
        return DataSource((given.calibration, given.evaluation), given)
    if Path(data).name in NAMES and not Path(data).exists():
        data = Path(data).name
    return DataSource(data, given)


def load(
    data: Data, signature: Signature | None = None, options: Options = None, progress: Progress = silent
) -> Dataset:
    """Load a data set; see `data_source` and `DataSource.load`."""
    return data_source(data, options).load(signature, progress)


def _folder(path: Path, options: DataOptions, signature: Signature | None, progress: Progress) -> Dataset:
    """The data set in a folder, by what is in it."""
    if cifar10.holds(path):
        return assembling.whole(cifar10.load(path, progress), options)
    if (saved := arrow.hugging_face(path)) is not None:
        return _arrow(saved, named_as(path), options, signature, progress)
    for place in (path, path / "data"):  # a data set that was downloaded from the hub has its files in the latter
        if place.is_dir() and (files := _split_files(place)):
            return _files(files, named_as(path), options, signature, progress)
    found = image_folder.load(path, options, signature, progress)
    if found is not None:
        return found
    if any(path.glob("*.npy")):
        return assembling.dataset(named_as(path), arrays.read(path, options, signature), options, signature)
    there = sorted(each.name for each in path.iterdir())
    readable = [name for name in there if Path(name).suffix.lower() in FILES]
    raise DataError(
        f"the folder {path} holds no data set: " + (f"it has {_told(path, there[:6])}" if there else "it is empty"),
        expected=KINDS,
        fix=f"name the file: --data {path / readable[0]}" if readable else "",
    )


def _told(folder: Path, names: list[str]) -> str:
    """What a folder has, and that its folders have no pictures, where it has nothing else."""
    alone = all((folder / name).is_dir() for name in names)
    return ", ".join(names) + (", without a picture in them" if alone else "")


def _split_files(folder: Path) -> dict[str, list[Path]]:
    """The files of a folder that have the names of splits, by split: `train.npz`, `test-00000-of-00002.parquet`."""
    found: dict[str, list[Path]] = {}
    for file in sorted(folder.iterdir()):
        stem = re.sub(r"-\d{5}-of-\d{5}$", "", file.stem)
        if file.suffix.lower() in FILES and file.suffix != ".npy" and splits.known(stem):
            found.setdefault(stem, []).append(file)
    return found if splits.pair(found) is not None else {}


def _files(
    files: Mapping[str, list[Path]],
    name: str,
    options: DataOptions,
    signature: Signature | None,
    progress: Progress,
) -> Dataset:
    """The data set in files of one kind, by split."""
    first = next(iter(files.values()))[0]
    if first.suffix.lower() in arrow.SUFFIXES:
        return _arrow(files, name, options, signature, progress)
    found: dict[str, Found] = {}
    _same_labels(name, {split: paths[0] for split, paths in files.items()}, options)
    for split, (path, *_) in files.items():
        if path.suffix.lower() in csv_file.SUFFIXES:
            found[split] = tables.read(csv_file.CsvTable(path), options, signature)
        elif path.suffix.lower() in arrays.SUFFIXES:
            parts = arrays.read(path, options, signature, alone=len(files) == 1)
            found |= parts if len(files) == 1 else {split: next(iter(parts.values()))}
        else:
            raise DataError(
                f"{path} is a {path.suffix or 'nameless'} file, which bitpick does not read", expected=KINDS
            )
    return assembling.dataset(name, found, options, signature)


def _same_labels(name: str, files: Mapping[str, Path], options: DataOptions) -> None:
    """Refuse tables of which some have the column of the labels that is named, and some have it not."""
    tables_ = {s: csv_file.CsvTable(path) for s, path in files.items() if path.suffix.lower() in csv_file.SUFFIXES}
    labelled = [split for split, table in tables_.items() if options.labels in table.columns]
    if without := [split for split in tables_ if labelled and split not in labelled]:
        raise DataError(
            f"the split {without[0]} of {name} has no column {options.labels!r} for the labels, and {labelled[0]} has",
            expected="labels in both",
            fix=f"give only the one with labels, and bitpick divides it: --data {files[labelled[0]]}",
        )


def _arrow(
    files: Mapping[str, list[Path]],
    name: str,
    options: DataOptions,
    signature: Signature | None,
    progress: Progress,
) -> Dataset:
    """The data set in Parquet or Arrow files, by split."""
    chosen = splits.pair(files)
    used = {split: files[split] for split in chosen} if chosen else files
    found, classes, decoded = arrow.read(name, used, options, signature, progress)
    unused = sorted(set(files) - set(used))
    notes = (f"the split {', '.join(unused)} is not used",) if unused else ()
    dataset = assembling.dataset(name, found, options, signature, classes, notes)
    return replace(dataset, preprocessing=_with(decoded))


def _with(decoded: Mapping[str, Decoding]) -> dict[str, Preprocessing]:
    return {name: Preprocessing(decoding=how) for name, how in decoded.items()}


def _two(both: tuple[Path, Path], options: DataOptions, signature: Signature | None, progress: Progress) -> Dataset:
    """The data set whose calibration set and evaluation set are in two places."""
    for path in both:
        if not path.exists():
            raise _missing(path)
    name = named_as(both[1])
    if all(path.is_dir() for path in both):
        parts = [image_folder.found_in(path) for path in both]
        pictures = [part for part in parts if part is not None]
        if len(pictures) == 2:
            return image_folder.read(name, pictures, options, signature, progress)
        raise DataError(f"{both[parts.index(None)]} holds no pictures", expected="class/name.png, or a file")
    return _files(
        dict(zip(("calibration", "evaluation"), ([p] for p in both), strict=True)), name, options, signature, progress
    )


def _missing(path: Path) -> DataError:
    """That there is no such path, with what is near it."""
    near = did_you_mean(str(path), NAMES) if path.parent == Path() else ""
    parent = next(p for p in path.absolute().parents if p.exists())
    there = [each.name for each in parent.iterdir() if not each.name.startswith(".")] if parent.is_dir() else []
    missing = path.absolute().relative_to(parent).parts[0]
    hint = did_you_mean(missing, there) if there else f"{parent} is empty"
    if not near.startswith("did you mean"):
        near = hint if hint.startswith("did you mean") else f"{parent} has no {missing!r}"
    return DataError(f"there is no data set {str(path)!r}", expected=KINDS, fix=near)
