"""CSV files as tables."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from bitpick.datasets.tables import Chunk
from bitpick.errors import DataError

SUFFIXES = (".csv", ".tsv")
_ROWS = 20_000  # a chunk: enough for numpy, few enough to hold


class CsvTable:
    """A CSV file with a line of names first; separated by commas, semicolons or tabs.

    Args:
        path: the file, in UTF-8.

    Raises:
        DataError: it has no such line, or cannot be read.
    """

    kind = "column"
    notes: Sequence[str] = ()

    def __init__(self, path: Path) -> None:
        self._path = path
        stat = path.stat()
        self.name = str(path)
        self.state: list[Any] = ["csv", str(path.absolute()), stat.st_size, stat.st_mtime_ns]
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                first = file.readline()
                self._delimiter = max(",;\t", key=first.count)
                names = next(csv.reader([first], delimiter=self._delimiter), [])
        except UnicodeDecodeError as error:
            raise DataError(f"{path} is no text in UTF-8: {error.reason}", mend="save it as CSV in UTF-8") from error
        self.columns: Sequence[str] = tuple(name.strip() for name in names)
        if not self.columns or any(_number(name) or not name for name in self.columns):
            raise DataError(
                f"the first line of {path} is {first.strip()[:60]!r}",
                expected="the names of the columns",
            )
        if twice := [name for name in self.columns if self.columns.count(name) > 1]:
            raise DataError(f"{path} has two columns {twice[0]!r}", expected="a name of its own for each")
        self.features: Sequence[str] = self.columns  # that a cell is no number is seen as it is read

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """See `Table.chunks`; every cell is a word.

        Raises:
            DataError: a row has more or fewer cells than there are columns.
        """
        places = [self.columns.index(name) for name in columns]
        done = 0
        with self._path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, delimiter=self._delimiter)
            try:
                next(rows)
                full = (row for row in rows if row)
                while chunk := list(islice(full, _ROWS)):
                    self._whole(chunk, done)
                    done += len(chunk)
                    yield {n: np.array([row[p].strip() for row in chunk]) for n, p in zip(columns, places, strict=True)}
            except (csv.Error, UnicodeDecodeError) as error:
                told = f"{self.name} cannot be read after row {done}: {error}"
                raise DataError(told, expected="CSV in UTF-8") from error

    def _whole(self, rows: Sequence[Sequence[str]], done: int) -> None:
        """Refuse rows that have not a cell for each column."""
        for number, row in enumerate(rows, done + 1):
            if len(row) != len(self.columns):
                raise DataError(
                    f"{self.name}, row {number} has {len(row)} cells, and there are {len(self.columns)} columns",
                    expected="a cell for each column",
                )


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
