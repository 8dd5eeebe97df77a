"""A chart as data: its words, its numbers, and how people read them."""

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
        head: as people read it.
        words: how its values are written; None for text.
    """

    key: str
    head: str
    words: Callable[[Any], str] | None = None

    def shown(self, record: dict[str, Any]) -> str:
        """The value of a record as people read it."""
        value = record[self.key]
        if value is None:
            return ""
        return self.words(value) if self.words else str(value)


@dataclass(frozen=True)
class Axis:
    """How report.js shows a metric and its drops.

    Attributes:
        key: its name in the data.
        head: its name, with the unit.
        drop: what a drop is called, with the unit.
        factor: of values and drops as they are shown: 100 for fractions.
        unit: behind a value.
        points: behind a drop.
        reversed: whether lower is better, and then further up.
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
    """A chart, its words, and its numbers.

    Attributes:
        name: what report.js draws it by.
        title: of the chart.
        shows: how to read it.
        finding: what it shows, in words.
        columns: of the data that readers get.
        data: the records, in plain units as run.json has them.
        drawn: the places of the records that are drawn; None for all.
        metric: what builds are judged by, for charts that show it, see `Axis`.
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
        """The records that are drawn."""
        return self.data if self.drawn is None else [self.data[place] for place in self.drawn]

    @property
    def csv(self) -> str:
        """The data as a link that holds it."""
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow([column.key for column in self.columns])
        writer.writerows([record[column.key] for column in self.columns] for record in self.data)
        return "data:text/csv;charset=utf-8;base64," + base64.b64encode(out.getvalue().encode()).decode()
