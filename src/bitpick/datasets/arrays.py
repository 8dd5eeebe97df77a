"""Read arrays from files: `.npz`, unpacked once into the cache, and `.npy`, memory-mapped in place."""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.artifacts import durable
from bitpick.datasets import cache, label_choice, label_file, npy, splits, tables
from bitpick.datasets.assembling import RawSplit
from bitpick.datasets.columns import Columns
from bitpick.datasets.label_choice import Choice
from bitpick.datasets.options import DataOptions
from bitpick.errors import DataError
from bitpick.models.model import Signature

SUFFIXES = (".npz", ".npy")
# Names such as train_images, x_test and y_val tell which split an array belongs to.
_SPLIT = "|".join((*splits.CALIBRATION, *splits.EVALUATION))
_SPLIT_IN_NAME = re.compile(rf"^(?:(?P<before>{_SPLIT})_)?(?P<name>.*?)(?:_(?P<after>{_SPLIT}))?$", re.IGNORECASE)


def read(path: Path, options: DataOptions, signature: Signature | None, alone: bool = True) -> dict[str, RawSplit]:
    """Read the arrays in a file, or in the `.npy` files of a folder, by the split that each array's name tells.

    Args:
        path: `.npz`, `.npy`, or a folder.
        options: `labels` and `inputs` name arrays; if no array holds labels, `labels` is a file.
        signature: inputs of the model: if there are more arrays, those with the inputs' names are used.
        alone: whether this is the whole data set, so that a label file can apply to it.

    Returns:
        Inputs and labels, by split; the split's name is empty if array names tell none.

    Raises:
        DataError: the file is damaged, holds Python objects, or does not fit the options or the model.
    """
    if path.is_dir():
        members = {file.stem: file.absolute() for file in sorted(path.glob("*.npy"))}
    else:
        members = {"input": path.absolute()} if path.suffix == ".npy" else _unpacked(path)
    return by_split(str(path), members, options, signature, alone)


def by_split(
    where: str, members: Mapping[str, Path], options: DataOptions, signature: Signature | None, alone: bool = True
) -> dict[str, RawSplit]:
    """Tell inputs and labels apart among arrays in `.npy` files; see `read`.

    Args:
        where: the source's name in messages.
        members: file of each array, by name.
        options: see `read`.
        signature: inputs of the model.
        alone: whether these are the whole data set.
    """
    files_of: dict[str, dict[str, Path]] = {}
    for name, member in members.items():
        split, plain = _split_and_name(name)
        files_of.setdefault(split, {})[plain] = member
    if "" in files_of and len(files_of) > 1:  # some arrays belong to no split: these prefixes are part of the names
        files_of = {"": dict(members)}
    alone = alone and len(files_of) == 1
    return {split: _raw_split(where, files, options, signature, alone) for split, files in files_of.items()}


def _split_and_name(name: str) -> tuple[str, str]:
    """Return the split that an array's name tells, if any, and the name without it."""
    if splits.is_usual_name(name):
        return name, "input"
    match = _SPLIT_IN_NAME.match(name)
    assert match is not None
    return (match["before"] or match["after"] or "", match["name"]) if match["name"] else ("", name)


def _raw_split(
    where: str, arrays: Mapping[str, Path], options: DataOptions, signature: Signature | None, alone: bool
) -> RawSplit:
    """Return inputs and labels of one split."""
    needed = [tensor.name for tensor in signature.inputs] if signature else []
    if _is_table(arrays, options, needed):
        state = [cache.digest(member) for member in arrays.values()]
        return tables.read(Columns(where, arrays, state), options, signature)
    chosen_inputs = {tensor: str(name) for tensor, name in options.inputs.items()}
    for tensor, name in chosen_inputs.items():
        if name not in arrays:
            raise DataError(f"{where} has no array {name!r} for {tensor}", expected=f"one of {', '.join(arrays)}")

    def fits(names: Sequence[str]) -> bool:
        return bool(chosen_inputs) or not needed or set(needed) <= set(names) or len(names) == len(needed)

    parts = label_choice.Parts(where, "array", tuple(arrays), {*chosen_inputs.values(), *needed} & set(arrays), fits)
    choice, target = _labels(parts, arrays, options, alone)
    inputs = {name: member for name, member in arrays.items() if name != choice.name}
    inputs, notes = _inputs(where, inputs, chosen_inputs, needed, target is not None)
    inputs = _repeated(where, inputs)
    for name, member in inputs.items():
        _check_input(where, name, npy.dtype_of(member))
    digest = npy.combined([cache.digest(member) for member in inputs.values()])
    return RawSplit(inputs, target, digest, (*choice.notes, *notes))


def _is_table(arrays: Mapping[str, Path], options: DataOptions, needed: Sequence[str]) -> bool:
    """Whether arrays are columns, with one number or string per sample, that together form the model's input."""
    if any(not isinstance(each, str) for each in options.inputs.values()):
        return True
    columns = all(len(npy.shape_of(member)) == 1 for member in arrays.values())
    return not options.inputs and columns and len(needed) == 1 and needed[0] not in arrays and len(arrays) > 2


def _inputs(
    where: str, arrays: Mapping[str, Path], chosen_inputs: Mapping[str, str], needed: Sequence[str], labelled: bool
) -> tuple[dict[str, Path], list[str]]:
    """Return the arrays, labels left out, that the model takes, and notes on what was guessed or noticed."""
    if chosen_inputs:
        return {tensor: arrays[name] for tensor, name in chosen_inputs.items()}, []
    if needed and set(needed) <= set(arrays):
        others = [name for name in arrays if name not in needed]
        if others and not labelled:
            raise label_choice.ambiguous_labels(where, others, f"{{{needed[0]}: {needed[0]}}}")
        notes = [f"not used: {', '.join(others)}, as the model has no input of that name"] if others else []
        return {name: arrays[name] for name in needed}, notes
    if not arrays:
        raise DataError(f"{where} holds no array beside the labels", expected="an array for each input of the model")
    if needed and len(arrays) > len(needed):
        first = next(iter(arrays))
        likely = f"inputs: {{{needed[0]}: {first}}} in a data.yaml" if labelled else f"--labels {list(arrays)[-1]}"
        raise DataError(
            f"{where} holds {len(arrays)} arrays ({', '.join(arrays)}), but the model takes {', '.join(needed)}",
            expected="arrays with the names of the model's inputs, and labels",
            fix=f"say what they are, e.g. {likely}",
        )
    if len(needed) == len(arrays) > 1:
        pairs = ", ".join(f"{tensor} gets {name}" for tensor, name in zip(needed, arrays, strict=True))
        return dict(arrays), [f"inputs are matched by order: {pairs}; inputs: in a data.yaml overrides that"]
    return dict(arrays), []


def _repeated(where: str, arrays: Mapping[str, Path]) -> dict[str, Path]:
    """Return the inputs with each single value, such as a sampling rate, repeated for every sample."""
    shapes = {name: npy.shape_of(member) for name, member in arrays.items()}
    count = next((shape[0] for shape in shapes.values() if shape), None)
    repeated = dict(arrays)
    for name in (name for name, shape in shapes.items() if not shape):
        if count is None:
            raise DataError(f"the array {name} in {where} is a single value", expected="samples along the first axis")
        value = np.load(arrays[name], allow_pickle=False)

        def make(folder: Path, value: NDArray[Any] = value, count: int = count) -> dict[str, Any]:
            durable.save_array(folder / "repeated.npy", np.full(count, value))
            return {}

        key = ["repeated", value.dtype.str, value.tobytes().hex(), count]
        repeated[name] = cache.entry(key, count * value.nbytes, make)[0] / "repeated.npy"
    return repeated


def _check_input(where: str, name: str, dtype: np.dtype[Any]) -> None:
    """Refuse an array that cannot be an input."""
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
    """Return the labels, from one of these arrays or from a separate file."""
    name = options.labels
    if name is not None and name not in arrays:
        if not label_file.is_file(name):
            raise DataError(
                f"{parts.where} has no array {name!r}, and there is no such file",
                expected=f"--labels with one of {', '.join(arrays)}",
            )
        if not alone:
            raise DataError(
                f"the labels {name} are one file, but {parts.where} is one of two splits",
                fix="give each split its labels in its own arrays: y_train and y_test, or labels in each .npz",
            )
        return Choice(None), label_file.read(name)
    choice = label_choice.guess(parts) if name is None else label_choice.named(parts, name)
    if choice.name is None:
        return choice, None
    labels: NDArray[Any] = np.load(arrays[choice.name], allow_pickle=False)
    if not labels.ndim:
        raise DataError(
            f"the array {choice.name} in {parts.where} is a single value", expected="a label for each sample"
        )
    return choice, labels


def _unpacked(path: Path) -> dict[str, Path]:
    """Unpack an `.npz` into the cache and return its members by name.

    Raises:
        DataError: the file is damaged, or holds something else.
    """
    sources = cache.Sources([path])
    try:
        with zipfile.ZipFile(path) as archive:
            members = [each for each in archive.infolist() if each.filename.endswith(".npy")]
            for member in members:
                with archive.open(member) as file:
                    _, dtype = npy.header(file, f"{member.filename} in {path}")
                if dtype.kind not in "SU":  # strings can be labels
                    npy.check_numbers(dtype, f"{member.filename.removesuffix('.npy')} in {path}")

            def make(folder: Path) -> dict[str, Any]:
                names = {}
                for number, member in enumerate(members):
                    # Never use the name in the archive as a path: it could point anywhere.
                    with archive.open(member) as file, (folder / f"{number}.npy").open("wb") as out:
                        shutil.copyfileobj(file, out, npy.CHUNK_BYTES)
                    names[member.filename.removesuffix(".npy")] = f"{number}.npy"
                return names

            key = ["unpacked", sources.state]
            folder, names = cache.entry(key, sum(member.file_size for member in members), make, sources)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError) as error:
        raise DataError(f"{path} is damaged: {error}", expected="an .npz file", fix="save or copy it again") from error
    if not names:
        raise DataError(f"{path} holds no arrays", expected="arrays saved with np.savez")
    return {name: folder / file for name, file in names.items()}
