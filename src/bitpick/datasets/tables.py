"""Read tables as a model's inputs: CSV or Parquet files, and other sources that have columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bitpick.artifacts import durable
from bitpick.datasets import cache, label_choice, npy
from bitpick.datasets.assembling import RawSplit
from bitpick.datasets.label_choice import Choice
from bitpick.datasets.options import DataOptions
from bitpick.errors import DataError, did_you_mean
from bitpick.models.model import Signature, Tensor

_BOOLEANS = ("True", "true", "TRUE", "False", "false", "FALSE")
_LISTED = 5  # columns that a note lists
Chunk = dict[str, NDArray[Any]]
"""A block of rows: for each column an array of shape (m, …), of numbers or strings."""


class Table(Protocol):
    """A source with columns.

    Attributes:
        name: the table's name in messages.
        kind: the word for its columns in messages.
        columns: names of all columns.
        features: columns whose types can be features: numbers, not strings.
        sources: the files that it is read from.
        state: identifies the content, as JSON.
        notes: what was noticed, in sentences for the user.
    """

    name: str
    kind: str
    columns: Sequence[str]
    features: Sequence[str]
    sources: cache.Sources
    state: list[Any]
    notes: Sequence[str]

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """Yield these columns, a block of rows at a time."""
        ...


def read(table: Table, options: DataOptions, signature: Signature | None, likely: Sequence[str] = ()) -> RawSplit:
    """Read the inputs and labels of a table, written once into the cache.

    Args:
        table: the source.
        options: `labels` names a column; `inputs` lists the columns of each input.
        signature: inputs of the model.
        likely: columns that the source's metadata marks as labels.

    Raises:
        DataError: a column does not exist, a cell is not a number, or the columns do not fit the model.
    """
    choice = labels_of(table, options, signature, likely)
    label = choice.name
    inputs, input_notes = _input_columns(table, options, signature, label)
    key = ["table", table.state, label, inputs, [str(tensor) for tensor in signature.inputs] if signature else []]
    tensors = {tensor.name: tensor for tensor in signature.inputs} if signature else {}
    columns_read = list(dict.fromkeys([*(c for each in inputs.values() for c in each), *([label] if label else [])]))

    def make(folder: Path) -> dict[str, Any]:
        targets, row = [], 0
        paths = [folder / f"{number}.npy" for number in range(len(inputs))]
        with ExitStack() as stack:
            writers = [stack.enter_context(npy.Writer(path)) for path in paths]
            for chunk in table.chunks(columns_read):
                for writer, (name, columns) in zip(writers, inputs.items(), strict=True):
                    writer.append(_matrix(table, chunk, columns, tensors.get(name), row))
                if label is not None:
                    targets.append(_checked_labels(table, label, chunk[label], row))
                row += len(next(iter(chunk.values())))
            cache.make_room(sum(writer.size for writer in writers))
        if not row:
            raise DataError(f"{table.name} has no rows")
        if targets:
            durable.save_array(folder / "labels.npy", np.concatenate(targets))
        return {"sha256": npy.sha256(paths)}

    folder, written = cache.entry(key, 0, make, table.sources)
    target = np.load(folder / "labels.npy", allow_pickle=False) if label is not None else None
    files = {name: folder / f"{number}.npy" for number, name in enumerate(inputs)}
    return RawSplit(files, target, written["sha256"], (*table.notes, *choice.notes, *input_notes))


def labels_of(table: Table, options: DataOptions, signature: Signature | None, likely: Sequence[str]) -> Choice:
    """Choose the label column: the one that the user names, otherwise by the source's metadata or by column names.

    Raises:
        DataError: the named column does not exist, or more than one column could hold the labels.
    """
    tensors = signature.inputs if signature else (Tensor("features", None),)
    taken = {column for each in options.inputs.values() for column in ([each] if isinstance(each, str) else each)}
    taken |= {column for tensor in tensors for column in _columns_named(tensor, table.columns)}

    def fits(names: Sequence[str]) -> bool:
        if options.inputs or all(_columns_named(tensor, names) for tensor in tensors):
            return True
        count = sum(name in table.features for name in names)
        return len(tensors) == 1 and (_size(tensors[0]) in (None, count) or count == 1)

    parts = label_choice.Parts(table.name, table.kind, table.columns, taken, fits)
    return label_choice.guess(parts, likely) if options.labels is None else label_choice.named(parts, options.labels)


def _input_columns(
    table: Table, options: DataOptions, signature: Signature | None, label: str | None
) -> tuple[dict[str, list[str]], list[str]]:
    """Return the columns of each input of the model, and notes on the other columns."""
    if options.inputs:
        chosen = {name: [each] if isinstance(each, str) else list(each) for name, each in options.inputs.items()}
        for name, columns in chosen.items():
            for column in columns:
                if column not in table.columns:
                    hint = did_you_mean(column, table.columns)
                    raise DataError(f"{table.name} has no column {column!r} for the input {name}", fix=hint)
        return chosen, []
    free = [column for column in table.columns if column != label]
    tensors = signature.inputs if signature else (Tensor("features", None),)
    if not _takes_all_columns(table, tensors, free) and all(_columns_named(tensor, free) for tensor in tensors):
        columns_of = {tensor.name: _columns_named(tensor, free) for tensor in tensors}
        used = {column for each in columns_of.values() for column in each}
        unused = [column for column in free if column not in used]
        return columns_of, _unused_note(table, unused, label, f"{{{tensors[0].name}: …}}")
    if len(tensors) > 1:
        names = ", ".join(tensor.name for tensor in tensors)
        raise DataError(
            f"the model takes the inputs {names}, but nothing says which columns of {table.name} each of them takes",
            expected=f"columns {tensors[0].name}.0, {tensors[0].name}.1 and so on",
            fix=f"in a data.yaml: inputs: {{{tensors[0].name}: [{', '.join(free[:2])}], …}}",
        )
    features = [column for column in free if column in table.features]
    others = [column for column in features if not label_choice.is_label_name(column)]
    if label is not None and len(others) == _size(tensors[0]) != len(features):
        features = others  # besides the chosen labels, there are columns with other labels
    if not features:
        raise DataError(f"{table.name} has no column of numbers", expected="numbers", fix="encode words as numbers")
    if _size(tensors[0]) not in (None, len(features)) and len(features) > 1:
        raise _wrong_column_count(table, tensors[0], features, label)
    unused = [column for column in free if column not in features]
    return {tensors[0].name: features}, _unused_note(
        table, unused, label, f"{{{tensors[0].name}: [{', '.join(features)}]}}"
    )


def _wrong_column_count(table: Table, tensor: Tensor, features: Sequence[str], label: str | None) -> DataError:
    """Return the error for a table with more or fewer columns of numbers than the model takes."""
    size, count = _size(tensor), len(features)
    labels_part = "and no labels" if label is None else f"beside its labels, {label}"
    advice = f"say which: in a data.yaml: inputs: {{{tensor.name}: [{', '.join(features[:2])}, …]}}"
    if label is None and size == count - 1:
        first, *_, last = table.columns
        advice = f"name the column of the labels, perhaps the last or the first: --labels {last} or --labels {first}"
    elif label is not None and size == count + 1 and label in table.features:
        advice = f"where {label} is an input and there are no labels, {advice}"
    return DataError(
        f"the model takes {tensor}, and {table.name} has {count} columns {labels_part}",
        expected=f"{size} columns",
        fix="; ".join([advice, *table.notes]),
    )


def _unused_note(table: Table, columns: Sequence[str], label: str | None, inputs: str) -> list[str]:
    """Return a note on unused columns.

    Raises:
        DataError: there are no labels, and these columns may hold them.
    """
    if not columns:
        return []
    names = ", ".join(columns[:_LISTED]) + (" …" if len(columns) > _LISTED else "")
    if label is None:
        raise label_choice.ambiguous_labels(table.name, columns, inputs)
    kind = table.kind if len(columns) == 1 else f"{table.kind}s"
    return [f"not used: the {kind} {names}"]


def _checked_labels(table: Table, column: str, cells: NDArray[Any], row: int) -> NDArray[Any]:
    """Return the labels of a block of rows, refusing empty ones."""
    if cells.dtype.kind == "U" and (cells == "").any():
        place = int(np.argmax(cells == ""))
        raise DataError(
            f"{table.name}, row {row + place + 1}: the label in the column {column} is empty",
            fix="label it, or leave the row out",
        )
    return cells


def _takes_all_columns(table: Table, tensors: Sequence[Tensor], columns: Sequence[str]) -> bool:
    """Whether a single input takes all columns, even though one of them has the input's own name."""
    if len(tensors) != 1 or tensors[0].name not in columns:
        return False
    return 1 < len(columns) == _size(tensors[0]) and set(columns) <= set(table.features)


def _columns_named(tensor: Tensor, columns: Sequence[str]) -> list[str]:
    """Return the columns named after an input: by its name alone, or with `.0`, `.1` and so on appended."""
    if tensor.name in columns:
        return [tensor.name]
    numbered = {c: c.removeprefix(f"{tensor.name}.") for c in columns if c.startswith(f"{tensor.name}.")}
    return sorted((c for c, n in numbered.items() if n.isdecimal()), key=lambda c: int(numbered[c]))


def _size(tensor: Tensor) -> int | None:
    """Return how many numbers one sample of an input has; None if the shape leaves it open."""
    if tensor.shape is None or None in tensor.shape:
        return None
    return int(np.prod([size for size in tensor.shape if size is not None]))


def _matrix(
    table: Table, chunk: Mapping[str, NDArray[Any]], columns: Sequence[str], tensor: Tensor | None, row: int
) -> NDArray[Any]:
    """Return a block of rows of an input: shape (m, columns), or the shape of the model's input if its size matches."""
    is_integer = tensor is not None and tensor.dtype.startswith(("int", "uint", "bool"))
    parts = [_numbers(table, name, chunk[name], row) for name in columns]
    if len(parts) == 1 and (parts[0].ndim > 1 or tensor is None):
        matrix = parts[0] if parts[0].ndim > 1 else parts[0][:, None]
    else:
        matrix = np.stack([each.reshape(len(each), -1) for each in parts], axis=1).reshape(len(parts[0]), -1)
    if tensor is not None and tensor.shape is not None and _size(tensor) == int(np.prod(matrix.shape[1:])):
        matrix = matrix.reshape(len(matrix), *(size for size in tensor.shape if size is not None))
    if matrix.dtype == np.uint8:
        return matrix
    return matrix.astype(np.int64 if is_integer else np.float32)


def _numbers(table: Table, column: str, cells: NDArray[Any], row: int) -> NDArray[Any]:
    """Return the numbers in a column.

    Raises:
        DataError: a cell is empty, not a number, or not finite.
    """
    if cells.dtype.kind in "SU":
        if np.isin(cells, _BOOLEANS).all():
            return np.isin(cells, _BOOLEANS[:3]).astype(np.float64)
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
