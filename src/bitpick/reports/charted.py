"""The metric of a run, for charts."""

from __future__ import annotations

from dataclasses import dataclass

from bitpick.reports import measured
from bitpick.reports.chart import Axis, Column
from bitpick.schema.evidence import Measure


@dataclass(frozen=True)
class Charted:
    """A metric as names, columns and an axis of a chart."""

    measure: Measure

    @property
    def name(self) -> str:
        """The name of the metric, capitalized for a title."""
        return self.measure.label[0].upper() + self.measure.label[1:]

    @property
    def better(self) -> str:
        """What a higher position in the chart means."""
        if self.measure.name == "accuracy":
            return "more accurate"
        return f"a {'higher' if self.measure.higher_is_better else 'lower'} {self.measure.label}, which is better"

    @property
    def column(self) -> Column:
        """The column of the metric."""
        return Column(self.measure.name, self.measure.label, self.measure.formatted)

    @property
    def drop(self) -> Column:
        """The column of the drop."""
        return Column("drop", measured.drop_head(self.measure), self.measure.change)

    @property
    def interval(self) -> tuple[Column, Column]:
        """The columns of the drop's interval."""
        return Column("low", "from", self.measure.change), Column("high", "to", self.measure.change)

    @property
    def axis(self) -> Axis:
        """The axis for report.js."""
        measure, is_fraction = self.measure, self.measure.unit == "fraction"
        return Axis(
            key=measure.name,
            head=f"{measure.label}, %" if is_fraction else measured.head(measure),
            drop=measured.drop_head(measure),
            factor=100 if is_fraction else 1,
            unit="%" if is_fraction else f" {measure.unit}".rstrip(),
            points=f" {measure.change_unit}".rstrip(),
            reversed=not measure.higher_is_better,
        )
