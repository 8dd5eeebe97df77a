"""Describe the metric of a run: its name, its direction, its margin and its drops."""

from __future__ import annotations

from collections.abc import Sequence

from bitpick.reports import words
from bitpick.schema.evidence import Measure
from bitpick.schema.run import Row, Run

_EXACT = ("classification", "agreement")
ALIKE = ("agreement", "KL divergence", "signal over noise", "worst channel")
"""The names of the measures that `outputs` returns for each output."""


def measure(rows: Sequence[Row]) -> Measure:
    """Return the metric of the rows; accuracy if nothing was measured."""
    return next((row.metric for row in rows if row.metric is not None), Measure(name="accuracy"))


def direction(metric: Measure) -> str:
    """Say which direction is better, e.g. `MAE: lower is better.`; empty if it is obvious."""
    if metric.name in ("accuracy", "agreement"):
        return ""
    return f"{metric.label}: {'higher' if metric.higher_is_better else 'lower'} is better."


def head(metric: Measure) -> str:
    """Return the heading of the metric's column, e.g. `MAE, °C`."""
    return metric.label if metric.unit in ("", "fraction") else f"{metric.label}, {metric.unit}"


def drop_head(metric: Measure) -> str:
    """Return the heading of the drop's column, e.g. `drop, points`."""
    return f"{metric.worsening}, {metric.change_unit}".removesuffix(", ")


def flip(rows: Sequence[Row]) -> bool:
    """Whether rows have predictions, which can flip; otherwise outputs can only differ noticeably."""
    return measure(rows).name in ("accuracy", "agreement")


def rewriting(rows: Sequence[Row]) -> str:
    """Say what changed in those of `rows` that were also run without their runtime's graph optimizations."""
    comparisons = [row.unoptimized for row in rows if row.unoptimized is not None]
    text = "The same files were also run without the runtime's own rewriting of the graph"
    text += f", on {max(each.samples for each in comparisons):,} evaluation samples"
    if any(each.flips for each in comparisons):
        return f"{text}. These builds {'predict' if flip(rows) else 'answer'} otherwise for some of them:"
    return f"{text}. None of their {'predictions' if flip(rows) else 'outputs'} differs."


def values(metric: Measure) -> str:
    """Return the plural for the metric's values, e.g. `accuracies`."""
    return "accuracies" if metric.name == "accuracy" else "numbers"


def margin(run: Run) -> str:
    """Spell out the margin, e.g. `1% of the float32's accuracy`, `0.5 points`."""
    return measure(run.rows).margin(run.request.margin, "the float32's")


def limit(share: float, metric: Measure) -> str:
    """Spell out a limit on drops, e.g. `0.50 points`, `5% of the float32's MAE`."""
    if metric.unit == "fraction":
        return f"{words.points(share)} points"
    return f"{100 * share:g}% of the float32's {metric.label}"


def drop_interval(run: Run) -> str:
    """Name the kind of a drop's interval."""
    return "Tango's" if run.task in _EXACT else "BCa, of the paired bootstrap"


def intervals(run: Run) -> str:
    """Name the kinds of intervals of metrics and drops."""
    if run.task in _EXACT:
        return f"of {'accuracies' if run.task == 'classification' else 'agreements'} Wilson's, of drops Tango's"
    return "BCa, of the bootstrap, and of the paired one for what builds lose"


def use(name: str, metric: Measure) -> str:
    """Name a use that a build is best for, e.g. `accuracy`, `MAE`, `size`."""
    return metric.label if name == metric.name else name


def others(rows: Sequence[Row]) -> list[str]:
    """Return the labels of the rows' further metrics."""
    return list(dict.fromkeys(each.label for row in rows for each in row.metrics or ()))


def other(row: Row, label: str) -> str:
    """Format a further metric of a row with its interval; empty if the row does not have it."""
    metric = next((each for each in row.metrics or () if each.label == label), None)
    if metric is None:
        return ""
    return metric.shown() + (f" ({metric.between(metric.interval)})" if metric.interval else "")


def outputs(rows: Sequence[Row], run: Run) -> list[tuple[Row, str, str, str, str, str]]:
    """Format how close each output is to the float32's: row, output, agreement, divergence, decibels, worst channel.

    Rows are included if they have several outputs, or if there are no labels and closeness is what counts.
    """
    lines = []
    for row in rows:
        only_output = {"": row.fidelity} if row.fidelity and run.task in ("agreement", "deviation") else {}
        for name, fidelity in (row.fidelities or only_output).items():
            agreement = "" if fidelity.agreement is None else words.percent(fidelity.agreement)
            divergence = "" if fidelity.kl is None else f"{fidelity.kl:.2g}"
            worst = (
                "" if fidelity.channel is None else f"{words.decibels(fidelity.channel_sqnr_db)}, {fidelity.channel}"
            )
            lines.append((row, name, agreement, divergence, words.decibels(fidelity.sqnr_db), worst))
    return lines
