"""The metric of a run in words: what it is called, which way it goes, and what its drops are beside."""

from __future__ import annotations

from collections.abc import Sequence

from bitpick.reports import words
from bitpick.schema.evidence import Measure
from bitpick.schema.run import Row, Run

_EXACT = ("classification", "agreement")
ALIKE = ("agreement", "KL divergence", "signal over noise", "worst channel")
"""What `outputs` tells of each output."""


def measure(rows: Sequence[Row]) -> Measure:
    """What the rows are judged by; an accuracy where nothing was measured."""
    return next((row.metric for row in rows if row.metric is not None), Measure(name="accuracy"))


def direction(found: Measure) -> str:
    """Which way the metric goes, e.g. `MAE: lower is better.`; empty where that goes without saying."""
    if found.name in ("accuracy", "agreement"):
        return ""
    return f"{found.label}: {'higher' if found.higher_is_better else 'lower'} is better."


def head(found: Measure) -> str:
    """The metric above a column, e.g. `MAE, °C`."""
    return found.label if found.unit in ("", "fraction") else f"{found.label}, {found.unit}"


def drop_head(found: Measure) -> str:
    """Its drop above a column, e.g. `drop, points`."""
    return f"{found.worsening}, {found.change_unit}".removesuffix(", ")


def flip(rows: Sequence[Row]) -> bool:
    """Whether rows predict something, which can flip; else their outputs differ noticeably, or do not."""
    return measure(rows).name in ("accuracy", "agreement")


def rewriting(rows: Sequence[Row]) -> str:
    """What running builds without their runtime's own rewriting showed, for some of `rows` that were run so."""
    seen = [row.unoptimized for row in rows if row.unoptimized is not None]
    told = "The same files were also run without the runtime's own rewriting of the graph"
    told += f", on {max(each.samples for each in seen):,} evaluation samples"
    if any(each.flips for each in seen):
        return f"{told}. These builds {'predict' if flip(rows) else 'answer'} otherwise for some of them:"
    return f"{told}. None of their {'predictions' if flip(rows) else 'outputs'} differs."


def values(found: Measure) -> str:
    """Its values as a plural, e.g. `accuracies`."""
    return "accuracies" if found.name == "accuracy" else "numbers"


def margin(run: Run) -> str:
    """The margin, e.g. `1% of the float32's accuracy`, `0.5 points`."""
    return measure(run.rows).margin(run.request.margin, "the float32's")


def limit(share: float, found: Measure) -> str:
    """A limit on drops, e.g. `0.50 points`, `5% of the float32's MAE`."""
    if found.unit == "fraction":
        return f"{words.points(share)} points"
    return f"{100 * share:g}% of the float32's {found.label}"


def drop_interval(run: Run) -> str:
    """Whose interval that of a drop is."""
    return "Tango's" if run.task in _EXACT else "BCa, of the paired bootstrap"


def intervals(run: Run) -> str:
    """Whose intervals those of metrics and drops are."""
    if run.task in _EXACT:
        return f"of {'accuracies' if run.task == 'classification' else 'agreements'} Wilson's, of drops Tango's"
    return "BCa, of the bootstrap, and of the paired one for what builds lose"


def use(name: str, found: Measure) -> str:
    """A use that a build is best for, e.g. `accuracy`, `MAE`, `size`."""
    return found.label if name == found.name else name


def others(rows: Sequence[Row]) -> list[str]:
    """The labels of the further metrics that rows have."""
    return list(dict.fromkeys(each.label for row in rows for each in row.metrics or ()))


def other(row: Row, label: str) -> str:
    """A further metric of a row with its interval; empty where it has none."""
    found = next((each for each in row.metrics or () if each.label == label), None)
    if found is None:
        return ""
    return found.shown() + (f" ({found.between(found.interval)})" if found.interval else "")


def outputs(rows: Sequence[Row], run: Run) -> list[tuple[Row, str, str, str, str, str]]:
    """How alike each output is to the float32's: row, output, agreement, divergence, decibels, the worst channel.

    Told where there are several outputs, and where there are no labels, of which this then is the answer.
    """
    told = []
    for row in rows:
        alone = {"": row.fidelity} if row.fidelity and run.task in ("agreement", "deviation") else {}
        for name, found in (row.fidelities or alone).items():
            agreement = "" if found.agreement is None else words.percent(found.agreement)
            divergence = "" if found.kl is None else f"{found.kl:.2g}"
            worst = "" if found.channel is None else f"{words.decibels(found.channel_sqnr_db)}, {found.channel}"
            told.append((row, name, agreement, divergence, words.decibels(found.sqnr_db), worst))
    return told
