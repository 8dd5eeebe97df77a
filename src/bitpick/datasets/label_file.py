"""Labels in a file of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bitpick.datasets import npy
from bitpick.datasets.csv_file import SUFFIXES, CsvTable
from bitpick.datasets.labels import Labels
from bitpick.errors import DataError


def read(text: str) -> Labels:
    """Labels from a file of their own: `.npy`, a text file with one a line, or a CSV file's only or named column.

    Args:
        text: its path; for a column `file.csv:column`.

    Raises:
        DataError: there is no such file, or it holds something else.
    """
    path, column = _place(text)
    if not path.is_file():
        raise DataError(f"there is no label file {text}", expected="a .npy, .txt or .csv file")
    if path.suffix == ".npy":
        labels = np.load(path, allow_pickle=False) if _words(path) else npy.mapped(path)
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
    """Labels for files: by their names, where the CSV file has a column of these, else in the order of their names.

    Args:
        text: see `read`.
        files: what the labels are for.

    Returns:
        A label for each file, and what was made of the labels, in words.

    Raises:
        DataError: there is no label for a file, or not one for each.
    """
    path, column = _place(text)
    if path.suffix in SUFFIXES and path.is_file() and column:
        table = CsvTable(path)
        chunks = list(table.chunks(table.columns))
        cells = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in table.columns} if chunks else {}
        for name in (each for each in cells if each != column):
            place = {_plain_name(cell): row for row, cell in enumerate(cells[name])}
            there = [place.get(_plain_name(str(file)), -1) for file in files]
            if there.count(-1) > len(files) / 2:
                continue  # it has something else than the names of files
            if -1 in there:
                raise DataError(
                    f"{path} has no row for {files[there.index(-1)].name}",
                    expected=f"a row for each of the {len(files)} files, with its name in the column {name}",
                )
            found = cells[column][np.array(there)]
            return (
                found,
                f"labels: the column {column} of {path.name}, matched by the file names in its column {name}",
            )
    given = read(text)
    if len(given) != len(files):
        raise DataError(
            f"{text} has {len(given)} labels, but there are {len(files)} pictures",
            expected="one for each, in the order of their file names",
        )
    return given, f"labels: the lines of {path.name}, in the order of the pictures' file names"


def _plain_name(path: str) -> str:
    """The name of a file without its folders and its suffix: tables often leave either out."""
    return Path(path).stem


def _column(path: Path, table: CsvTable, column: str) -> str:
    """The column of the labels in a CSV file: the one that is named, else the only one."""
    if not column and len(table.columns) != 1:
        told = ", ".join(table.columns)
        raise DataError(f"{path} has the columns {told}", fix=f"name one of them: --labels {path}:COLUMN")
    if column and column not in table.columns:
        raise DataError(f"{path} has no column {column!r}", expected=", ".join(table.columns))
    return column or table.columns[0]


def is_file(text: str) -> bool:
    """Whether `read` finds a file there."""
    return _place(text)[0].is_file()


def _place(text: str) -> tuple[Path, str]:
    path, _, column = text.rpartition(":")
    return (Path(text), "") if Path(text).is_file() or not path else (Path(path), column)


def _words(path: Path) -> bool:
    with path.open("rb") as file:
        return npy.header(file, str(path))[1].kind in "SU"
