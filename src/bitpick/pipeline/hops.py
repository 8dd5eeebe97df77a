"""Note the outcomes of conversions in the run's record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bitpick.errors import BitpickError
from bitpick.executors.executor import Outcome
from bitpick.models.model import Format, form_of, sha256_of
from bitpick.pipeline import refuted
from bitpick.pipeline.inputs import Inputs
from bitpick.pipeline.job import Job
from bitpick.pipeline.schedule import Result
from bitpick.pipeline.workshop import Workshop
from bitpick.schema.hop import Hop as HopRecord
from bitpick.schema.run import FormRecord
from bitpick.schema.tuning import Tuning

_PASSES = ("apply_pass", "train")
_NOTING = (*_PASSES, "build")


def note_outcome(shop: Workshop, inputs: Inputs, job: Job, result: Result) -> Result:
    """Note the outcome of a job in the run's record. A hop that did not pass becomes an error that says where.

    Raises:
        RequestError: a watched file changed, so it is not known what this job read.
    """
    directory = shop.directory
    directory.watch.check()
    shop.listener.ended(job)
    if isinstance(result, BitpickError):
        return result
    if job.function == "calibrate":
        directory.watch.add([job.payload["out"]])
    notes = result.value if job.function == "convert" else result.value["notes"] if job.function in _NOTING else ()
    for note in notes:
        shop.note(note)
    if job.function in _PASSES:
        _note_tuning(shop, job, result)
    if job.function == "measure_tuning":
        _note_metrics(shop, result.value)
    if job.function != "verify":
        return result
    record = HopRecord.model_validate(result.value)
    others = [hop for hop in shop.run.model.hops if hop.name != record.name]
    directory.update(model=shop.run.model.model_copy(update={"hops": tuple(sorted([*others, record], key=_sort_key))}))
    if not record.passed:
        directory.save()
        return refuted.explain(record, inputs, shop)
    _add_form(shop, record.target)
    return result


def _note_tuning(shop: Workshop, job: Job, result: Outcome) -> None:
    """Note what a pass did to each layer, how it trained, and what it cost; nothing if it keeps the function."""
    if not result.value["layers"] and not result.value["training"]:
        return
    source, _, form = job.subject.partition(" → ")
    tuning = Tuning(
        form=form,
        source=source,
        samples=result.value["samples"],
        layers=result.value["layers"],
        training=result.value["training"],
        cpu_seconds=result.cpu_seconds,
    )
    _put_tuning(shop, tuning)


def _note_metrics(shop: Workshop, measured: Mapping[str, Any]) -> None:
    """Note the metric of a form that a pass wrote, beside that of the form it read."""
    tuning = next((each for each in shop.run.model.tunings if each.form == measured["form"]), None)
    if tuning is not None:
        _put_tuning(shop, tuning.model_copy(update=dict(measured)))
    _add_form(shop, measured["form"])


def _put_tuning(shop: Workshop, tuning: Tuning) -> None:
    others = (each for each in shop.run.model.tunings if each.form != tuning.form)
    tunings = tuple(sorted([*others, tuning], key=lambda each: each.form))
    shop.directory.update(model=shop.run.model.model_copy(update={"tunings": tunings}))


def _add_form(shop: Workshop, name: str) -> None:
    """Record a form whose conversion was verified or measured."""
    directory = shop.directory
    path = directory.form(form_of(name))
    directory.watch.add([path])
    form = FormRecord(path=path.relative_to(directory.root).as_posix(), sha256=sha256_of(path))
    model = shop.run.model
    directory.update(model=model.model_copy(update={"forms": model.forms | {name: form}}))
    directory.save()


def _sort_key(hop: HopRecord) -> tuple[int, tuple[str, ...]]:
    """Return a hop's sort key: hops of the user's graph first, then those of graphs that passes prepared."""
    form = form_of(hop.target)
    return list(Format).index(form.base), form.passes
