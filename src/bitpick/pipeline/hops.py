"""What conversions gave, noted in the record of the run."""

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


def noted(shop: Workshop, inputs: Inputs, job: Job, result: Result) -> Result:
    """Note the outcome of a job. A hop that did not pass becomes an error that says where.

    Raises:
        RequestError: a file that jobs read changed, so that nobody can say what this one read.
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
    kept = [hop for hop in shop.run.model.hops if hop.name != record.name]
    model = shop.run.model.model_copy(update={"hops": tuple(sorted([*kept, record], key=_place))})
    if not record.passed:
        directory.update(model=model)
        directory.save()
        return refuted.explained(record, inputs, shop)
    path = directory.form(form_of(record.target))
    directory.watch.add([path])
    form = FormRecord(path=path.relative_to(directory.root).as_posix(), sha256=sha256_of(path))
    directory.update(model=model.model_copy(update={"forms": model.forms | {record.target: form}}))
    directory.save()
    return result


def _place(hop: HopRecord) -> tuple[int, tuple[str, ...]]:
    """Where a hop stands among others: the user's graph first, then what passes made of it."""
    form = form_of(hop.target)
    return list(Format).index(form.base), form.passes
