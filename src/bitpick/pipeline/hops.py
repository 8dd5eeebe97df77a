"""Note the outcomes of conversions in the run's record."""

from __future__ import annotations

from bitpick.errors import BitpickError
from bitpick.models.model import Format, form_of, sha256_of
from bitpick.pipeline import refuted
from bitpick.pipeline.inputs import Inputs
from bitpick.pipeline.job import Job
from bitpick.pipeline.schedule import Result
from bitpick.pipeline.workshop import Workshop
from bitpick.schema.hop import Hop as HopRecord
from bitpick.schema.run import FormRecord


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
    if job.function in ("convert", "apply_pass", "build"):
        for note in result.value["notes"] if job.function == "build" else result.value:
            shop.note(note)
    if job.function != "verify":
        return result
    record = HopRecord.model_validate(result.value)
    others = [hop for hop in shop.run.model.hops if hop.name != record.name]
    model = shop.run.model.model_copy(update={"hops": tuple(sorted([*others, record], key=_sort_key))})
    if not record.passed:
        directory.update(model=model)
        directory.save()
        return refuted.explain(record, inputs, shop)
    path = directory.form(form_of(record.target))
    directory.watch.add([path])
    form = FormRecord(path=path.relative_to(directory.root).as_posix(), sha256=sha256_of(path))
    directory.update(model=model.model_copy(update={"forms": model.forms | {record.target: form}}))
    directory.save()
    return result


def _sort_key(hop: HopRecord) -> tuple[int, tuple[str, ...]]:
    """Return a hop's sort key: hops of the user's graph first, then those of graphs that passes prepared."""
    form = form_of(hop.target)
    return list(Format).index(form.base), form.passes
