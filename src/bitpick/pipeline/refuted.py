"""Why a conversion did not pass: a model that is not steady, or the first node that differs."""

from __future__ import annotations

import numpy as np

from bitpick.conversion import rounding, verify
from bitpick.conversion.route import route
from bitpick.errors import BitpickError, ConversionError
from bitpick.executors.executor import Executor
from bitpick.models.model import Format
from bitpick.pipeline import plan
from bitpick.pipeline.arrays import read_outputs
from bitpick.pipeline.form_job import FUNCTIONS
from bitpick.pipeline.forms import runner_of
from bitpick.pipeline.inputs import Inputs
from bitpick.pipeline.store import Store
from bitpick.schema.hop import Hop as HopRecord


def explained(record: HopRecord, inputs: Inputs, store: Store, executor: Executor) -> ConversionError:
    """The error of a hop that did not pass.

    Args:
        record: what was measured.
        inputs: the run's inputs.
        store: where the forms are.
        executor: runs them again.
    """
    unsteady = _unsteady(record, inputs, store, executor)
    return verify.failure(record, None if unsteady else _located(record, inputs, store, executor), unsteady)


def _unsteady(record: HopRecord, inputs: Inputs, store: Store, executor: Executor) -> str:
    """The form on a side of a hop that gives other outputs when it is run again; empty where both are steady."""
    for form in (Format(record.source), Format(record.target)):
        job = plan.run_form(form, inputs, store)
        again = store.outputs(form).with_suffix(".again.npz")
        try:
            executor.run(job.environment, job.path, {**job.payload, "out": again})
            if not rounding.alike(read_outputs(store.outputs(form)), read_outputs(again)):
                return form
        except BitpickError:
            return ""
    return ""


def _located(record: HopRecord, inputs: Inputs, store: Store, executor: Executor) -> tuple[str, float] | None:
    """The first node at which the sides of a failed hop differ, where it can be found."""
    hops = route(Format(record.source), Format(record.target))
    if not hops or hops[0].trace is None:
        return None
    sides = []
    batch = store.outputs(Format.ONNX).with_name("trace_inputs.npz")
    np.savez(batch, *next(inputs.calibration.head(4).batches(4)))
    for form, function in zip((hops[0].source, hops[0].target), hops[0].trace, strict=True):
        out = batch.with_name(f"{form}.trace.npz")
        payload = {
            "function": function,
            "source": inputs.path(hops[0].source, store),
            "target": inputs.path(hops[0].target, store),
            "inputs": batch,
            "out": out,
        }
        try:
            names = executor.run(runner_of(form)[0].environment, f"{FUNCTIONS}:trace", payload).value
        except BitpickError:
            return None
        with np.load(out) as arrays:
            sides.append(dict(zip(names, (arrays[f"arr_{i}"] for i in range(len(names))), strict=True)))
    return verify.first_difference(*sides)
