"""Tables: rows of features in CSV or Parquet, and what other sources give in columns, as a model's inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bitpick.datasets import cache, label_choice, npy
from bitpick.datasets.assembling import Found
from bitpick.datasets.label_choice import Choice
from bitpick.datasets.options import DataOptions
from bitpick.errors import DataError
from bitpick.models.model import Signature, Tensor
from bitpick.recipe import did_you_mean

_TRUTHS = ("True", "true", "TRUE", "False", "false", "FALSE")
_TOLD = 5  # columns that a note names
Chunk = dict[str, NDArray[Any]]
"""Some rows: an array of shape (m, …) for each column, of numbers or of words."""


class Table(Protocol):
    """A source in columns.

    Attributes:
        name: as messages call it.
        kind: what messages call its columns.
        columns: their names.
        features: those that can be features by what they are: no words.
        state: what identifies its content, as JSON can carry it.
        notes: what was noticed of it, in words.
    """

    name: str
    kind: str
    columns: Sequence[str]
    features: Sequence[str]
    state: list[Any]
    notes: Sequence[str]

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
    chosen = labels_of(table, options, signature, likely)
    label = chosen.name
    inputs, noted_inputs = _inputs(table, options, signature, label)
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
    files = {name: folder / f"{number}.npy" for number, name in enumerate(inputs)}
    return Found(files, target, noted["sha256"], (*table.notes, *chosen.notes, *noted_inputs))


def labels_of(table: Table, options: DataOptions, signature: Signature | None, likely: Sequence[str]) -> Choice:
    """The column of the labels: the one that is named, else the one that the source or its name says is one.

    Raises:
        DataError: the one that is named is not there, or more than one could be it.
    """
    tensors = signature.inputs if signature else (Tensor("features", None),)
    taken = {column for each in options.inputs.values() for column in ([each] if isinstance(each, str) else each)}
    taken |= {column for tensor in tensors for column in _own(tensor, table.columns)}

    def fits(names: Sequence[str]) -> bool:
        if options.inputs or all(_own(tensor, names) for tensor in tensors):
            return True
        count = sum(name in table.features for name in names)
        return len(tensors) == 1 and (_size(tensors[0]) in (None, count) or count == 1)

    parts = label_choice.Parts(table.name, table.kind, table.columns, taken, fits)
    return label_choice.guessed(parts, likely) if options.labels is None else label_choice.named(parts, options.labels)


def _inputs(
    table: Table, options: DataOptions, signature: Signature | None, label: str | None
) -> tuple[dict[str, list[str]], list[str]]:
    """Which columns each input of the model takes, and what was noticed of the others."""
    if options.inputs:
        named = {name: [each] if isinstance(each, str) else list(each) for name, each in options.inputs.items()}
        for name, columns in named.items():
            for column in columns:
                if column not in table.columns:
                    hint = did_you_mean(column, table.columns)
                    raise DataError(f"{table.name} has no column {column!r} for the input {name}", fix=hint)
        return named, []
    free = [column for column in table.columns if column != label]
    tensors = signature.inputs if signature else (Tensor("features", None),)
    if not _each_is_one(table, tensors, free) and all(_own(tensor, free) for tensor in tensors):
        own = {tensor.name: _own(tensor, free) for tensor in tensors}
        used = {column for each in own.values() for column in each}
        left = [column for column in free if column not in used]
        return own, _unused(table, left, label, f"{{{tensors[0].name}: …}}")
    if len(tensors) > 1:
        names = ", ".join(tensor.name for tensor in tensors)
        raise DataError(
            f"the model takes the inputs {names}, but nothing says which columns of {table.name} each of them takes",
            expected=f"columns {tensors[0].name}.0, {tensors[0].name}.1 and so on",
            fix=f"in a data.yaml: inputs: {{{tensors[0].name}: [{', '.join(free[:2])}], …}}",
        )
    features = [column for column in free if column in table.features]
    others = [column for column in features if not label_choice.says_labels(column)]
    if label is not None and len(others) == _size(tensors[0]) != len(features):
        features = others  # beside the labels that were named there are labels of another kind
    if not features:
        raise DataError(f"{table.name} has no column of numbers", expected="numbers", fix="encode words as numbers")
    if _size(tensors[0]) not in (None, len(features)) and len(features) > 1:
        raise _another_number(table, tensors[0], features, label)
    left = [column for column in free if column not in features]
    return {tensors[0].name: features}, _unused(table, left, label, f"{{{tensors[0].name}: [{', '.join(features)}]}}")


def _another_number(table: Table, tensor: Tensor, features: Sequence[str], label: str | None) -> DataError:
    """The error about more columns of numbers than the model takes, or fewer."""
    size, count = _size(tensor), len(features)
    beside = "and no labels" if label is None else f"beside its labels, {label}"
    say = f"say which: in a data.yaml: inputs: {{{tensor.name}: [{', '.join(features[:2])}, …]}}"
    if label is None and size == count - 1:
        first, *_, last = table.columns
        say = f"name the column of the labels, perhaps the last or the first: --labels {last} or --labels {first}"
    elif label is not None and size == count + 1 and label in table.features:
        say = f"where {label} is an input and there are no labels, {say}"
    return DataError(
        f"the model takes {tensor}, and {table.name} has {count} columns {beside}",
        expected=f"{size} columns",
        fix="; ".join([say, *table.notes]),
    )


def _unused(table: Table, columns: Sequence[str], label: str | None, inputs: str) -> list[str]:
    """That columns are used for nothing, in words.

    Raises:
        DataError: there are no labels, and one of them may hold these.
    """
    if not columns:
        return []
    told = ", ".join(columns[:_TOLD]) + (" …" if len(columns) > _TOLD else "")
    if label is None:
        raise label_choice.none_taken(table.name, columns, inputs)
    kind = table.kind if len(columns) == 1 else f"{table.kind}s"
    return [f"not used: the {kind} {told}"]


def _labelled(table: Table, column: str, cells: NDArray[Any], row: int) -> NDArray[Any]:
    """The labels of some rows, refused where one is empty."""
    if cells.dtype.kind == "U" and (cells == "").any():
        place = int(np.argmax(cells == ""))
        raise DataError(
            f"{table.name}, row {row + place + 1}: the label in the column {column} is empty",
            fix="label it, or leave the row out",
        )
    return cells


def _each_is_one(table: Table, tensors: Sequence[Tensor], columns: Sequence[str]) -> bool:
    """Whether a lone input takes as many numbers as there are columns: one that has the input's name is one of them."""
    if len(tensors) != 1 or tensors[0].name not in columns:
        return False
    return 1 < len(columns) == _size(tensors[0]) and set(columns) <= set(table.features)


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
        if np.isin(cells, _TRUTHS).all():
            return np.isin(cells, _TRUTHS[:3]).astype(np.float64)
        try:
            cells = cells.astype(np.float64)
        except ValueError:
            place = next(i for i, cell in enumerate(cells) if not _is_number(str(cell)))
            what = f"has {str(cells[place])!r}, which is no number" if str(cells[place]).strip() else "is empty"
            raise DataError(
                f"{table.name}, row {row + place + 1}: the column {column} {what}",
                expected="a number in each cell of each feature",
                fix="encode words and fill empty cells as the model expects; leave the column out with inputs: in a "
                f"data.yaml; or, if these are the labels, say --labels {column}",
            ) from None
    if cells.dtype.kind == "f" and not np.isfinite(cells).all():
        place = int(np.argwhere(~np.isfinite(cells.reshape(len(cells), -1)).all(axis=1))[0][0])
        raise DataError(
            f"{table.name}, row {row + place + 1}: the column {column} has no finite number",
            expected="a number in each cell",
            fix="fill such cells as you did when you trained the model, or leave the row out",
        )
    return cells


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
