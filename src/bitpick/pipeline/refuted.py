"""Explain why a conversion did not pass: an unsteady model, or the first node that differs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bitpick.conversion import rounding, verify
from bitpick.conversion.route import route
from bitpick.errors import BitpickError, ConversionError
from bitpick.models.model import Format, form_of
from bitpick.pipeline import plan
from bitpick.pipeline.arrays import read_outputs, save, unnamed
from bitpick.pipeline.form_job import FUNCTIONS
from bitpick.pipeline.forms import runner_of
from bitpick.pipeline.inputs import Inputs
from bitpick.pipeline.job import Job
from bitpick.pipeline.workshop import Workshop
from bitpick.schema.hop import Hop as HopRecord


def explain(record: HopRecord, inputs: Inputs, shop: Workshop) -> ConversionError:
    """Return the error of a hop that did not pass.

    Args:
        record: the hop's record.
        inputs: the run's inputs.
        shop: the run's workshop; its forms are run again.
    """
    unsteady = _unsteady(record, inputs, shop)
    return verify.failure(record, None if unsteady else _first_difference(record, inputs, shop), unsteady)


def _unsteady(record: HopRecord, inputs: Inputs, shop: Workshop) -> str:
    """Return a side of the hop whose outputs change when it runs again; empty if both are steady."""
    outputs = shop.directory.outputs
    for form in map(form_of, (record.source, record.target)):
        job = plan.run_form(form, inputs, shop.directory)
        again = outputs(form).with_suffix(".again.npz")
        try:
            shop.runner.run(replace(job, payload={**job.payload, "out": again}, kept=False))
            if not rounding.alike(read_outputs(outputs(form)), read_outputs(again)):
                return form
        except (BitpickError, OSError):
            return ""
    return ""


def _first_difference(record: HopRecord, inputs: Inputs, shop: Workshop) -> tuple[str, float] | None:
    """Return the first node at which the sides of a failed hop differ; None if it cannot be found."""
    sides = form_of(record.source), form_of(record.target)
    hops = route(sides[0].base, sides[1].base) if not sides[1].passes else None
    if not hops or hops[0].trace is None:
        return None
    computed = []
    batch = shop.directory.outputs(Format.ONNX).with_name("trace_inputs.npz")
    save(batch, unnamed(next(inputs.calibration.head(4).batches(4))))
    for form, function in zip((hops[0].source, hops[0].target), hops[0].trace, strict=True):
        out = batch.with_name(f"{form}.trace.npz")
        payload = {
            "function": function,
            "source": inputs.path(hops[0].source, shop.directory),
            "target": inputs.path(hops[0].target, shop.directory),
            "inputs": batch,
            "out": out,
        }
        try:
            job = Job("trace", runner_of(form)[0].environment, FUNCTIONS, "trace", payload, ("out",), kept=False)
            names = shop.runner.run(job).value
        except BitpickError:
            return None
        with np.load(out) as arrays:
            computed.append(dict(zip(names, (arrays[f"arr_{i}"] for i in range(len(names))), strict=True)))
    return verify.first_difference(*computed)
