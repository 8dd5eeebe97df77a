"""Tables: rows of features in CSV or Parquet, and what other sources give in columns, as a model's inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bitpick.datasets import cache, npy
from bitpick.datasets.assembling import Found
from bitpick.datasets.options import DataOptions
from bitpick.errors import DataError
from bitpick.model import Signature, Tensor
from bitpick.recipe import did_you_mean

LABEL_NAMES = ("label", "labels", "target", "targets", "class", "y")
Chunk = dict[str, NDArray[Any]]
"""Some rows: an array of shape (m, …) for each column, of numbers or of words."""


class Table(Protocol):
    """A source in columns.

    Attributes:
        name: as messages call it.
        columns: their names.
        features: those that can be features by what they are: no words.
        state: what identifies its content, as JSON can carry it.
    """

    name: str
    columns: Sequence[str]
    features: Sequence[str]
    state: list[Any]

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """The rows of these columns, some at a time."""
        ...


def read(table: Table, options: DataOptions, signature: Signature | None, likely: Sequence[str] = ()) -> Found:
    """The inputs and labels of a table, written once into the cache.

    Args:
        table: the source.
        options: `labels` is a column; `inputs` says which columns each input takes.
        signature: what the model takes.
        likely: columns that are labels by what the source says of them.

    Raises:
        DataError: a column that is not there, a cell that is no number, or columns that are not the model's.
    """
    label = label_column(table, options, signature, likely)
    inputs = _inputs(table, options, signature, label)
    key = ["table", table.state, label, inputs, [str(tensor) for tensor in signature.inputs] if signature else []]
    tensors = {tensor.name: tensor for tensor in signature.inputs} if signature else {}
    wanted = list(dict.fromkeys([*(c for each in inputs.values() for c in each), *([label] if label else [])]))

    def make(folder: Path) -> dict[str, Any]:
        targets, row = [], 0
        paths = [folder / f"{number}.npy" for number in range(len(inputs))]
        with ExitStack() as stack:
            writers = [stack.enter_context(npy.Writer(path)) for path in paths]
            for chunk in table.chunks(wanted):
                for writer, (name, columns) in zip(writers, inputs.items(), strict=True):
                    writer.append(_matrix(table, chunk, columns, tensors.get(name), row))
                if label is not None:
                    targets.append(_labelled(table, label, chunk[label], row))
                row += len(next(iter(chunk.values())))
            cache.make_room(sum(writer.size for writer in writers))
        if not row:
            raise DataError(f"{table.name} has no rows")
        if targets:
            np.save(folder / "labels.npy", np.concatenate(targets))
        return {"sha256": npy.sha256(paths)}

    folder, noted = cache.entry(key, 0, make)
    target = np.load(folder / "labels.npy", allow_pickle=False) if label is not None else None
    return Found({name: folder / f"{number}.npy" for number, name in enumerate(inputs)}, target, noted["sha256"])


def label_column(table: Table, options: DataOptions, signature: Signature | None, likely: Sequence[str]) -> str | None:
    """The column of the labels: the one that is named, else one that the source or its name says is one; see `read`.

    Raises:
        DataError: the one that is named is not there.
    """
    if options.labels is not None:
        if options.labels not in table.columns:
            raise DataError(
                f"{table.name} has no column {options.labels!r} for the labels",
                expected=f"--labels with one of {', '.join(table.columns)}",
                mend=did_you_mean(options.labels, table.columns),
            )
        return options.labels
    if len(likely) == 1:
        return likely[0]
    taken = {tensor.name for tensor in signature.inputs} if signature else set()
    taken |= {column for each in options.inputs.values() for column in ([each] if isinstance(each, str) else each)}
    return next((c for c in table.columns if c.lower() in LABEL_NAMES and c not in taken), None)


def _inputs(table: Table, options: DataOptions, signature: Signature | None, label: str | None) -> dict[str, list[str]]:
    """Which columns each input of the model takes."""
    if options.inputs:
        named = {name: [each] if isinstance(each, str) else list(each) for name, each in options.inputs.items()}
        for name, columns in named.items():
            for column in columns:
                if column not in table.columns:
                    hint = did_you_mean(column, table.columns)
                    raise DataError(f"{table.name} has no column {column!r} for the input {name}", mend=hint)
        return named
    free = [column for column in table.columns if column != label]
    tensors = signature.inputs if signature else (Tensor("features", None),)
    if all(_own(tensor, free) for tensor in tensors):
        return {tensor.name: _own(tensor, free) for tensor in tensors}
    if len(tensors) > 1:
        names = ", ".join(tensor.name for tensor in tensors)
        raise DataError(
            f"the model takes the inputs {names}, and nothing says which columns of {table.name} each takes",
            expected=f"columns {tensors[0].name}.0, {tensors[0].name}.1 and so on",
            mend=f"in a data.yaml: inputs: {{{tensors[0].name}: [{', '.join(free[:2])}], …}}",
        )
    features = [column for column in free if column in table.features]
    size = _size(tensors[0])
    if size not in (None, len(features)) and len(features) > 1:
        extra = label is None and size == len(features) - 1
        raise DataError(
            f"the model takes {tensors[0]}, and {table.name} has {len(features)} columns of numbers beside its labels"
            if label is not None
            else f"the model takes {tensors[0]}, and {table.name} has {len(features)} columns of numbers and no labels",
            expected=f"{size} columns",
            mend=f"name the column of the labels, perhaps the last: --labels {free[-1]}"
            if extra
            else f"say which: in a data.yaml: inputs: {{{tensors[0].name}: [{', '.join(features[:2])}, …]}}",
        )
    if not features:
        raise DataError(f"{table.name} has no column of numbers", expected="numbers", mend="encode words as numbers")
    return {tensors[0].name: features}


def _labelled(table: Table, column: str, cells: NDArray[Any], row: int) -> NDArray[Any]:
    """The labels of some rows, refused where one is empty."""
    if cells.dtype.kind == "U" and (cells == "").any():
        place = int(np.argmax(cells == ""))
        raise DataError(
            f"{table.name}, row {row + place + 1}: the label in the column {column} is empty",
            mend="label it, or leave the row out",
        )
    return cells


def _own(tensor: Tensor, columns: Sequence[str]) -> list[str]:
    """The columns that have an input's name: alone, or with a number behind it."""
    if tensor.name in columns:
        return [tensor.name]
    numbered = {c: c.removeprefix(f"{tensor.name}.") for c in columns if c.startswith(f"{tensor.name}.")}
    return sorted((c for c, n in numbered.items() if n.isdecimal()), key=lambda c: int(numbered[c]))


def _size(tensor: Tensor) -> int | None:
    """How many numbers a sample of an input has; None where that is free."""
    if tensor.shape is None or None in tensor.shape:
        return None
    return int(np.prod([size for size in tensor.shape if size is not None]))


def _matrix(
    table: Table, chunk: Mapping[str, NDArray[Any]], columns: Sequence[str], tensor: Tensor | None, row: int
) -> NDArray[Any]:
    """Rows of an input: shape (m, columns), or that of the model's input where it has as many numbers."""
    whole = tensor is not None and tensor.dtype.startswith(("int", "uint", "bool"))
    parts = [_numbers(table, name, chunk[name], row) for name in columns]
    if len(parts) == 1 and (parts[0].ndim > 1 or tensor is None):
        found = parts[0] if parts[0].ndim > 1 else parts[0][:, None]
    else:
        found = np.stack([each.reshape(len(each), -1) for each in parts], axis=1).reshape(len(parts[0]), -1)
    if tensor is not None and tensor.shape is not None and _size(tensor) == int(np.prod(found.shape[1:])):
        found = found.reshape(len(found), *(size for size in tensor.shape if size is not None))
    if found.dtype == np.uint8:
        return found
    return found.astype(np.int64 if whole else np.float32)


def _numbers(table: Table, column: str, cells: NDArray[Any], row: int) -> NDArray[Any]:
    """The numbers of a column.

    Raises:
        DataError: a cell is empty, no number, or not finite.
    """
    if cells.dtype.kind in "SU":
        try:
            cells = cells.astype(np.float64)
        except ValueError:
            place = next(i for i, cell in enumerate(cells) if not _is_number(str(cell)))
            what = f"has {str(cells[place])!r}, which is no number" if str(cells[place]).strip() else "is empty"
            raise DataError(
                f"{table.name}, row {row + place + 1}: the column {column} {what}",
                expected="a number in each cell of each feature",
                mend="encode words and fill empty cells as for the model, leave the column out with inputs: in a "
                f"data.yaml, or, where these are the labels, say --labels {column}",
            ) from None
    if cells.dtype.kind == "f" and not np.isfinite(cells).all():
        place = int(np.argwhere(~np.isfinite(cells.reshape(len(cells), -1)).all(axis=1))[0][0])
        raise DataError(
            f"{table.name}, row {row + place + 1}: the column {column} has no finite number",
            expected="a number in each cell",
            mend="fill such cells as you do for the model, or leave the row out",
        )
    return cells


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
