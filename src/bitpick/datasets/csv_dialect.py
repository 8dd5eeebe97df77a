"""Detect the dialect of a CSV file: its delimiter, whether it has a header, and how it writes numbers.

The first rows are parsed with every delimiter. The right one gives every row as many cells as there are names, and more
numbers than any other.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import TextIO

from bitpick.errors import DataError

_DELIMITERS = (",", ";", "\t", "|")
_DETECTION_ROWS = 50  # rows that the dialect is detected from
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?")
_DECIMAL_POINT = re.compile(r"[+-]?\d*\.\d+(?:[eE][+-]?\d+)?")
_NAMELESS = re.compile(r"(?:Unnamed: 0(?:_level_\d+)?)?")

Row = list[str]


@dataclass(frozen=True)
class Dialect:
    """The dialect of a CSV file.

    Attributes:
        delimiter: what separates cells.
        has_names: whether the first row is a header.
        width: cells per row.
        columns: names of the columns that are used.
        places: position of each of these columns in a row.
        decimal_comma: whether numbers are written as 1,5.
        notes: what was guessed, in sentences for the user.
    """

    delimiter: str
    has_names: bool
    width: int
    columns: tuple[str, ...]
    places: tuple[int, ...]
    decimal_comma: bool
    notes: tuple[str, ...]

    def rows(self, file: TextIO) -> Iterator[Row]:
        """Yield the rows below the header as lists of cells, without empty rows."""
        return islice(_rows(file, self.delimiter), int(self.has_names), None)

    def number(self, cell: str) -> str:
        """Return a cell, with the decimal comma of a number replaced by a point."""
        return cell.replace(",", ".") if self.decimal_comma and _DECIMAL_COMMA.fullmatch(cell) else cell


@contextmanager
def opened(path: Path) -> Iterator[TextIO]:
    """Open a file for `csv`, skipping a byte order mark and the line `sep=;` that spreadsheets use."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        if not re.fullmatch(r"\"?sep=.\"?\s*", file.readline()):
            file.seek(0)
        yield file


def of(path: Path) -> Dialect:
    """Detect the dialect of a file.

    Raises:
        DataError: the file is empty or not UTF-8 text, or a column has no name.
    """
    try:
        rows_by_delimiter = {delimiter: _first_rows(path, delimiter) for delimiter in _DELIMITERS}
        delimiter = max(_DELIMITERS, key=lambda candidate: _fitness(rows_by_delimiter[candidate], candidate))
        if (
            _width(rows_by_delimiter[delimiter]) < 2
            and _width(spaced := _first_rows(path, " ")) > 1
            and _fitness(spaced, " ")[0] == 1
        ):
            delimiter, rows_by_delimiter[" "] = " ", spaced
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text: {error.reason}", fix="save it as CSV in UTF-8") from error
    rows = rows_by_delimiter[delimiter]
    if not rows:
        raise DataError(f"{path} is empty", expected="the names of the columns, and rows of cells below them")
    return _dialect(path, delimiter, rows)


def _rows(file: TextIO, delimiter: str) -> Iterator[Row]:
    """Yield the non-empty rows of a file, with cells stripped of surrounding space."""
    for row in csv.reader(file, delimiter=delimiter, skipinitialspace=True):
        cells = [cell.strip() for cell in row]
        if any(cells):
            yield cells


def _first_rows(path: Path, delimiter: str) -> list[Row]:
    with opened(path) as file:
        try:
            rows = list(islice(_rows(file, delimiter), _DETECTION_ROWS))
        except csv.Error:  # with the wrong delimiter, a quote may stay open
            return []
    return [_without_hash(rows[0]), *rows[1:]] if rows else []


def _without_hash(first: Row) -> Row:
    """Return the first row without the # that numpy.savetxt puts before names."""
    if first[0] == "#" and len(first) > 1:
        return first[1:]
    return [first[0].lstrip("# "), *first[1:]] if first[0].startswith("#") else first


def _width(rows: Sequence[Row]) -> int:
    """Return the most frequent number of cells in the rows below the first."""
    counts = Counter(map(len, rows[1:] or rows))
    return counts.most_common(1)[0][0] if counts else 0


def _fitness(rows: Sequence[Row], delimiter: str) -> tuple[float, float, int]:
    """Rate a delimiter: the share of rows of the usual width, the share of cells that are numbers, and the width."""
    width = _width(rows)
    if width < 2 or len(rows[0]) not in (width, max(2, width - 1)):
        return 0.0, 0.0, 0
    cells = [cell for row in rows[1:] for cell in row]
    numbers = sum(is_number(cell) or (delimiter != "," and bool(_DECIMAL_COMMA.fullmatch(cell))) for cell in cells)
    same = sum(len(row) == width for row in rows[1:])
    return same / max(1, len(rows) - 1), numbers / max(1, len(cells)), width


def _dialect(path: Path, delimiter: str, rows: Sequence[Row]) -> Dialect:
    """Return the full dialect, given the delimiter."""
    width, names, notes = max(_width(rows), 1), list(rows[0]), []
    body = [row for row in rows[1:] if len(row) == width]
    if 1 < len(names) == width - 1 and body:  # R gives the index no name; other programs end each row with a delimiter
        names = [*names, ""] if not any(row[-1] for row in body) else ["", *names]
    has_names = _is_header(names, body)
    if not has_names:
        body, names = [row for row in rows if len(row) == width], [str(i) for i in range(width)]
        notes.append(f"{path.name} has no header: its columns are called 0 to {width - 1}, from left to right")
    columns = []
    for place, name in enumerate(names):
        cells = [row[place] for row in body if place < len(row)]
        if place == 0 and _NAMELESS.fullmatch(name) and _is_index(cells):
            notes.append("the first column, which has no name and numbers the rows, is left out")
        elif name:
            columns.append((place, name))
        elif any(cells) or not cells:
            raise DataError(f"column {place + 1} of {path} has no name", expected="a name for each column")
    example = _decimal_comma_example(delimiter, body)
    if example:
        notes.append(f"numbers are written with a decimal comma, as {example}")
    places = tuple(place for place, _ in columns)
    return Dialect(delimiter, has_names, len(names), tuple(n for _, n in columns), places, bool(example), tuple(notes))


def _is_header(first: Sequence[str], body: Sequence[Row]) -> bool:
    """Whether the first row is a header, and not a sample.

    Names can be numbers: from 0, as pandas names an array's columns, or increasing, like wavelengths, which sample
    values rarely are. A string above numbers, or above repeating strings, is a name.
    """
    numbers = [name for name in first if is_number(name)]
    if not numbers:
        return True
    if len(set(numbers)) < len(numbers):
        return False
    places = [place for place, name in enumerate(first) if is_number(name)]
    if len(numbers) > 2 and _counts_up(numbers) and not any(_counts_up([row[p] for p in places]) for row in body):
        return True
    words = [(name, [row[place] for row in body]) for place, name in enumerate(first) if name and place not in places]
    has_word = any(name not in cells and _are_alike(cells) for name, cells in words)
    are_integers = all(number.isdecimal() for number in numbers)
    return are_integers and (has_word or [int(number) for number in numbers] == list(range(len(numbers))))


def _are_alike(cells: Sequence[str]) -> bool:
    """Whether cells are numbers, or strings that repeat."""
    return bool(cells) and (all(map(is_number, cells)) or len(set(cells)) < len(cells))


def _counts_up(cells: Sequence[str]) -> bool:
    return all(map(is_number, cells)) and all(float(a) < float(b) for a, b in pairwise(cells))


def _is_index(cells: Sequence[str]) -> bool:
    """Whether cells number the rows, as pandas and R do: distinct whole numbers."""
    return bool(cells) and all(cell.isdecimal() for cell in cells) and len(set(cells)) == len(cells)


def _decimal_comma_example(delimiter: str, body: Sequence[Row]) -> str:
    """Return an example of a number with a decimal comma; empty if numbers are not written with one."""
    cells = [cell for row in body for cell in row]
    if delimiter == "," or any(_DECIMAL_POINT.fullmatch(cell) for cell in cells):
        return ""
    return next((cell for cell in cells if _DECIMAL_COMMA.fullmatch(cell)), "")


def is_number(text: str) -> bool:
    """Whether a cell is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True
