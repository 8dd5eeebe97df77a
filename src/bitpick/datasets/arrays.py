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

from bitpick.datasets import cache, label_choice, label_file, npy, splits, tables
from bitpick.datasets.assembling import Found
from bitpick.datasets.columns import Columns
from bitpick.datasets.label_choice import Choice
from bitpick.datasets.options import DataOptions
from bitpick.errors import DataError
from bitpick.models.model import Signature

SUFFIXES = (".npz", ".npy")
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
    return by_split(str(path), members, options, signature, alone)


def by_split(
    where: str, members: Mapping[str, Path], options: DataOptions, signature: Signature | None, alone: bool = True
) -> dict[str, Found]:
    """Inputs and labels among arrays in `.npy` files; see `read`.

    Args:
        where: what holds them, as messages call it.
        members: the file of each, by its name.
        options: see `read`.
        signature: what the model takes.
        alone: whether these are the whole data set.
    """
    found: dict[str, dict[str, Path]] = {}
    for name, member in members.items():
        split, plain = _named(name)
        found.setdefault(split, {})[plain] = member
    if "" in found and len(found) > 1:  # not every array is of a split: the names are names
        found = {"": dict(members)}
    alone = alone and len(found) == 1
    return {split: _of(where, arrays, options, signature, alone) for split, arrays in found.items()}


def _named(name: str) -> tuple[str, str]:
    """The split that an array's name says, if any, and the name without it."""
    if splits.known(name):
        return name, "input"
    told = _NAMED.match(name)
    assert told is not None
    return (told["before"] or told["after"] or "", told["name"]) if told["name"] else ("", name)


def _of(
    where: str, arrays: Mapping[str, Path], options: DataOptions, signature: Signature | None, alone: bool
) -> Found:
    """Inputs and labels of one split."""
    wanted = [tensor.name for tensor in signature.inputs] if signature else []
    if _is_table(arrays, options, wanted):
        state = [cache.digest(member) for member in arrays.values()]
        return tables.read(Columns(where, arrays, state), options, signature)
    given = {tensor: str(name) for tensor, name in options.inputs.items()}
    for tensor, name in given.items():
        if name not in arrays:
            raise DataError(f"{where} has no array {name!r} for {tensor}", expected=f"one of {', '.join(arrays)}")

    def fits(names: Sequence[str]) -> bool:
        return bool(given) or not wanted or set(wanted) <= set(names) or len(names) == len(wanted)

    parts = label_choice.Parts(where, "array", tuple(arrays), {*given.values(), *wanted} & set(arrays), fits)
    chosen, target = _labels(parts, arrays, options, alone)
    own = {name: member for name, member in arrays.items() if name != chosen.name}
    own, notes = _inputs(where, own, given, wanted, target is not None)
    own = _repeated(where, own)
    for name, member in own.items():
        _check_input(where, name, npy.dtype_of(member))
    digest = npy.combined([cache.digest(member) for member in own.values()])
    return Found(own, target, digest, (*chosen.notes, *notes))


def _is_table(arrays: Mapping[str, Path], options: DataOptions, wanted: Sequence[str]) -> bool:
    """Whether arrays are columns, of one number or word a sample, that the model takes beside each other."""
    if any(not isinstance(each, str) for each in options.inputs.values()):
        return True
    columns = all(len(npy.shape_of(member)) == 1 for member in arrays.values())
    return not options.inputs and columns and len(wanted) == 1 and wanted[0] not in arrays and len(arrays) > 2


def _inputs(
    where: str, own: Mapping[str, Path], given: Mapping[str, str], wanted: Sequence[str], labelled: bool
) -> tuple[dict[str, Path], list[str]]:
    """The arrays that the model takes of those that are no labels, and what was guessed or noticed of them."""
    if given:
        return {tensor: own[name] for tensor, name in given.items()}, []
    if wanted and set(wanted) <= set(own):
        others = [name for name in own if name not in wanted]
        if others and not labelled:
            raise label_choice.none_taken(where, others, f"{{{wanted[0]}: {wanted[0]}}}")
        notes = [f"not used: {', '.join(others)}, as the model has no input of that name"] if others else []
        return {name: own[name] for name in wanted}, notes
    if not own:
        raise DataError(f"{where} holds no array beside the labels", expected="an array for each input of the model")
    if wanted and len(own) > len(wanted):
        first = next(iter(own))
        likely = f"inputs: {{{wanted[0]}: {first}}} in a data.yaml" if labelled else f"--labels {list(own)[-1]}"
        raise DataError(
            f"{where} holds {len(own)} arrays ({', '.join(own)}), but the model takes {', '.join(wanted)}",
            expected="arrays with the names of the model's inputs, and labels",
            fix=f"say what they are, e.g. {likely}",
        )
    if len(wanted) == len(own) > 1:
        pairs = ", ".join(f"{tensor} gets {name}" for tensor, name in zip(wanted, own, strict=True))
        return dict(own), [f"inputs are matched by order: {pairs}; inputs: in a data.yaml overrides that"]
    return dict(own), []


def _repeated(where: str, own: Mapping[str, Path]) -> dict[str, Path]:
    """Inputs of which a single value, such as a sampling rate, is there once for each sample."""
    shapes = {name: npy.shape_of(member) for name, member in own.items()}
    count = next((shape[0] for shape in shapes.values() if shape), None)
    found = dict(own)
    for name in (name for name, shape in shapes.items() if not shape):
        if count is None:
            raise DataError(f"the array {name} in {where} is a single value", expected="samples along the first axis")
        value = np.load(own[name], allow_pickle=False)

        def make(folder: Path, value: NDArray[Any] = value, count: int = count) -> dict[str, Any]:
            np.save(folder / "repeated.npy", np.full(count, value))
            return {}

        key = ["repeated", value.dtype.str, value.tobytes().hex(), count]
        found[name] = cache.entry(key, count * value.nbytes, make)[0] / "repeated.npy"
    return found


def _check_input(where: str, name: str, dtype: np.dtype[Any]) -> None:
    """Refuse an array that is no input, by its name."""
    if dtype.kind in "SU":
        raise DataError(
            f"the array {name} in {where} holds words, but models take numbers",
            expected="numbers",
            fix=f"encode them as the model expects; if they are the labels, say --labels {name}",
        )
    npy.check_numbers(dtype, f"{name} in {where}")


def _labels(
    parts: label_choice.Parts, arrays: Mapping[str, Path], options: DataOptions, alone: bool
) -> tuple[Choice, NDArray[Any] | None]:
    """The labels, among these arrays or from a file of their own."""
    asked = options.labels
    if asked is not None and asked not in arrays:
        if not label_file.is_file(asked):
            raise DataError(
                f"{parts.where} has no array {asked!r}, and there is no such file",
                expected=f"--labels with one of {', '.join(arrays)}",
            )
        if not alone:
            raise DataError(
                f"the labels {asked} are one file, but {parts.where} is one of two splits",
                fix="give each split its labels in its own arrays: y_train and y_test, or labels in each .npz",
            )
        return Choice(None), label_file.read(asked)
    chosen = label_choice.guessed(parts) if asked is None else label_choice.named(parts, asked)
    if chosen.name is None:
        return chosen, None
    found: NDArray[Any] = np.load(arrays[chosen.name], allow_pickle=False)
    if not found.ndim:
        raise DataError(
            f"the array {chosen.name} in {parts.where} is a single value", expected="a label for each sample"
        )
    return chosen, found


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
        raise DataError(f"{path} is damaged: {error}", expected="an .npz file", fix="save or copy it again") from error
    if not names:
        raise DataError(f"{path} holds no arrays", expected="arrays saved with np.savez")
    return {name: folder / file for name, file in names.items()}
