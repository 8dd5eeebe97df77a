"""The speed of the rows of a run: which of them to time, and what becomes of what was found."""

from __future__ import annotations

import time
from collections.abc import Callable

from bitpick.comparison.rows import Rows
from bitpick.executors.executor import Executor
from bitpick.models.model import Format
from bitpick.pipeline.build_job import open_build
from bitpick.pipeline.forms import runner_of
from bitpick.pipeline.inputs import Inputs
from bitpick.pipeline.workshop import Workshop
from bitpick.recipe import baseline
from bitpick.schema.run import Row
from bitpick.schema.speed import SpeedRecord
from bitpick.speed import measuring

_LATER = 4  # what part of the budget is there for rows that come later, as repairs do


def measure(rows: Rows, shop: Workshop, inputs: Inputs, fresh: Callable[[], Executor] | None) -> None:
    """Time this host's rows that were not timed yet, where the request has time for it.

    Args:
        rows: the rows of the run; those concerned get what was found.
        shop: what to work with.
        inputs: the run's inputs.
        fresh: makes workers of their own; None measures no speed.
    """
    run, directory = shop.run, shop.directory
    budget = run.request.bench_seconds
    ok = [row for row in rows.native if row.status == "ok"]
    floats = [row.id for row in ok if row.kind == "baseline"]
    if not budget or not floats:
        return
    common = runner_of(Format.ONNX)[1].id  # the reference graph's own runtime
    reference = common if common in floats else floats[0]
    before = run.speed if run.speed is not None and run.speed.reference == reference else None
    before = before or SpeedRecord(reference=reference, budget_seconds=budget, seconds=0)
    for row in ok:
        if row.latency is None and (earlier := _earlier(row, reference, shop)) is not None:
            directory.put(measuring.with_times_of(row, earlier))
    ok = [row for row in rows.native if row.status == "ok"]
    continued = directory.previous is not None and run.speed == directory.previous.speed
    unchanged = {key for key in before.untimed if not continued or _unchanged(key, shop)}
    wanted = [row for row in ok if row.id not in unchanged and row.latency is None]
    if fresh is None or not wanted:
        directory.save()
        return
    needed = {reference, *(row.id for row in wanted), *(baseline(row.engine).id for row in wanted)}
    builds = {row.id: open_build(directory.build(row.recipe)) for row in ok if row.id in needed}
    shown = {row.id for row in ok if row.versus_baseline is not None and row.versus_baseline.noninferior}
    left = max(budget - before.seconds, budget / _LATER)
    began = time.perf_counter()
    found, untimed = measuring.measure(builds, reference, shown, inputs.evaluation, fresh, left, shop.listener)
    for row in wanted:
        if row.id in found:
            directory.put(measuring.with_speed(row, found[row.id]))
            directory.keep_timings(row.recipe, found[row.id].raw)
    reasons = {key: why for key, why in before.untimed.items() if key in unchanged} | untimed
    speed = SpeedRecord(
        reference=reference,
        budget_seconds=budget,
        seconds=before.seconds + time.perf_counter() - began,
        untimed={key: why for key, why in reasons.items() if key not in found},
    )
    directory.update(speed=speed)
    directory.save()


def _earlier(row: Row, reference: str, shop: Workshop) -> Row | None:
    """The row as an earlier run in this directory timed it, if nothing that it was timed with has changed."""
    previous = shop.directory.previous
    earlier = previous.row(row.id) if previous is not None and shop.directory.same_samples else None
    if earlier is None or earlier.latency is None or earlier.latency.reference != reference:
        return None
    beside = (row.id, baseline(row.engine).id, reference)
    return earlier if all(_unchanged(key, shop) for key in beside) else None


def _unchanged(key: str, shop: Workshop) -> bool:
    """Whether a row's files are those that the earlier run timed."""
    rows = [run and run.row(key) for run in (shop.run, shop.directory.previous)]
    files = [row and row.files for row in rows]
    return files[0] is not None and files[0] == files[1]
