"""A chart as data: its texts, its numbers, and their format."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Column:
    """A column of a chart's data.

    Attributes:
        key: its name in the data.
        head: its heading.
        words: formats its values; None for text.
    """

    key: str
    head: str
    words: Callable[[Any], str] | None = None

    def shown(self, record: dict[str, Any]) -> str:
        """Format the value of a record."""
        value = record[self.key]
        if value is None:
            return ""
        return self.words(value) if self.words else str(value)


@dataclass(frozen=True)
class Axis:
    """The axis of a metric and its drops in report.js.

    Attributes:
        key: name of the metric in the data.
        head: name of the metric, with the unit.
        drop: name of a drop, with the unit.
        factor: multiplies values and drops for display: 100 for fractions.
        unit: suffix of a value.
        points: suffix of a drop.
        reversed: whether lower is better, and further up.
    """

    key: str
    head: str
    drop: str
    factor: int
    unit: str
    points: str
    reversed: bool


@dataclass(frozen=True)
class Chart:
    """A chart.

    Attributes:
        name: selects the drawing function in report.js.
        title: of the chart.
        shows: how to read it.
        finding: what it shows, in words.
        columns: of the data that readers can download.
        data: the records, in run.json's units.
        drawn: indices of the records to draw; None for all.
        metric: the axis of the metric, for charts that show it.
    """

    name: str
    title: str
    shows: str
    finding: str
    columns: tuple[Column, ...]
    data: list[dict[str, Any]]
    drawn: list[int] | None = None
    metric: Axis | None = None

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The records to draw."""
        return self.data if self.drawn is None else [self.data[place] for place in self.drawn]

    @property
    def csv(self) -> str:
        """The data as a data URI of a CSV file."""
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow([column.key for column in self.columns])
        writer.writerows([record[column.key] for column in self.columns] for record in self.data)
        return "data:text/csv;charset=utf-8;base64," + base64.b64encode(out.getvalue().encode()).decode()
