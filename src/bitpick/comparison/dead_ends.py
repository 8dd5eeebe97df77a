"""What is said where there is nothing to ship: the commonest reasons, and what to try next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from bitpick.errors import RunError
from bitpick.recipe import PRESETS
from bitpick.schema.missing import left_out, missing
from bitpick.schema.run import RequestRecord, Row
from bitpick.selection.claims import samples_needed
from bitpick.tasks.classification import Classification
from bitpick.tasks.task import Task

_SHOWN = 3  # reasons; the reports have all of them


def no_quantized_row(rows: Sequence[Row], request: RequestRecord) -> RunError:
    """The error of a run that made no quantized build.

    Args:
        rows: all of the run.
        request: what was asked for.
    """
    native = [row for row in rows if row.target == "host" and row.status != "ok"]
    concerned = [row for row in native if row.kind == "quantized"] or native
    reasons = missing(concerned)
    count = sum(len(each.rows) for each in reasons)
    lines = [f"  {len(each.rows)} of {count} ({', '.join(each.engines)}): {each.reason}" for each in reasons[:_SHOWN]]
    if (more := len(reasons) - _SHOWN) > 0:
        lines.append(f"  and {more} other reason{'s' if more > 1 else ''}")
    if others := left_out(rows):
        lines.append(f"  {others}")
    return RunError("\n".join(["no quantized row is ok", *lines]), fix="; or ".join(_wider(request)))


def next_steps(rows: Sequence[Row], request: RequestRecord, task: Task) -> list[str]:
    """What to try where builds were made and none is recommended, in one sentence; nothing where none was made.

    Args:
        rows: those of one CPU.
        request: what was asked for.
        task: how builds are judged.
    """
    made = [row for row in rows if row.kind == "quantized" and row.status == "ok" and row.metric is not None]
    if not made:
        return []
    best = max(made, key=lambda row: row.metric.quality if row.metric is not None else 0.0)
    tested = [row for row in made if row.versus_baseline is not None]
    settled = any(samples_needed(row, len(tested), request.alpha) for row in tested)
    steps = ["evaluate on more samples"] if settled else []
    if isinstance(task, Classification) and best.recipe_fields is None:
        command = f"bitpick diagnose {shlex.quote(request.model)} --data {shlex.quote(request.data)}"
        steps.append(f"see which layers of {best.id} lose it: {command} --recipe {best.id}")
    else:
        steps.append("leave layers in float with exclude in a recipe file (bitpick compare --recipe FILE)")
    return [f"Next: {'; or '.join([*steps, *_wider(request)])}."]


def _wider(request: RequestRecord) -> list[str]:
    """How to ask for more recipes."""
    if request.recipes:
        return ["leave out --recipe, so that a preset's recipes are tried"]
    steps = ["leave out --engine, so that every engine is tried"] if request.engines else []
    return steps if request.preset == PRESETS[-1] else [*steps, f"try more recipes with --preset {PRESETS[-1]}"]
