"""Load a data set given by name, by path, by a YAML file that describes it, or as samples from Python."""

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
from bitpick.datasets import options as data_options
from bitpick.datasets.assembling import RawSplit
from bitpick.datasets.dataset import Dataset, dataset_name
from bitpick.datasets.options import DataOptions
from bitpick.datasets.progress import Progress, silent
from bitpick.errors import DataError, did_you_mean
from bitpick.models.model import Signature
from bitpick.preprocessing import Decoding, Preprocessing

NAMES = ("cifar10",)
FILES = (*arrays.SUFFIXES, *csv_file.SUFFIXES, *arrow.SUFFIXES)
KINDS = (
    "cifar10, a folder of pictures (class/name.png), .npz or .npy arrays, a .csv or .parquet table, a directory that "
    "Hugging Face datasets saved, or a .yaml file that describes one"
)


Data = Any
"""A name, a path, or samples, see `streams.cache_samples`."""
Options = DataOptions | Mapping[str, Any] | None
"""How to read it."""


@dataclass(frozen=True)
class DataSource:
    """A data set that the user asked for, not loaded yet.

    Attributes:
        data: its name or path; a pair of paths, to calibrate with and to evaluate on; or cached samples from Python.
        options: how to read it.
    """

    data: str | Path | tuple[Path, Path] | streams.CachedSamples
    options: DataOptions

    @property
    def name(self) -> str:
        """The name that users write."""
        if isinstance(self.data, streams.CachedSamples):
            return self.data.name
        return " and ".join(map(str, self.data)) if isinstance(self.data, tuple) else str(self.data)

    def prepared_like(self, preprocessing: Mapping[str, Preprocessing], classes: tuple[str, ...]) -> DataSource:
        """Return the same data set with the preprocessing and the class names that a build records.

        The user's own options take precedence.

        Args:
            preprocessing: of each input of the build, by name.
            classes: class names of the build.
        """
        recorded: dict[str, Any] = {}
        if not self.options.says_pixels:
            recorded["preprocessing"] = {n: data_options.from_preprocessing(p) for n, p in preprocessing.items()}
        if self.options.classes is None and classes != tuple(map(str, range(len(classes)))):
            recorded["classes"] = classes
        return replace(self, options=self.options.model_copy(update=recorded))

    def load(self, signature: Signature | None = None, progress: Progress = silent) -> Dataset:
        """Load the data set. One known by name is downloaded if it is not in the cache.

        Args:
            signature: inputs and outputs of the model; None if there is no model.
            progress: shows the progress of downloads and decoding.

        Raises:
            DataError: there is no such data set, or it cannot be fetched or read.
        """
        dataset = self._load(signature, progress)
        dataset = preparing.with_preprocessing(dataset, self.options, signature)
        return replace(dataset, notes=(*dataset.notes, *checks.check_values(dataset)))

    def _load(self, signature: Signature | None, progress: Progress) -> Dataset:
        if isinstance(self.data, streams.CachedSamples):
            return assembling.dataset(self.name, self.data.read(self.options, signature), self.options, signature)
        if isinstance(self.data, tuple):
            return _two_paths(self.data, self.options, signature, progress)
        path = Path(self.data)
        if str(self.data) == "cifar10":
            return assembling.apply_options(cifar10.load(progress=progress), self.options)
        if path.is_file():
            return _files({"": [path]}, dataset_name(path), self.options, signature, progress)
        if not path.is_dir():
            raise _missing(path)
        return _folder(path, self.options, signature, progress)


def data_source(data: Data, options: Options = None) -> DataSource:
    """Return the data set asked for, after reading its YAML file, or caching its samples.

    Args:
        data: a name, a path, or samples, see `streams.cache_samples`.
        options: how to read it; they override those of a YAML file.

    Raises:
        DataError: an option is invalid, or the samples cannot be cached.
    """
    settings = options if isinstance(options, DataOptions) else data_options.checked(options or {})
    if not isinstance(data, (str, Path)):
        return DataSource(streams.cache_samples(data, settings), settings)
    path = Path(data)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise _missing(path)
        defaults = data_options.read(path)
        settings = data_options.checked(
            defaults.model_dump(exclude_defaults=True) | settings.model_dump(exclude_defaults=True)
        )
        data = settings.data or path
    if settings.calibration is not None and settings.evaluation is not None:
        return DataSource((settings.calibration, settings.evaluation), settings)
    if Path(data).name in NAMES and not Path(data).exists():
        data = Path(data).name
    return DataSource(data, settings)


def load(
    data: Data, signature: Signature | None = None, options: Options = None, progress: Progress = silent
) -> Dataset:
    """Load a data set; see `data_source` and `DataSource.load`."""
    return data_source(data, options).load(signature, progress)


def _folder(path: Path, options: DataOptions, signature: Signature | None, progress: Progress) -> Dataset:
    """Load the data set in a folder, whatever its kind."""
    if cifar10.holds(path):
        return assembling.apply_options(cifar10.load(path, progress), options)
    if (saved := arrow.saved_files(path)) is not None:
        return _arrow(saved, dataset_name(path), options, signature, progress)
    for root in (path, path / "data"):  # the Hugging Face hub keeps the files in data/
        if root.is_dir() and (files := _split_files(root)):
            return _files(files, dataset_name(path), options, signature, progress)
    dataset = image_folder.load(path, options, signature, progress)
    if dataset is not None:
        return dataset
    if any(path.glob("*.npy")):
        return assembling.dataset(dataset_name(path), arrays.read(path, options, signature), options, signature)
    names = sorted(entry.name for entry in path.iterdir())
    readable = [name for name in names if Path(name).suffix.lower() in FILES]
    raise DataError(
        f"the folder {path} holds no data set: " + (f"it has {_contents(path, names[:6])}" if names else "it is empty"),
        expected=KINDS,
        fix=f"name the file: --data {path / readable[0]}" if readable else "",
    )


def _contents(folder: Path, names: list[str]) -> str:
    """List what a folder contains; if it contains only folders, add that they hold no pictures."""
    only_folders = all((folder / name).is_dir() for name in names)
    return ", ".join(names) + (", without a picture in them" if only_folders else "")


def _split_files(folder: Path) -> dict[str, list[Path]]:
    """Return the files named after splits, by split: `train.npz`, `test-00000-of-00002.parquet`."""
    files: dict[str, list[Path]] = {}
    for file in sorted(folder.iterdir()):
        stem = re.sub(r"-\d{5}-of-\d{5}$", "", file.stem)
        if file.suffix.lower() in FILES and file.suffix != ".npy" and splits.is_usual_name(stem):
            files.setdefault(stem, []).append(file)
    return files if splits.pair(files) is not None else {}


def _files(
    files: Mapping[str, list[Path]],
    name: str,
    options: DataOptions,
    signature: Signature | None,
    progress: Progress,
) -> Dataset:
    """Load a data set from files of one kind, given by split."""
    first = next(iter(files.values()))[0]
    if first.suffix.lower() in arrow.SUFFIXES:
        return _arrow(files, name, options, signature, progress)
    raw: dict[str, RawSplit] = {}
    _same_labels(name, {split: paths[0] for split, paths in files.items()}, options)
    for split, (path, *_) in files.items():
        if path.suffix.lower() in csv_file.SUFFIXES:
            raw[split] = tables.read(csv_file.CsvTable(path), options, signature)
        elif path.suffix.lower() in arrays.SUFFIXES:
            members = arrays.read(path, options, signature, alone=len(files) == 1)
            raw |= members if len(files) == 1 else {split: next(iter(members.values()))}
        else:
            raise DataError(
                f"{path} is a {path.suffix or 'nameless'} file, which bitpick does not read", expected=KINDS
            )
    return assembling.dataset(name, raw, options, signature)


def _same_labels(name: str, files: Mapping[str, Path], options: DataOptions) -> None:
    """Refuse tables if only some of them have the label column that the user names."""
    csv_tables = {s: csv_file.CsvTable(path) for s, path in files.items() if path.suffix.lower() in csv_file.SUFFIXES}
    labelled = [split for split, table in csv_tables.items() if options.labels in table.columns]
    if without := [split for split in csv_tables if labelled and split not in labelled]:
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
    """Load a data set from Parquet or Arrow files, given by split."""
    names = splits.pair(files)
    used = {split: files[split] for split in names} if names else files
    raw, classes, decoded = arrow.read(name, used, options, signature, progress)
    unused = sorted(set(files) - set(used))
    notes = (f"the split {', '.join(unused)} is not used",) if unused else ()
    dataset = assembling.dataset(name, raw, options, signature, classes, notes)
    return replace(dataset, preprocessing=_decoding_only(decoded))


def _decoding_only(decoded: Mapping[str, Decoding]) -> dict[str, Preprocessing]:
    return {name: Preprocessing(decoding=how) for name, how in decoded.items()}


def _two_paths(
    paths: tuple[Path, Path], options: DataOptions, signature: Signature | None, progress: Progress
) -> Dataset:
    """Load a data set whose calibration and evaluation sets have separate paths."""
    for path in paths:
        if not path.exists():
            raise _missing(path)
    name = dataset_name(paths[1])
    if all(path.is_dir() for path in paths):
        folders = [image_folder.pictures_in(path) for path in paths]
        pictures = [folder for folder in folders if folder is not None]
        if len(pictures) == 2:
            return image_folder.read(name, pictures, options, signature, progress)
        raise DataError(f"{paths[folders.index(None)]} holds no pictures", expected="class/name.png, or a file")
    return _files(
        dict(zip(("calibration", "evaluation"), ([p] for p in paths), strict=True)), name, options, signature, progress
    )


def _missing(path: Path) -> DataError:
    """Return the error for a path that does not exist, with the nearest name that does."""
    near = did_you_mean(str(path), NAMES) if path.parent == Path() else ""
    parent = next(p for p in path.absolute().parents if p.exists())
    names = [entry.name for entry in parent.iterdir() if not entry.name.startswith(".")] if parent.is_dir() else []
    missing = path.absolute().relative_to(parent).parts[0]
    hint = did_you_mean(missing, names) if names else f"{parent} is empty"
    if not near.startswith("did you mean"):
        near = hint if hint.startswith("did you mean") else f"{parent} has no {missing!r}"
    return DataError(f"there is no data set {str(path)!r}", expected=KINDS, fix=near)
