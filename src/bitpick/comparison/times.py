"""Measure the speed of a run's rows: choose which to time, and store the results."""

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

_LATER = 4  # rows that come later, such as repairs, get at least 1/4 of the budget


def measure(rows: Rows, shop: Workshop, inputs: Inputs, fresh: Callable[[], Executor] | None) -> None:
    """Time this host's rows that are not timed yet, if the request has a time budget.

    Args:
        rows: the rows of the run; those timed are updated.
        shop: the run's workshop.
        inputs: the run's inputs.
        fresh: makes new workers; None measures no speed.
    """
    run, directory = shop.run, shop.directory
    budget = run.request.bench_seconds
    ok = [row for row in rows.native if row.status == "ok"]
    baselines = [row.id for row in ok if row.kind == "baseline"]
    if not budget or not baselines:
        return
    onnx_baseline = runner_of(Format.ONNX)[1].id  # the runtime of the reference graph
    reference = onnx_baseline if onnx_baseline in baselines else baselines[0]
    record = run.speed if run.speed is not None and run.speed.reference == reference else None
    record = record or SpeedRecord(reference=reference, budget_seconds=budget, seconds=0)
    for row in ok:
        if row.latency is None and (earlier := _earlier(row, reference, shop)) is not None:
            directory.put(measuring.with_times_of(row, earlier))
    ok = [row for row in rows.native if row.status == "ok"]
    continued = directory.previous is not None and run.speed == directory.previous.speed
    unchanged = {row_id for row_id in record.untimed if not continued or _unchanged(row_id, shop)}
    wanted = [row for row in ok if row.id not in unchanged and row.latency is None]
    if fresh is None or not wanted:
        directory.save()
        return
    needed = {reference, *(row.id for row in wanted), *(baseline(row.engine).id for row in wanted)}
    builds = {row.id: open_build(directory.build(row.recipe)) for row in ok if row.id in needed}
    good_enough = {row.id for row in ok if row.versus_baseline is not None and row.versus_baseline.noninferior}
    remaining = max(budget - record.seconds, budget / _LATER)
    start = time.perf_counter()
    speeds, untimed = measuring.measure(
        builds, reference, good_enough, inputs.evaluation, fresh, remaining, shop.listener
    )
    for row in wanted:
        if row.id in speeds:
            directory.put(measuring.with_speed(row, speeds[row.id]))
            directory.keep_timings(row.recipe, speeds[row.id].raw)
    reasons = {row_id: reason for row_id, reason in record.untimed.items() if row_id in unchanged} | untimed
    speed = SpeedRecord(
        reference=reference,
        budget_seconds=budget,
        seconds=record.seconds + time.perf_counter() - start,
        untimed={row_id: reason for row_id, reason in reasons.items() if row_id not in speeds},
    )
    directory.update(speed=speed)
    directory.save()


def _earlier(row: Row, reference: str, shop: Workshop) -> Row | None:
    """Return the row of an earlier run in this directory with its times, if nothing it was timed with has changed."""
    previous = shop.directory.previous
    earlier = previous.row(row.id) if previous is not None and shop.directory.same_samples else None
    if earlier is None or earlier.latency is None or earlier.latency.reference != reference:
        return None
    involved = (row.id, baseline(row.engine).id, reference)
    return earlier if all(_unchanged(row_id, shop) for row_id in involved) else None


def _unchanged(row_id: str, shop: Workshop) -> bool:
    """Whether a row has the same files as in the earlier run."""
    rows = [run and run.row(row_id) for run in (shop.run, shop.directory.previous)]
    files = [row and row.files for row in rows]
    return files[0] is not None and files[0] == files[1]
