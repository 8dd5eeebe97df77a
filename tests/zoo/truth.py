"""From an entry to what the oracle compares a run with."""

from __future__ import annotations

from tests.zoo.entry import Entry, Made
from tests.zoo.oracle.checks import Truth


def truth(entry: Entry, model: Made) -> Truth:
    """The right figures for an entry, in the form that the oracle takes."""
    return Truth(
        model.inputs,
        model.floats,
        model.labels,
        model.axes,
        entry.metric,
        entry.output,
        model.model if not isinstance(model.model, str) else None,
        entry.only_float,
        entry.never,
    )
