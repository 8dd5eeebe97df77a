"""Read folders of pictures: `class/name.png`, optionally below folders for splits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.datasets import cache, images, label_file, labels, npy, preparing, splits
from bitpick.datasets.assembling import with_labels
from bitpick.datasets.dataset import Dataset, Split, dataset_name
from bitpick.datasets.options import DataOptions
from bitpick.datasets.progress import Progress
from bitpick.errors import DataError
from bitpick.models.model import Signature
from bitpick.preprocessing import Decoding, Preprocessing

_JUNK = ("thumbs.db", "desktop.ini")  # what operating systems leave in folders
_LISTED = 5  # names that a note lists


@dataclass(frozen=True)
class Pictures:
    """Image files of one split, sorted by name.

    Attributes:
        files: paths of the images.
        folders: for each image, the name of its folder, which is its class; None if there are no class folders.
        left_out: names of other files, and of folders without pictures.
    """

    files: tuple[Path, ...]
    folders: tuple[str, ...] | None
    left_out: tuple[str, ...] = ()

    def at(self, places: NDArray[np.int64]) -> Pictures:
        """Return the pictures at these indices."""
        folders = None if self.folders is None else tuple(self.folders[i] for i in places)
        return Pictures(tuple(self.files[i] for i in places), folders)


def pictures_in(folder: Path) -> Pictures | None:
    """Return the image files of a folder, in class folders or directly in it; None if there are none.

    Raises:
        DataError: some images are in class folders, and others are not.
    """
    direct, others = _pictures_and_others(folder)
    in_folders = {each.name: _pictures_and_others(each, deep=True) for each in _folders(folder)}
    classes = {name: files for name, (files, _) in in_folders.items() if files}
    if direct and classes:
        raise DataError(
            f"{folder} has images beside its folders ({direct[0].name}) and in them ({next(iter(classes))})",
            expected="one folder for each class, with its images, or images alone",
        )
    if not classes:
        return Pictures(tuple(direct), None, tuple(file.name for file in others)) if direct else None
    left_out = [str(file.relative_to(folder)) for _, rest in in_folders.values() for file in rest]
    left_out += [f"{name}/" for name, contents in in_folders.items() if contents == ([], [])]
    files = tuple(file for each in classes.values() for file in each)
    return Pictures(files, tuple(name for name, each in classes.items() for _ in each), tuple(left_out))


def _pictures_and_others(folder: Path, deep: bool = False) -> tuple[list[Path], list[Path]]:
    """Return the pictures in a folder, and its other files, both without hidden ones."""
    paths = sorted(folder.rglob("*") if deep else folder.iterdir())
    files = [p for p in paths if not p.name.startswith(".") and p.name.lower() not in _JUNK and p.is_file()]
    suffixes = images.suffixes()
    pictures = [p for p in files if p.suffix.lower() in suffixes]
    return pictures, [p for p in files if p.suffix.lower() not in suffixes]


def _folders(folder: Path) -> list[Path]:
    return [each for each in sorted(folder.iterdir()) if each.is_dir() and not each.name.startswith((".", "__"))]


def load(folder: Path, options: DataOptions, signature: Signature | None, progress: Progress) -> Dataset | None:
    """Load a folder of pictures, decoded once into the cache.

    Args:
        folder: holds class folders; or split folders with class folders in them; or only pictures; or a single folder
            that holds any of these.
        options: how to read it.
        signature: inputs of the model: pictures get the size that it takes.
        progress: shows the progress of decoding.

    Returns:
        The data set; None if the folder holds no images.

    Raises:
        DataError: images are damaged, or labels are missing.
    """
    folders = {each.name: each for each in _folders(folder)}
    parts = {
        name: part
        for name in folders
        if splits.is_usual_name(name) and (part := pictures_in(folders[name])) is not None
    }
    labelled = {name for name, part in parts.items() if part.folders is not None}
    names = splits.pair(labelled) or splits.pair(parts)
    if names is not None:
        others = sorted(name for name in folders if name not in names)
        notes = (f"not used: {', '.join(f'{name}/' for name in others)}",) if others else ()
        pictures = [parts[name] for name in names]
        return read(dataset_name(folder), pictures, options, signature, progress, notes)
    inner = [each for each in folders.values() if any(p.suffix.lower() in images.suffixes() for p in each.rglob("*"))]
    if len(inner) == 1 and not _pictures_and_others(folder)[0] and not _pictures_and_others(inner[0])[0]:
        dataset = load(inner[0], options, signature, progress)
        note = f"the pictures are those in {inner[0].name}/, the only folder that has pictures"
        return None if dataset is None else replace(dataset, name=dataset_name(folder), notes=(note, *dataset.notes))
    flat = pictures_in(folder)
    return None if flat is None else read(dataset_name(folder), [flat], options, signature, progress)


def read(
    name: str,
    parts: Sequence[Pictures],
    options: DataOptions,
    signature: Signature | None,
    progress: Progress,
    notes: Sequence[str] = (),
) -> Dataset:
    """Build the data set from one or two splits of pictures; see `load`."""
    all_notes = [*notes, *_left_out_notes(parts)]
    encoded = _encoded_labels(parts, options, signature)
    targets = [encoded.labels.get(str(i)) for i in range(len(parts))]
    if len(parts) == 1:
        target = targets[0]
        classes = target if target is not None and encoded.classes else None
        halves = splits.divide(classes, len(parts[0].files), options.split, options.split_seed)
        all_notes.append(splits.division_note(options.split, *map(len, halves)))
        parts = [parts[0].at(places) for places in halves]
        targets = [None if target is None else target[places] for places in halves]
    tensor = preparing.picture_input(signature)
    input_name = "image" if tensor is None else tensor.name
    how = preparing.decoding(options.pixels(input_name), tensor)
    both = []
    for pictures, target in zip(parts, targets, strict=True):
        split, skipped = _decode(pictures, target, how, input_name, options, progress)
        both.append(split)
        all_notes += _damaged_notes(pictures, skipped)
    return Dataset(
        name,
        encoded.classes,
        both[0],
        both[1],
        {input_name: Preprocessing(decoding=how)},
        (*all_notes, *encoded.notes),
        encoded.values,
    )


def _encoded_labels(parts: Sequence[Pictures], options: DataOptions, signature: Signature | None) -> labels.Encoded:
    """Return the labels from the class folders, or from a label file for pictures without class folders."""
    order = options.class_names
    if options.labels is not None:
        if len(parts) != 1:
            raise DataError("one file of labels cannot be for two splits", fix="put the pictures in folders of classes")
        stored, note = label_file.of_files(options.labels, parts[0].files)
        encoded = labels.encode({"0": stored}, (), order, signature)
        return replace(encoded, notes=(note, *encoded.notes))
    flat = [part for part in parts if part.folders is None]
    if flat and len(flat) < len(parts):
        raise DataError(
            f"the pictures in {flat[0].files[0].parent} are not in class folders, but those of the other split are",
            expected="class folders in both splits, or in neither",
            fix="give only the split with class folders: bitpick divides it into two sets",
        )
    if flat:
        return labels.encode({}, (), order)
    if sum(len(set(part.folders or ())) for part in parts) == len(parts):
        return labels.encode({}, (), order)  # a single folder just holds the pictures: it is not a class
    return labels.encode({str(i): np.array(part.folders) for i, part in enumerate(parts)}, (), order, signature, True)


def _decode(
    pictures: Pictures,
    target: NDArray[Any] | None,
    how: Decoding,
    input_name: str,
    options: DataOptions,
    progress: Progress,
) -> tuple[Split, dict[int, str]]:
    """Decode the pictures of a split into the cache, unless they are there."""
    sources = cache.Sources(pictures.files)
    key = ["pictures", sources.state, how.model_dump(), options.skip_damaged]
    size = len(pictures.files) * how.height * how.width * how.channels

    def make(folder: Path) -> dict[str, Any]:
        files = [(str(file), file) for file in pictures.files]
        with npy.Writer(folder / "pixels.npy") as writer:
            skipped = images.write(files, how, writer, progress, options.skip_damaged)
        if len(skipped) == len(files):
            raise DataError(f"no image can be decoded: {skipped[0]}", expected=f"images of {', '.join(images.FORMATS)}")
        return {"sha256": npy.sha256([folder / "pixels.npy"]), "skipped": {str(i): why for i, why in skipped.items()}}

    folder, written = cache.entry(key, size, make, sources)
    skipped = {int(place): why for place, why in written["skipped"].items()}
    if target is not None:
        target = np.delete(target, list(skipped), axis=0)
    return with_labels({input_name: folder / "pixels.npy"}, written["sha256"], target), skipped


def _left_out_notes(parts: Sequence[Pictures]) -> list[str]:
    """Return a note on the files that are left out."""
    names = [name for part in parts for name in part.left_out]
    if not names:
        return []
    shown = ", ".join(names[:_LISTED]) + (" …" if len(names) > _LISTED else "")
    what = "1 file or folder is" if len(names) == 1 else f"{len(names):,} files or folders are"
    return [f"{what} left out, because bitpick finds no readable picture there: {shown}"]


def _damaged_notes(pictures: Pictures, skipped: dict[int, str]) -> list[str]:
    if not skipped:
        return []
    names = [pictures.files[place].name for place in skipped]
    more = " …" if len(names) > 5 else ""
    return [f"{len(names)} damaged files were left out: {', '.join(names[:5])}{more}"]
