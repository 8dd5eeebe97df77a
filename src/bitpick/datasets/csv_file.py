"""Read CSV files as tables."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from bitpick.datasets import cache, csv_dialect
from bitpick.datasets.tables import Chunk
from bitpick.errors import DataError

SUFFIXES = (".csv", ".tsv")
_ROWS = 20_000  # rows per chunk: enough for numpy, few enough for memory


class CsvTable:
    """A CSV file as a `tables.Table`, in any dialect that `csv_dialect` detects.

    Args:
        path: the file, in UTF-8.

    Raises:
        DataError: the file cannot be read, a column has no name, or two have the same name.
    """

    kind = "column"

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = str(path)
        self.sources = cache.Sources([path])
        self.state: list[Any] = ["csv", self.sources.state]
        self._dialect = csv_dialect.of(path)
        self.notes: Sequence[str] = self._dialect.notes
        self.columns: Sequence[str] = self._dialect.columns
        if repeated := [name for name in self.columns if self.columns.count(name) > 1]:
            raise DataError(f"{path} has two columns {repeated[0]!r}", expected="a name of its own for each")
        self.features: Sequence[str] = self.columns  # cells that are not numbers show up during reading

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """See `tables.Table`; cells are strings.

        Raises:
            DataError: a row has more or fewer cells than there are columns.
        """
        dialect = self._dialect
        places = [dialect.places[self.columns.index(name)] for name in columns]
        done = 0
        with csv_dialect.opened(self._path) as file:
            try:
                rows = dialect.rows(file)
                while chunk := list(islice(rows, _ROWS)):
                    self._check_widths(chunk, done)
                    done += len(chunk)
                    yield {
                        name: np.array([dialect.number(row[place]) for row in chunk])
                        for name, place in zip(columns, places, strict=True)
                    }
            except (csv.Error, UnicodeDecodeError) as error:
                message = f"{self.name} cannot be read after row {done}: {error}"
                raise DataError(message, expected="CSV in UTF-8") from error

    def _check_widths(self, rows: Sequence[Sequence[str]], done: int) -> None:
        """Refuse rows that do not have exactly one cell for each column."""
        for number, row in enumerate(rows, done + 1):
            if len(row) != self._dialect.width:
                raise DataError(
                    f"{self.name}, row {number} has {len(row)} cells, but there are {self._dialect.width} columns",
                    expected=f"a cell for each column, separated by {_SEPARATORS[self._dialect.delimiter]}",
                    fix="put a cell that holds a separator in quotes",
                )


_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "spaces"}
