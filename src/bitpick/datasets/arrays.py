"""Arrays in files: `.npz`, unpacked once into the cache, and `.npy`, memory-mapped where it lies."""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.datasets import cache, label_file, npy, splits
from bitpick.datasets.assembling import Found
from bitpick.datasets.options import DataOptions
from bitpick.errors import DataError
from bitpick.model import Signature

SUFFIXES = (".npz", ".npy")
LABEL_NAMES = ("labels", "label", "y", "targets", "target")
# Names such as train_images, x_test and y_val say which split an array is of.
_SPLIT = "|".join((*splits.CALIBRATION, *splits.EVALUATION))
_NAMED = re.compile(rf"^(?:(?P<before>{_SPLIT})_)?(?P<name>.*?)(?:_(?P<after>{_SPLIT}))?$", re.IGNORECASE)


def read(path: Path, options: DataOptions, signature: Signature | None, alone: bool = True) -> dict[str, Found]:
    """The arrays in a file, or in the `.npy` files of a folder, by the splits that their names say.

    Args:
        path: `.npz`, `.npy`, or a folder.
        options: `labels` and `inputs` name arrays; beside arrays without labels, `labels` is a file.
        signature: what the model takes: of more arrays than it takes, those with its inputs' names.
        alone: whether this is the whole data set, which a file of labels can be for.

    Returns:
        What was found, by split; an empty name where the names of the arrays say none.

    Raises:
        DataError: it is damaged, holds Python objects, or not what is asked for.
    """
    if path.is_dir():
        members = {file.stem: file.absolute() for file in sorted(path.glob("*.npy"))}
    else:
        members = {"input": path.absolute()} if path.suffix == ".npy" else _unpacked(path)
    found: dict[str, dict[str, Path]] = {}
    for name, member in members.items():
        split, plain = _named(name)
        found.setdefault(split, {})[plain] = member
    if "" in found and len(found) > 1:  # not every array is of a split: the names are names
        found = {"": members}
    alone = alone and len(found) == 1
    return {split: _of(path, arrays, options, signature, alone) for split, arrays in found.items()}


def _named(name: str) -> tuple[str, str]:
    """The split that an array's name says, if any, and the name without it."""
    if splits.known(name):
        return name, "input"
    told = _NAMED.match(name)
    assert told is not None
    return (told["before"] or told["after"] or "", told["name"]) if told["name"] else ("", name)


def _of(
    path: Path, arrays: Mapping[str, Path], options: DataOptions, signature: Signature | None, alone: bool
) -> Found:
    """Inputs and labels of one split."""
    own, wanted = dict(arrays), [tensor.name for tensor in signature.inputs] if signature else []
    target = _labels(path, own, options, wanted, alone)
    for tensor, name in options.inputs.items():
        if not isinstance(name, str) or name not in own:
            raise DataError(f"{path} has no array {name!r} for {tensor}", expected=f"one of {', '.join(own)}")
    if options.inputs:
        own = {tensor: own[str(name)] for tensor, name in options.inputs.items()}
    elif wanted and set(wanted) <= set(own):
        others = [name for name in own if name not in wanted]
        if others and target is None:
            raise DataError(
                f"nothing says whether {' or '.join(others)} in {path} are the labels",
                mend=f"say --labels {others[0]}; to go without labels, name the inputs in a data.yaml: "
                f"inputs: {{{wanted[0]}: {wanted[0]}}}",
            )
        own = {name: own[name] for name in wanted}
    if not own:
        raise DataError(f"{path} holds no array beside the labels", expected="an array for each input of the model")
    if wanted and len(own) > len(wanted):
        first = next(iter(own))
        likely = f"--labels {first}" if target is None else f"inputs: {{{wanted[0]}: {first}}} in a data.yaml"
        raise DataError(
            f"{path} holds {len(own)} arrays ({', '.join(own)}), and the model takes {', '.join(wanted)}",
            expected="arrays with the names of the model's inputs, and labels",
            mend=f"say what they are, e.g. {likely}",
        )
    for name, member in own.items():
        npy.check_numbers(npy.mapped(member).dtype, f"{name} in {path}")
    return Found(own, target, npy.combined([cache.digest(member) for member in own.values()]))


def _labels(
    path: Path, own: dict[str, Path], options: DataOptions, wanted: Sequence[str], alone: bool
) -> NDArray[Any] | None:
    """The labels, taken out of these arrays, or from a file of their own."""
    name = options.labels or next((n for n in LABEL_NAMES if n in own and n not in wanted), None)
    if name is None:
        return None
    if name in own:
        found: NDArray[Any] = np.load(own.pop(name), allow_pickle=False)
        return found
    if label_file.is_file(name):
        if not alone:
            raise DataError(
                f"the labels {name} are one file, and {path} is one of two splits",
                mend="give each split its labels in its own arrays: y_train and y_test, or labels in each .npz",
            )
        return label_file.read(name)
    raise DataError(
        f"{path} has no array {name!r}, and there is no such file", expected=f"--labels with one of {', '.join(own)}"
    )


def _unpacked(path: Path) -> dict[str, Path]:
    """The members of an `.npz` as files of the cache, by their names.

    Raises:
        DataError: it is damaged, or holds something else.
    """
    stat = path.stat()
    try:
        with zipfile.ZipFile(path) as archive:
            members = [each for each in archive.infolist() if each.filename.endswith(".npy")]
            for member in members:
                with archive.open(member) as file:
                    _, dtype = npy.header(file, f"{member.filename} in {path}")
                if dtype.kind not in "SU":  # words can be labels
                    npy.check_numbers(dtype, f"{member.filename.removesuffix('.npy')} in {path}")

            def make(folder: Path) -> dict[str, Any]:
                names = {}
                for number, member in enumerate(members):
                    # The name in the archive never names a file: it could lead anywhere.
                    with archive.open(member) as file, (folder / f"{number}.npy").open("wb") as out:
                        shutil.copyfileobj(file, out, npy.CHUNK_BYTES)
                    names[member.filename.removesuffix(".npy")] = f"{number}.npy"
                return names

            key = ["unpacked", str(path.absolute()), stat.st_size, stat.st_mtime_ns]
            folder, names = cache.entry(key, sum(member.file_size for member in members), make)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError) as error:
        raise DataError(f"{path} is damaged: {error}", expected="an .npz file", mend="save or copy it again") from error
    if not names:
        raise DataError(f"{path} holds no arrays", expected="arrays saved with np.savez")
    return {name: folder / file for name, file in names.items()}
