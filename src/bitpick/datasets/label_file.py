"""Read labels from a separate file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bitpick.datasets import npy
from bitpick.datasets.csv_file import SUFFIXES, CsvTable
from bitpick.datasets.labels import Labels
from bitpick.errors import DataError


def read(text: str) -> Labels:
    """Read labels from a `.npy` file, a text file with one per line, or a CSV file's only or named column.

    Args:
        text: path of the file; `file.csv:column` names a column.

    Raises:
        DataError: the file does not exist, or does not hold labels.
    """
    path, column = _path_and_column(text)
    if not path.is_file():
        raise DataError(f"there is no label file {text}", expected="a .npy, .txt or .csv file")
    if path.suffix == ".npy":
        labels = np.load(path, allow_pickle=False) if _holds_strings(path) else npy.mapped(path)
        return np.asarray(labels)
    if path.suffix in SUFFIXES:
        table = CsvTable(path)
        return np.concatenate(
            [chunk[name] for name in [_column(path, table, column)] for chunk in table.chunks([name])]
        )
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"the label file {path} is not text: {error}", expected="one label a line, in UTF-8") from error
    while lines and not lines[-1].strip():
        lines.pop()
    words = [line.strip() for line in lines]
    if "" in words or not words:
        where = f"line {words.index('') + 1} of {path} is empty" if words else f"{path} is empty"
        raise DataError(where, expected="one label a line")
    return np.array(words)


def of_files(text: str, files: Sequence[Path]) -> tuple[Labels, str]:
    """Read the labels of files, matched by a CSV column of file names, otherwise in the order of the file names.

    Args:
        text: see `read`.
        files: the files that the labels are for, sorted by name.

    Returns:
        A label for each file, and a note on how they were matched.

    Raises:
        DataError: a file has no label, or the numbers of files and labels differ.
    """
    path, column = _path_and_column(text)
    if path.suffix in SUFFIXES and path.is_file() and column:
        table = CsvTable(path)
        chunks = list(table.chunks(table.columns))
        cells = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in table.columns} if chunks else {}
        for name in (other for other in cells if other != column):
            row_of = {_plain_name(cell): row for row, cell in enumerate(cells[name])}
            rows = [row_of.get(_plain_name(str(file)), -1) for file in files]
            if rows.count(-1) > len(files) / 2:
                continue  # this column does not hold file names
            if -1 in rows:
                raise DataError(
                    f"{path} has no row for {files[rows.index(-1)].name}",
                    expected=f"a row for each of the {len(files)} files, with its name in the column {name}",
                )
            matched = cells[column][np.array(rows)]
            return (
                matched,
                f"labels: the column {column} of {path.name}, matched by the file names in its column {name}",
            )
    labels = read(text)
    if len(labels) != len(files):
        raise DataError(
            f"{text} has {len(labels)} labels, but there are {len(files)} pictures",
            expected="one for each, in the order of their file names",
        )
    return labels, f"labels: the lines of {path.name}, in the order of the pictures' file names"


def _plain_name(path: str) -> str:
    """Return a file's name without folders and suffix: tables often leave out either."""
    return Path(path).stem


def _column(path: Path, table: CsvTable, column: str) -> str:
    """Return the label column of a CSV file: the named one, otherwise the only one."""
    if not column and len(table.columns) != 1:
        names = ", ".join(table.columns)
        raise DataError(f"{path} has the columns {names}", fix=f"name one of them: --labels {path}:COLUMN")
    if column and column not in table.columns:
        raise DataError(f"{path} has no column {column!r}", expected=", ".join(table.columns))
    return column or table.columns[0]


def is_file(text: str) -> bool:
    """Whether `read` would find a file."""
    return _path_and_column(text)[0].is_file()


def _path_and_column(text: str) -> tuple[Path, str]:
    path, _, column = text.rpartition(":")
    return (Path(text), "") if Path(text).is_file() or not path else (Path(path), column)


def _holds_strings(path: Path) -> bool:
    with path.open("rb") as file:
        return npy.header(file, str(path))[1].kind in "SU"
