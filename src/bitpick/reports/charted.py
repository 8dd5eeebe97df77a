"""The metric of a run as charts show it."""

from __future__ import annotations

from dataclasses import dataclass

from bitpick.reports import measured
from bitpick.reports.chart import Axis, Column
from bitpick.schema.evidence import Measure


@dataclass(frozen=True)
class Charted:
    """A metric in words, columns and axes."""

    measure: Measure

    @property
    def name(self) -> str:
        """The metric at the beginning of a title."""
        return self.measure.label[0].upper() + self.measure.label[1:]

    @property
    def better(self) -> str:
        """What is further up."""
        if self.measure.name == "accuracy":
            return "more accurate"
        return f"a {'higher' if self.measure.higher_is_better else 'lower'} {self.measure.label}, which is better"

    @property
    def column(self) -> Column:
        """The metric."""
        return Column(self.measure.name, self.measure.label, self.measure.formatted)

    @property
    def drop(self) -> Column:
        """What is lost."""
        return Column("drop", measured.drop_head(self.measure), self.measure.change)

    @property
    def interval(self) -> tuple[Column, Column]:
        """The interval of what is lost."""
        return Column("low", "from", self.measure.change), Column("high", "to", self.measure.change)

    @property
    def axis(self) -> Axis:
        """How report.js shows it."""
        found, share = self.measure, self.measure.unit == "fraction"
        return Axis(
            key=found.name,
            head=f"{found.label}, %" if share else measured.head(found),
            drop=measured.drop_head(found),
            factor=100 if share else 1,
            unit="%" if share else f" {found.unit}".rstrip(),
            points=f" {found.change_unit}".rstrip(),
            reversed=not found.higher_is_better,
        )
