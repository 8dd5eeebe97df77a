"""The speed of the rows of a run: which of them to time, and what becomes of what was found."""

from __future__ import annotations

import time
from collections.abc import Callable

from bitpick.executors.executor import Executor
from bitpick.models.model import Format
from bitpick.pipeline.forms import runner_of
from bitpick.pipeline.inputs import Inputs
from bitpick.pipeline.job import open_build
from bitpick.pipeline.listener import Listener
from bitpick.pipeline.rows import Rows
from bitpick.pipeline.store import Store
from bitpick.recipe import baseline
from bitpick.schema.speed import SpeedRecord
from bitpick.speed import measuring

_LATER = 4  # what part of the budget is there for rows that come later, as repairs do


def measure(rows: Rows, store: Store, inputs: Inputs, fresh: Callable[[], Executor] | None, listener: Listener) -> None:
    """Time this host's rows that were not timed yet, where the request has time for it.

    Args:
        rows: the rows of the run; those concerned get what was found.
        store: the run directory and the record of the run.
        inputs: the run's inputs.
        fresh: makes workers of their own; None measures no speed.
        listener: is told how it goes.
    """
    run = store.run
    budget = run.request.bench_seconds
    ok = [row for row in rows.native if row.status == "ok"]
    floats = [row.id for row in ok if row.kind == "baseline"]
    if fresh is None or not budget or not floats:
        return
    common = runner_of(Format.ONNX)[1].id  # the reference graph's own runtime
    reference = common if common in floats else floats[0]
    before = run.speed or SpeedRecord(reference=reference, budget_seconds=budget, seconds=0)
    wanted = [
        row
        for row in ok
        if row.id not in before.untimed and (row.latency is None or row.latency.reference != reference)
    ]
    if not wanted:
        return
    needed = {reference, *(row.id for row in wanted), *(baseline(row.engine).id for row in wanted)}
    builds = {row.id: open_build(store.build(row.recipe)) for row in ok if row.id in needed}
    shown = {row.id for row in ok if row.versus_baseline is not None and row.versus_baseline.noninferior}
    left = max(budget - before.seconds, budget / _LATER)
    began = time.perf_counter()
    found, untimed = measuring.measure(builds, reference, shown, inputs.evaluation, fresh, left, listener)
    for row in wanted:
        if row.id in found:
            store.put(measuring.with_speed(row, found[row.id]))
            store.keep_timings(row.recipe, found[row.id].raw)
    run.speed = SpeedRecord(
        reference=reference,
        budget_seconds=budget,
        seconds=before.seconds + time.perf_counter() - began,
        untimed={row_id: why for row_id, why in (before.untimed | untimed).items() if row_id not in found},
    )
    store.save()
