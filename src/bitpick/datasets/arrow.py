"""Read Parquet files, and the directories that Hugging Face `datasets` saves, with pyarrow."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.artifacts import durable
from bitpick.datasets import cache, images, label_choice, npy, preparing, tables
from bitpick.datasets.assembling import RawSplit
from bitpick.datasets.options import DataOptions
from bitpick.datasets.progress import Progress
from bitpick.errors import DataError
from bitpick.models.model import Signature
from bitpick.preprocessing import Decoding
from bitpick.version import installed_version

SUFFIXES = (".parquet",)
_ROWS = 2_000
_INDEX = re.compile(r"__index_level_\d+__")


def _pyarrow() -> Any:
    """Import pyarrow.

    Raises:
        DataError: it is not installed.
    """
    if installed_version("pyarrow") is None:
        raise DataError(
            "Parquet files and Hugging Face datasets need pyarrow, which is not installed",
            fix="pip install 'bitpick[arrow]'",
        )
    import pyarrow as pa

    return pa


class ArrowTable:
    """The files of one split, all with the same schema, as a `tables.Table`.

    Args:
        name: the table's name in messages.
        files: `.parquet`, or `.arrow` in Arrow's stream format.

    Raises:
        DataError: pyarrow is not installed, or a file is damaged.
    """

    kind = "column"

    def __init__(self, name: str, files: Sequence[Path]) -> None:
        self.name = name
        self._files = files
        self._arrow = _pyarrow()
        self.sources = cache.Sources(files)
        self.state: list[Any] = ["arrow", self.sources.state]
        self._schema = self._read_schema(files[0])
        index_columns = [name for name in self._schema.names if _INDEX.fullmatch(name)]
        self.notes: Sequence[str] = tuple(f"{name}, the index that pandas wrote, is left out" for name in index_columns)
        self.columns: Sequence[str] = tuple(name for name in self._schema.names if name not in index_columns)
        self._features = _features((self._schema.metadata or {}).get(b"huggingface", b"{}"))
        self.pictures = tuple(n for n in self.columns if self._feature_type(n) == "Image" or self._is_picture(n))
        self.class_labels = tuple(n for n in self.columns if self._feature_type(n) == "ClassLabel")
        self.features: Sequence[str] = tuple(n for n in self.columns if self._is_numeric(self._schema.field(n).type))

    def _feature_type(self, column: str) -> str:
        feature = self._features.get(column)
        return str(feature.get("_type", "")) if isinstance(feature, dict) else ""

    def _is_picture(self, column: str) -> bool:
        types, dtype = self._arrow.types, self._schema.field(column).type
        return types.is_struct(dtype) and {"bytes", "path"} <= {dtype.field(i).name for i in range(dtype.num_fields)}

    def _is_numeric(self, dtype: Any) -> bool:
        types = self._arrow.types
        while types.is_list(dtype) or types.is_large_list(dtype) or types.is_fixed_size_list(dtype):
            dtype = dtype.value_type
        return bool(types.is_integer(dtype) or types.is_floating(dtype) or types.is_boolean(dtype))

    def class_names(self, column: str | None) -> tuple[str, ...]:
        """Return the class names of a label column, if the file has them."""
        feature = self._features.get(column or "", {})
        names = feature.get("names") if isinstance(feature, dict) else None
        return tuple(map(str, names)) if isinstance(names, list) else ()

    def _read_schema(self, file: Path) -> Any:
        with self._explained(file):
            if file.suffix == ".parquet":
                import pyarrow.parquet

                return pyarrow.parquet.read_schema(file)
            with self._arrow.memory_map(str(file)) as opened, self._arrow.ipc.open_stream(opened) as stream:
                return stream.schema

    def _explained(self, file: Path) -> Any:
        return _NamedFile(file, (self._arrow.ArrowException, OSError, ValueError))

    def batches(self, columns: Sequence[str]) -> Iterator[Any]:
        """Yield Arrow record batches of these columns."""
        for file in self._files:
            with self._explained(file):
                if file.suffix == ".parquet":
                    import pyarrow.parquet

                    with pyarrow.parquet.ParquetFile(file) as opened:
                        yield from opened.iter_batches(_ROWS, columns=list(columns))
                else:
                    with self._arrow.memory_map(str(file)) as opened, self._arrow.ipc.open_stream(opened) as stream:
                        for batch in stream:
                            yield batch.select(list(columns))

    def chunks(self, columns: Sequence[str]) -> Iterator[tables.Chunk]:
        """See `tables.Table`."""
        row = 0
        for batch in self.batches(columns):
            yield {name: self.array(name, batch.column(name), row) for name in columns}
            row += batch.num_rows

    def array(self, name: str, column: Any, row: int) -> NDArray[Any]:
        """Return a column as an array of shape (m, …).

        Raises:
            DataError: a cell is empty, or sequences have different lengths.
        """
        if column.null_count:
            first = next(i for i, cell in enumerate(column) if not cell.is_valid)
            raise DataError(
                f"{self.name}, row {row + first + 1}: the column {name} is empty",
                expected="a value in each cell",
                fix="fill such cells as you did when you trained the model, or leave the rows or the column out",
            )
        if self._arrow.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        cells = (
            column.to_pylist() if self._arrow.types.is_nested(column.type) else column.to_numpy(zero_copy_only=False)
        )
        try:
            array = np.array(cells)
        except ValueError as error:
            raise DataError(
                f"the samples in the column {name} of {self.name} have different lengths", expected="one shape for all"
            ) from error
        if array.dtype.kind == "O":
            array = array.astype(np.str_)
        return array


def _features(metadata: bytes) -> dict[str, Any]:
    """Return what `datasets` noted about each column; empty if that cannot be read: it is no more than a hint."""
    try:
        features = json.loads(metadata)["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return features if isinstance(features, dict) else {}


class _NamedFile:
    """Turn a library's exceptions into errors that name the file."""

    def __init__(self, file: Path, kinds: tuple[type[BaseException], ...]) -> None:
        self._file = file
        self._kinds = kinds

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if error is not None and isinstance(error, self._kinds):
            message = " ".join(str(error).split())
            raise DataError(f"{self._file} cannot be read: {message}", fix="write or copy it again") from error


def saved_files(folder: Path) -> dict[str, list[Path]] | None:
    """Return the Arrow files of a directory that `save_to_disk` wrote, by split; None for any other directory.

    Raises:
        DataError: files of such a directory are missing.
    """
    if (folder / "dataset_dict.json").is_file():
        try:
            names = [str(name) for name in json.loads((folder / "dataset_dict.json").read_bytes())["splits"]]
        except (ValueError, KeyError, TypeError) as error:
            what = f"{folder} is damaged: its dataset_dict.json names no splits"
            raise DataError(what, fix="save it again") from error
        return {name: files for name in names for files in [_arrow_files(folder / name)] if files is not None}
    files = _arrow_files(folder)
    return None if files is None else {"": files}


def _arrow_files(folder: Path) -> list[Path] | None:
    if not (folder / "state.json").is_file():
        return None
    try:
        entries = json.loads((folder / "state.json").read_bytes())["_data_files"]
        files = [folder / Path(entry["filename"]).name for entry in entries]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder} is damaged: its state.json names no files", fix="save it again") from error
    if missing := [file.name for file in files if not file.is_file()]:
        raise DataError(f"{folder} is not whole: {missing[0]} is not there", fix="copy or save it again")
    return files


def read(
    name: str,
    splits: Mapping[str, Sequence[Path]],
    options: DataOptions,
    signature: Signature | None,
    progress: Progress,
) -> tuple[dict[str, RawSplit], tuple[str, ...], dict[str, Decoding]]:
    """Read the Parquet or Arrow files of each split.

    Returns:
        The samples of each split, the class names, and how pictures were decoded, by input.

    Raises:
        DataError: pyarrow is not installed, a file is damaged, or the model does not take these columns.
    """
    raw: dict[str, RawSplit] = {}
    decoding: dict[str, Decoding] = {}
    classes: tuple[str, ...] = ()
    for split, files in splits.items():
        table = ArrowTable(f"{name}, {split}" if split else name, files)
        label = tables.labels_of(table, options, signature, table.class_labels)
        classes = table.class_names(label.name)
        chosen = {n: c for n, c in options.inputs.items() if isinstance(c, str) and c in table.pictures}
        if table.pictures and (chosen or not options.inputs):
            raw[split], decoding = _read_pictures(table, label, chosen, options, signature, progress)
        else:
            raw[split] = tables.read(table, options, signature, table.class_labels)
    return raw, classes, decoding


def _read_pictures(
    table: ArrowTable,
    choice: label_choice.Choice,
    inputs: Mapping[str, str],
    options: DataOptions,
    signature: Signature | None,
    progress: Progress,
) -> tuple[RawSplit, dict[str, Decoding]]:
    """Read a split with a column of pictures, decoded once into the cache."""
    tensor = preparing.picture_input(signature)
    label = choice.name
    name, column = next(iter(inputs.items()), (tensor.name if tensor else "image", table.pictures[0]))
    how = preparing.decoding(options.pixels(name), tensor)

    def make(folder: Path) -> dict[str, Any]:
        targets, row, skipped_count = [], 0, 0
        with npy.Writer(folder / "0.npy") as writer:
            for batch in table.batches([column, *([label] if label else [])]):
                cells = batch.column(column).to_pylist()
                files = [
                    (f"{table.name}, row {row + i + 1}", partial(_open_picture, cell)) for i, cell in enumerate(cells)
                ]
                cache.make_room(writer.size + len(files) * how.height * how.width * how.channels)
                skipped = images.write(files, how, writer, progress, options.skip_damaged)
                if label is not None:
                    cells = table.array(label, batch.column(label), row)
                    targets.append(np.delete(cells, list(skipped), axis=0))
                row, skipped_count = row + len(files), skipped_count + len(skipped)
        if row == skipped_count:
            raise DataError(f"no picture of {table.name} can be decoded", expected=f"at least one in {column}")
        if targets:
            durable.save_array(folder / "labels.npy", np.concatenate(targets))
        return {"sha256": npy.sha256([folder / "0.npy"])}

    key = ["pictures in a table", table.state, column, label, how.model_dump(), options.skip_damaged]
    folder, written = cache.entry(key, 0, make, table.sources)
    target = None if label is None else np.load(folder / "labels.npy", allow_pickle=False)
    notes = [*table.notes, *choice.notes]
    unused = [each for each in table.columns if each not in (column, label)]
    if label is None and unused and not options.inputs:
        raise label_choice.ambiguous_labels(table.name, unused, f"{{{name}: {column}}}")
    return RawSplit({name: folder / "0.npy"}, target, written["sha256"], tuple(notes)), {name: how}


def _open_picture(cell: Any) -> io.BytesIO:
    """Open the bytes of a picture, as `datasets` stores it.

    Raises:
        DataError: the cell has only the path of a file, which may be anywhere.
    """
    content = cell.get("bytes") if isinstance(cell, dict) else cell
    if not isinstance(content, bytes):
        raise DataError(
            "a picture of the data set is not in it: it has only a path",
            fix="save it again with its pictures: dataset.cast_column(name, datasets.Image()), then save_to_disk",
        )
    return io.BytesIO(content)
