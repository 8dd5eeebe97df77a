"""How a CSV file is written: what separates its cells, which line has the names, how its numbers look.

It is told from the first rows, read in each way that there is: the right way gives every row as many cells as there are
names, and more of them numbers than another one.
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
_LOOKED = 50  # rows from which the dialect is told
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?")
_DECIMAL_POINT = re.compile(r"[+-]?\d*\.\d+(?:[eE][+-]?\d+)?")
_NAMELESS = re.compile(r"(?:Unnamed: 0(?:_level_\d+)?)?")

Row = list[str]


@dataclass(frozen=True)
class Dialect:
    """How a file is written.

    Attributes:
        delimiter: between two cells.
        has_names: whether the first row has the names of the columns.
        width: cells in a row.
        columns: the names of the columns that count.
        places: where in a row the cells of each of them are.
        decimal_comma: whether numbers are written as 1,5.
        notes: what was guessed, in words.
    """

    delimiter: str
    has_names: bool
    width: int
    columns: tuple[str, ...]
    places: tuple[int, ...]
    decimal_comma: bool
    notes: tuple[str, ...]

    def rows(self, file: TextIO) -> Iterator[Row]:
        """The rows below the names, cell by cell; rows of empty cells are left out."""
        return islice(_rows(file, self.delimiter), int(self.has_names), None)

    def number(self, cell: str) -> str:
        """A cell, with a decimal point if it is a number with a decimal comma."""
        return cell.replace(",", ".") if self.decimal_comma and _DECIMAL_COMMA.fullmatch(cell) else cell


@contextmanager
def opened(path: Path) -> Iterator[TextIO]:
    """The file as `csv` takes it, without a byte order mark and the line `sep=;` that is for spreadsheets."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        if not re.fullmatch(r"\"?sep=.\"?\s*", file.readline()):
            file.seek(0)
        yield file


def of(path: Path) -> Dialect:
    """The dialect of a file.

    Raises:
        DataError: it is empty, no text in UTF-8, or a column of it has no name.
    """
    try:
        looked = {delimiter: _first_rows(path, delimiter) for delimiter in _DELIMITERS}
        delimiter = max(_DELIMITERS, key=lambda each: _fitness(looked[each], each))
        if (
            _width(looked[delimiter]) < 2
            and _width(spaced := _first_rows(path, " ")) > 1
            and _fitness(spaced, " ")[0] == 1
        ):
            delimiter, looked[" "] = " ", spaced
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text: {error.reason}", fix="save it as CSV in UTF-8") from error
    rows = looked[delimiter]
    if not rows:
        raise DataError(f"{path} is empty", expected="the names of the columns, and rows of cells below them")
    return _described(path, delimiter, rows)


def _rows(file: TextIO, delimiter: str) -> Iterator[Row]:
    """The rows of a file that have anything in them, without the space around cells."""
    for row in csv.reader(file, delimiter=delimiter, skipinitialspace=True):
        cells = [cell.strip() for cell in row]
        if any(cells):
            yield cells


def _first_rows(path: Path, delimiter: str) -> list[Row]:
    with opened(path) as file:
        try:
            rows = list(islice(_rows(file, delimiter), _LOOKED))
        except csv.Error:  # a quote that the wrong delimiter leaves open
            return []
    return [_unmarked(rows[0]), *rows[1:]] if rows else []


def _unmarked(first: Row) -> Row:
    """The first row without the # that numpy.savetxt puts before names."""
    if first[0] == "#" and len(first) > 1:
        return first[1:]
    return [first[0].lstrip("# "), *first[1:]] if first[0].startswith("#") else first


def _width(rows: Sequence[Row]) -> int:
    """How many cells most rows below the first have."""
    counts = Counter(map(len, rows[1:] or rows))
    return counts.most_common(1)[0][0] if counts else 0


def _fitness(rows: Sequence[Row], delimiter: str) -> tuple[float, float, int]:
    """How well a delimiter fits: the share of rows of one width, that of cells that are numbers, and the width."""
    width = _width(rows)
    if width < 2 or len(rows[0]) not in (width, max(2, width - 1)):
        return 0.0, 0.0, 0
    cells = [cell for row in rows[1:] for cell in row]
    numbers = sum(is_number(cell) or (delimiter != "," and bool(_DECIMAL_COMMA.fullmatch(cell))) for cell in cells)
    same = sum(len(row) == width for row in rows[1:])
    return same / max(1, len(rows) - 1), numbers / max(1, len(cells)), width


def _described(path: Path, delimiter: str, rows: Sequence[Row]) -> Dialect:
    """All of the dialect, once the delimiter is known."""
    width, names, notes = max(_width(rows), 1), list(rows[0]), []
    body = [row for row in rows[1:] if len(row) == width]
    if 1 < len(names) == width - 1 and body:  # R leaves the index without a name, others end each row with a delimiter
        names = [*names, ""] if not any(row[-1] for row in body) else ["", *names]
    has_names = _are_names(names, body)
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
    comma = _has_decimal_comma(delimiter, body)
    if comma:
        notes.append(f"numbers are written with a decimal comma, as {comma}")
    places = tuple(place for place, _ in columns)
    return Dialect(delimiter, has_names, len(names), tuple(n for _, n in columns), places, bool(comma), tuple(notes))


def _are_names(first: Sequence[str], body: Sequence[Row]) -> bool:
    """Whether the first row has the names of the columns, and is not one of the samples.

    Names can be numbers: as pandas writes those of an array's columns, from 0, or numbers that count up, as wavelengths
    do and samples do not. A word above numbers, or above other words that repeat, is a name.
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
    named = any(name not in cells and _are_alike(cells) for name, cells in words)
    whole = all(number.isdecimal() for number in numbers)
    return whole and (named or [int(number) for number in numbers] == list(range(len(numbers))))


def _are_alike(cells: Sequence[str]) -> bool:
    """Whether cells are numbers, or words that repeat."""
    return bool(cells) and (all(map(is_number, cells)) or len(set(cells)) < len(cells))


def _counts_up(cells: Sequence[str]) -> bool:
    return all(map(is_number, cells)) and all(float(a) < float(b) for a, b in pairwise(cells))


def _is_index(cells: Sequence[str]) -> bool:
    """Whether cells number the rows, as pandas and R do: whole numbers, none of them twice."""
    return bool(cells) and all(cell.isdecimal() for cell in cells) and len(set(cells)) == len(cells)


def _has_decimal_comma(delimiter: str, body: Sequence[Row]) -> str:
    """A number with a decimal comma, where numbers are written with one."""
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
