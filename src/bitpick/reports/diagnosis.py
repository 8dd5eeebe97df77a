"""Terminal output of a diagnosis."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bitpick.reports import words
from bitpick.reports.terminal import table
from bitpick.schema.diagnosis import Change, Diagnosis
from bitpick.schema.run import Run

_CLASSES = 5
_WORST = 5


def summary(run: Run, folder: str) -> Group:
    """Show the result of a diagnosis: rows, layers, classes, samples, advice, and where the files are."""
    parts: list[RenderableType] = [table(words.ordered(run)), Text("")]
    diagnosis = run.diagnosis
    if diagnosis is not None:
        parts += [*_explanation(diagnosis), layers(diagnosis), Text("")]
        if classes := _classes(run, diagnosis):
            parts += [Text(f"Classes that lose most: {classes}")]
        if diagnosis.worst:
            parts += [Text(f"Samples that only the float32 gets right, the worst first: {_worst(diagnosis)}")]
        parts += [Text(""), *(Text(f"· {line}") for line in diagnosis.advice), Text("")]
        if diagnosis.next is not None:
            verb = "Applied " if diagnosis.applied else "Try "
            parts += [Text.assemble(verb, (diagnosis.next.id, "bold green")), Text("")]
            where = f"{folder}/next_recipe.yaml"
            parts += [Text(f"The next recipe is {where}, which --recipe takes", style="dim")]
    images = ", diagnosis/worst/" if diagnosis is not None and diagnosis.worst else ""
    parts += [Text(f"Everything is in {folder}: report.html, report.md, run.json, builds/{images}", style="dim")]
    return Group(*parts)


def layers(diagnosis: Diagnosis) -> Table:
    """Show layers as a table, without empty columns."""
    shown = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    shown.add_column("layer", overflow="fold")
    shown.add_column("kind")
    columns = {
        "weights": [layer.weight_sqnr_db for layer in diagnosis.layers],
        "output": [layer.activation_sqnr_db for layer in diagnosis.layers],
    }
    known_columns = {name: column for name, column in columns.items() if any(value is not None for value in column)}
    for name in known_columns:
        shown.add_column(f"{name}\ndB", justify="right", no_wrap=True)
    for name in ("only it quantized:\ndrop", "\nflips", "only it float:\ndrop", "scores\ndB"):
        shown.add_column(name, justify="right", no_wrap=True)
    for index, layer in enumerate(diagnosis.layers):
        cells = [_decibels(column[index]) for column in known_columns.values()]
        cells += [_drop(layer.only_quantized), _flips(layer.only_quantized)]
        if layer.only_float and _same_results(layer.only_float, diagnosis.whole):
            cells += ["as all", ""]
        else:
            cells += [_drop(layer.only_float), _decibels(layer.only_float.sqnr_db) if layer.only_float else ""]
        style = "" if layer.only_float or layer.only_quantized else "dim"
        shown.add_row(Text(layer.name), layer.kind, *cells, style=style)
    if diagnosis.whole is not None:
        blanks = [""] * len(known_columns)
        cells = [_drop(diagnosis.whole), _flips(diagnosis.whole), "", _decibels(diagnosis.whole.sqnr_db)]
        shown.add_row(Text("all", style="bold"), "", *blanks, *cells)
    return shown


def _same_results(first: Change, second: Change | None) -> bool:
    """Whether two builds give the same results, as they do if a layer between quantized ones adds no rounding."""
    fields = ("correct", "flips", "sqnr_db")
    return second is not None and all(getattr(first, name) == getattr(second, name) for name in fields)


def _explanation(diagnosis: Diagnosis) -> list[RenderableType]:
    return [
        Text(
            f"Layers of {diagnosis.recipe}: signal over noise of weights and outputs in the whole build; drop in "
            f"points, with its 95% interval, and flips on {diagnosis.samples:,} samples",
            style="dim",
        )
    ]


def _classes(run: Run, diagnosis: Diagnosis) -> str:
    row = run.row(diagnosis.recipe)
    if row is None or row.versus_baseline is None:
        return ""
    drops = words.per_class_drops(row, run.row(row.versus_baseline.baseline))
    drops_by_size = sorted(((drop, name) for name, drop in drops.items() if drop > 0), reverse=True)
    return ", ".join(f"{name} {words.points(drop)} points" for drop, name in drops_by_size[:_CLASSES])


def _worst(diagnosis: Diagnosis) -> str:
    samples = [
        f"{each.sample} ({each.label}, now {each.predictions[diagnosis.recipe]})" for each in diagnosis.worst[:_WORST]
    ]
    more = len(diagnosis.worst) - len(samples)
    return ", ".join(samples) + (f" and {more} more" if more else "")


def _drop(change: Change | None) -> str:
    if change is None:
        return ""
    low, high = change.drop_interval
    return f"{words.points(change.drop)} ({words.points(low)} to {words.points(high)})"


def _flips(change: Change | None) -> str:
    return "" if change is None else f"{change.flips:,}"


def _decibels(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
