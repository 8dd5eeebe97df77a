"""Say why there is nothing to ship, by the most common reasons, and what to try next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from bitpick.engines.registry import engines
from bitpick.errors import RunError
from bitpick.passes.registry import passes
from bitpick.recipe import WIDEST
from bitpick.schema.missing import left_out, missing
from bitpick.schema.run import RequestRecord, Row
from bitpick.selection.claims import samples_needed
from bitpick.tasks.classification import Classification
from bitpick.tasks.task import Task

_SHOWN = 3  # reasons; the reports have all of them


def no_quantized_row(rows: Sequence[Row], request: RequestRecord) -> RunError:
    """Return the error of a run without a quantized build.

    Args:
        rows: all rows of the run.
        request: the request.
    """
    native = [row for row in rows if row.target == "host" and row.status != "ok"]
    missing_rows = [row for row in native if row.kind == "quantized"] or native
    reasons = missing(missing_rows)
    count = sum(len(reason.rows) for reason in reasons)
    lines = [
        f"  {len(reason.rows)} of {count} ({', '.join(reason.engines)}): {reason.reason}" for reason in reasons[:_SHOWN]
    ]
    if (hidden := len(reasons) - _SHOWN) > 0:
        lines.append(f"  and {hidden} other reason{'s' if hidden > 1 else ''}")
    if unreachable := left_out(rows):
        lines.append(f"  {unreachable}")
    return RunError("\n".join(["no quantized row is ok", *lines]), fix="; or ".join(_ways_to_widen(request)))


def next_steps(rows: Sequence[Row], request: RequestRecord, task: Task) -> list[str]:
    """Return what to try if no build is recommended, in one sentence; empty if no build was made.

    Args:
        rows: the rows of one CPU.
        request: the request.
        task: how builds are judged.
    """
    measured = [row for row in rows if row.kind == "quantized" and row.status == "ok" and row.metric is not None]
    if not measured:
        return []
    where = f"{shlex.quote(request.model)} --data {shlex.quote(request.data)}"
    best = max(measured, key=lambda row: row.metric.quality if row.metric is not None else 0.0)
    training = [f"train {best.id} for quantization: bitpick compare {where} --recipe {each}" for each in _trained(best)]
    if request.goal is not None:  # a search found these
        steps = [f"search longer: bitpick search {where} --minutes 30", "evaluate on more samples", *training]
        return [f"Next: {'; or '.join(steps)}."]
    tested = [row for row in measured if row.versus_baseline is not None]
    more_samples_help = any(samples_needed(row, len(tested), request.alpha) for row in tested)
    steps = ["evaluate on more samples"] if more_samples_help else []
    if isinstance(task, Classification) and best.recipe_fields is None:
        steps.append(f"see which layers of {best.id} lose it: bitpick diagnose {where} --recipe {best.id}")
    else:
        steps.append("leave layers in float with exclude in a recipe file (bitpick compare --recipe FILE)")
    steps.append(f"let bitpick look for a better build: bitpick search {where}")
    return [f"Next: {'; or '.join([*steps, *training, *_ways_to_widen(request)])}."]


def _trained(row: Row) -> list[str]:
    """Return the id of a row's recipe with training for quantization; none if it is trained, or cannot be."""
    builder, recipe = engines().get(row.engine), row.quantization
    grid = None if builder is None else builder.weight_grid(recipe)
    training = [name for name, each in passes().items() if each.needs == "training" and each.missing() is None]
    if row.recipe_fields is not None or grid is None or not grid.per_channel or set(training) & recipe.options.keys():
        return []
    return [recipe.model_copy(update={"options": recipe.options | {name: ""}}).id for name in training]


def _ways_to_widen(request: RequestRecord) -> list[str]:
    """Return ways to ask for more recipes."""
    if request.recipes:
        return ["leave out --recipe, so that a preset's recipes are tried"]
    steps = ["leave out --engine, so that every engine is tried"] if request.engines else []
    return steps if request.preset == WIDEST else [*steps, f"try more recipes with --preset {WIDEST}"]
