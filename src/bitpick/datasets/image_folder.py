"""Folders of pictures: `class/name.png`, with or without folders for splits above the classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.datasets import cache, images, label_file, labels, npy, preparing, splits
from bitpick.datasets.assembling import with_labels
from bitpick.datasets.dataset import Dataset, Split, named_as
from bitpick.datasets.options import DataOptions
from bitpick.datasets.progress import Progress
from bitpick.errors import DataError
from bitpick.models.model import Signature
from bitpick.preprocessing import Decoding, Preprocessing

_JUNK = ("thumbs.db", "desktop.ini")  # what operating systems leave in folders
_TOLD = 5  # names in a note


@dataclass(frozen=True)
class Pictures:
    """Image files of one split, in the order of their names.

    Attributes:
        files: their paths.
        folders: the name of the folder of each, which is its class; None where all of them lie in the split's folder.
        left_out: the names of other files and of folders without pictures.
    """

    files: tuple[Path, ...]
    folders: tuple[str, ...] | None
    left_out: tuple[str, ...] = ()

    def at(self, places: NDArray[np.int64]) -> Pictures:
        """Some of them."""
        folders = None if self.folders is None else tuple(self.folders[i] for i in places)
        return Pictures(tuple(self.files[i] for i in places), folders)


def found_in(folder: Path) -> Pictures | None:
    """The image files of a folder, in folders of classes or beside each other; None where there are none.

    Raises:
        DataError: some lie in folders of classes and some beside these.
    """
    beside, others = _images(folder)
    inside = {each.name: _images(each, deep=True) for each in _folders(folder)}
    classes = {name: files for name, (files, _) in inside.items() if files}
    if beside and classes:
        raise DataError(
            f"{folder} has images beside its folders ({beside[0].name}) and in them ({next(iter(classes))})",
            expected="one folder for each class, with its images, or images alone",
        )
    if not classes:
        return Pictures(tuple(beside), None, tuple(file.name for file in others)) if beside else None
    left = [str(file.relative_to(folder)) for _, rest in inside.values() for file in rest]
    left += [f"{name}/" for name, found in inside.items() if found == ([], [])]
    files = tuple(file for each in classes.values() for file in each)
    return Pictures(files, tuple(name for name, each in classes.items() for _ in each), tuple(left))


def _images(folder: Path, deep: bool = False) -> tuple[list[Path], list[Path]]:
    """The pictures of a folder, and its other files, without hidden ones."""
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
        folder: holds folders of classes; or folders of splits that hold these; or pictures alone; or one folder alone
            that holds any of these.
        options: how to read it.
        signature: what the model takes: pictures get its size.
        progress: is told how far the decoding is.

    Returns:
        The data set; None where the folder holds no image.

    Raises:
        DataError: images that are damaged, or whose labels are missing.
    """
    named = {each.name: each for each in _folders(folder)}
    parts = {name: part for name in named if splits.known(name) and (part := found_in(named[name])) is not None}
    labelled = {name for name, part in parts.items() if part.folders is not None}
    chosen = splits.pair(labelled) or splits.pair(parts)
    if chosen is not None:
        others = sorted(name for name in named if name not in chosen)
        notes = (f"not used: {', '.join(f'{name}/' for name in others)}",) if others else ()
        both = [parts[name] for name in chosen]
        return read(named_as(folder), both, options, signature, progress, notes)
    inner = [each for each in named.values() if any(p.suffix.lower() in images.suffixes() for p in each.rglob("*"))]
    if len(inner) == 1 and not _images(folder)[0] and not _images(inner[0])[0]:
        found = load(inner[0], options, signature, progress)
        told = f"the pictures are those in {inner[0].name}/, the only folder that has pictures"
        return None if found is None else replace(found, name=named_as(folder), notes=(told, *found.notes))
    whole = found_in(folder)
    return None if whole is None else read(named_as(folder), [whole], options, signature, progress)


def read(
    name: str,
    parts: Sequence[Pictures],
    options: DataOptions,
    signature: Signature | None,
    progress: Progress,
    notes: Sequence[str] = (),
) -> Dataset:
    """The data set of one or two splits of pictures; see `load`."""
    told = [*notes, *_left_out(parts)]
    encoded = _labelled(parts, options, signature)
    targets = [encoded.labels.get(str(i)) for i in range(len(parts))]
    if len(parts) == 1:
        target = targets[0]
        classes = target if target is not None and encoded.classes else None
        both = splits.divide(classes, len(parts[0].files), options.split, options.split_seed)
        told.append(splits.told(options.split, *map(len, both)))
        parts = [parts[0].at(places) for places in both]
        targets = [None if target is None else target[places] for places in both]
    tensor = preparing.picture(signature)
    input_name = "image" if tensor is None else tensor.name
    how = preparing.decoding(options.pixels(input_name), tensor)
    made = []
    for pictures, target in zip(parts, targets, strict=True):
        split, skipped = _decoded(pictures, target, how, input_name, options, progress)
        made.append(split)
        told += _skipped(pictures, skipped)
    return Dataset(
        name,
        encoded.classes,
        made[0],
        made[1],
        {input_name: Preprocessing(decoding=how)},
        (*told, *encoded.notes),
        encoded.values,
    )


def _labelled(parts: Sequence[Pictures], options: DataOptions, signature: Signature | None) -> labels.Encoded:
    """The classes of the folders, or the labels of a file for pictures that lie beside each other."""
    asked = options.class_names
    if options.labels is not None:
        if len(parts) != 1:
            raise DataError("one file of labels cannot be for two splits", fix="put the pictures in folders of classes")
        given, told = label_file.of_files(options.labels, parts[0].files)
        made = labels.encode({"0": given}, (), asked, signature)
        return replace(made, notes=(told, *made.notes))
    flat = [part for part in parts if part.folders is None]
    if flat and len(flat) < len(parts):
        raise DataError(
            f"the pictures in {flat[0].files[0].parent} are not in class folders, but those of the other split are",
            expected="class folders in both splits, or in neither",
            fix="give only the split with class folders: bitpick divides it into two sets",
        )
    if flat:
        return labels.encode({}, (), asked)
    if sum(len(set(part.folders or ())) for part in parts) == len(parts):
        return labels.encode({}, (), asked)  # one folder is a place for pictures, no class among others
    return labels.encode({str(i): np.array(part.folders) for i, part in enumerate(parts)}, (), asked, signature, True)


def _decoded(
    pictures: Pictures,
    target: NDArray[Any] | None,
    how: Decoding,
    input_name: str,
    options: DataOptions,
    progress: Progress,
) -> tuple[Split, dict[int, str]]:
    """The pictures of a split, decoded into the cache or found there."""
    stats = [(str(file.absolute()), (told := file.stat()).st_size, told.st_mtime_ns) for file in pictures.files]
    key = ["pictures", stats, how.model_dump(), options.skip_damaged]
    size = len(pictures.files) * how.height * how.width * how.channels

    def make(folder: Path) -> dict[str, Any]:
        files = [(str(file), file) for file in pictures.files]
        with npy.Writer(folder / "pixels.npy") as writer:
            skipped = images.write(files, how, writer, progress, options.skip_damaged)
        if len(skipped) == len(files):
            raise DataError(f"no image can be decoded: {skipped[0]}", expected=f"images of {', '.join(images.FORMATS)}")
        return {"sha256": npy.sha256([folder / "pixels.npy"]), "skipped": {str(i): why for i, why in skipped.items()}}

    folder, noted = cache.entry(key, size, make)
    skipped = {int(place): why for place, why in noted["skipped"].items()}
    if target is not None:
        target = np.delete(target, list(skipped), axis=0)
    return with_labels({input_name: folder / "pixels.npy"}, noted["sha256"], target), skipped


def _left_out(parts: Sequence[Pictures]) -> list[str]:
    """A note on the files that are not read."""
    names = [name for part in parts for name in part.left_out]
    if not names:
        return []
    shown = ", ".join(names[:_TOLD]) + (" …" if len(names) > _TOLD else "")
    what = "1 file or folder is" if len(names) == 1 else f"{len(names):,} files or folders are"
    return [f"{what} left out, because bitpick finds no readable picture there: {shown}"]


def _skipped(pictures: Pictures, skipped: dict[int, str]) -> list[str]:
    if not skipped:
        return []
    names = [pictures.files[place].name for place in skipped]
    more = " …" if len(names) > 5 else ""
    return [f"{len(names)} damaged files were left out: {', '.join(names[:5])}{more}"]
