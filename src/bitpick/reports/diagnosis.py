"""What a terminal shows of a diagnosis."""

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
    """The whole result of a diagnosis: rows, layers, classes, samples, advice, where the files are."""
    parts: list[RenderableType] = [table(words.ordered(run)), Text("")]
    found = run.diagnosis
    if found is not None:
        parts += [*_explained(found), layers(found), Text("")]
        if classes := _classes(run, found):
            parts += [Text(f"Classes that lose most: {classes}")]
        if found.worst:
            parts += [Text(f"Samples that only the float32 gets right, the worst first: {_worst(found)}")]
        parts += [Text(""), *(Text(f"· {line}") for line in found.advice), Text("")]
        if found.next is not None:
            word = "Applied " if found.applied else "Try "
            parts += [Text.assemble(word, (found.next.id, "bold green")), Text("")]
            where = f"{folder}/next_recipe.yaml"
            parts += [Text(f"The next recipe is {where}, which --recipe takes", style="dim")]
    images = ", diagnosis/worst/" if found is not None and found.worst else ""
    parts += [Text(f"Everything is in {folder}: report.html, report.md, run.json, builds/{images}", style="dim")]
    return Group(*parts)


def layers(found: Diagnosis) -> Table:
    """Layers as a table; columns that say nothing are left out."""
    shown = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    shown.add_column("layer", overflow="fold")
    shown.add_column("kind")
    inside = {
        "weights": [each.weight_sqnr_db for each in found.layers],
        "output": [each.activation_sqnr_db for each in found.layers],
    }
    known = {name: column for name, column in inside.items() if any(value is not None for value in column)}
    for name in known:
        shown.add_column(f"{name}\ndB", justify="right", no_wrap=True)
    for name in ("only it quantized:\ndrop", "\nflips", "only it float:\ndrop", "scores\ndB"):
        shown.add_column(name, justify="right", no_wrap=True)
    for place, each in enumerate(found.layers):
        cells = [_decibels(column[place]) for column in known.values()]
        cells += [_drop(each.only_quantized), _flips(each.only_quantized)]
        if each.only_float and _alike(each.only_float, found.whole):
            cells += ["as all", ""]
        else:
            cells += [_drop(each.only_float), _decibels(each.only_float.sqnr_db) if each.only_float else ""]
        style = "" if each.only_float or each.only_quantized else "dim"
        shown.add_row(Text(each.name), each.kind, *cells, style=style)
    if found.whole is not None:
        blanks = [""] * len(known)
        cells = [_drop(found.whole), _flips(found.whole), "", _decibels(found.whole.sqnr_db)]
        shown.add_row(Text("all", style="bold"), "", *blanks, *cells)
    return shown


def _alike(one: Change, other: Change | None) -> bool:
    """Whether two builds compute the same: a layer between quantized ones has little of its own to round."""
    same = ("correct", "flips", "sqnr_db")
    return other is not None and all(getattr(one, name) == getattr(other, name) for name in same)


def _explained(found: Diagnosis) -> list[RenderableType]:
    return [
        Text(
            f"Layers of {found.recipe}: signal over noise of weights and outputs in the whole build; drop in points, "
            f"with its 95% interval, and flips on {found.samples:,} samples",
            style="dim",
        )
    ]


def _classes(run: Run, found: Diagnosis) -> str:
    row = run.row(found.recipe)
    if row is None or row.versus_baseline is None:
        return ""
    drops = words.per_class_drops(row, run.row(row.versus_baseline.baseline))
    lost = sorted(((drop, name) for name, drop in drops.items() if drop > 0), reverse=True)
    return ", ".join(f"{name} {words.points(drop)} points" for drop, name in lost[:_CLASSES])


def _worst(found: Diagnosis) -> str:
    told = [f"{each.sample} ({each.label}, now {each.predictions[found.recipe]})" for each in found.worst[:_WORST]]
    more = len(found.worst) - len(told)
    return ", ".join(told) + (f" and {more} more" if more else "")


def _drop(change: Change | None) -> str:
    if change is None:
        return ""
    low, high = change.drop_interval
    return f"{words.points(change.drop)} ({words.points(low)} to {words.points(high)})"


def _flips(change: Change | None) -> str:
    return "" if change is None else f"{change.flips:,}"


def _decibels(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
