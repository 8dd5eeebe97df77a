"""Before any build: the data set, the calibration draw, and the model on its verified way to the reference graph."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bitpick.comparison import plan, schedule
from bitpick.comparison.job import FUNCTIONS, Job
from bitpick.comparison.listener import Listener
from bitpick.comparison.schedule import Result
from bitpick.comparison.store import Store
from bitpick.conversion import verify
from bitpick.conversion.route import route
from bitpick.data.dataset import Dataset, Samples
from bitpick.data.sampling import CalibrationDraw, draw, part
from bitpick.errors import BitpickError, DataError, ModelError
from bitpick.executors.executor import Executor
from bitpick.host import Host, installed_version
from bitpick.model import Format, Model, sha256_of
from bitpick.preprocessing import Preprocessing
from bitpick.result import CalibrationRecord, DataRecord, EvaluationRecord, FormRecord
from bitpick.result import Hop as HopRecord


class Preparation:
    """Loads the data and converts the model, noting both in the record of the run.

    Args:
        store: the run directory and the record of the run.
        host: this machine.
        executor: runs the jobs.
        parallel: how many jobs at once.
        listener: is told how it goes.
    """

    def __init__(self, store: Store, host: Host, executor: Executor, parallel: int, listener: Listener) -> None:
        self.store = store
        self.host = host
        self.run = store.run
        self._executor = executor
        self._parallel = parallel
        self._listener = listener

    def load(self, load_data: Callable[[], Dataset], preprocessing: Preprocessing) -> plan.Inputs:
        """Load the data set and draw the calibration samples."""
        self._listener.phase("loading the data set")
        dataset = load_data()
        request = self.run.request
        drawn = draw(dataset, request.calibration_size, request.seed)
        self.store.calibration_indices.parent.mkdir(exist_ok=True)
        np.save(self.store.calibration_indices, drawn.indices)
        self.run.data = _data_record(dataset, drawn, request.seed, preprocessing)
        identity = hashlib.sha256("\n".join([dataset.calibration.sha256, drawn.sha256, repr(preprocessing)]).encode())
        pool = dataset.calibration.samples
        evaluation = dataset.evaluation.samples.model_copy(update={"preprocessing": preprocessing})
        check, places = part(evaluation, request.target_samples, self.store.check_indices)
        return plan.Inputs(
            source=Path(request.model).absolute(),
            format=Format(self.run.model.format),
            classes=dataset.classes,
            calibration=Samples(
                inputs=pool.inputs,
                labels=pool.labels,
                indices=self.store.calibration_indices.absolute(),
                count=len(drawn.indices),
                sha256=identity.hexdigest(),
                preprocessing=preprocessing,
            ),
            evaluation=evaluation,
            check=check,
            check_places=places,
            threads=self.run.host.threads,
        )

    def to_reference(self, inputs: plan.Inputs) -> Model:
        """Bring the model to the clean float ONNX graph, each hop verified, and describe it.

        Raises:
            RequestError: the model cannot be read, or does not fit the data.
            RunError: a hop failed.
        """
        self._listener.phase("converting the model")
        given = self._given_forms(inputs)
        raw = inputs.path(Format.RAW_ONNX, self.store)
        environment = plan.runner_of(Format.RAW_ONNX)[0].environment
        _check_installed(inputs.format)
        first = [
            job for job in plan.conversions([Format.RAW_ONNX], inputs, self.store, given) if job.function == "convert"
        ]

        def vital(job: Job, result: Result) -> Result:
            result = self.converted(job, result, inputs)
            if isinstance(result, BitpickError):
                raise result
            return result

        # Alone and first: it opens the user's file.
        schedule.run(first, self._executor, self._parallel, self._listener.started, vital)
        told = self._executor.run(environment, f"{FUNCTIONS}:describe", {"source": str(raw)}).value
        name, shape = check_fit(told, self.run.model.source, inputs.evaluation, len(inputs.classes))
        jobs = [
            job
            for job in plan.conversions([Format.ONNX], inputs, self.store, given)
            if job.id not in {j.id for j in first}
        ]
        done = {job.id for job in first}
        jobs = [_without(job, done) for job in jobs]
        schedule.run(jobs, self._executor, self._parallel, self._listener.started, vital)
        clean = inputs.path(Format.ONNX, self.store)
        counts = self._executor.run(environment, f"{FUNCTIONS}:count", {"source": str(clean)}).value
        record = self.run.model
        record.parameters, record.macs = counts["parameters"], counts["macs"]
        self.store.settle()
        self.store.save()
        return Model(
            source=inputs.source,
            format=inputs.format,
            sha256=record.sha256,
            input_name=name,
            input_shape=shape,
            classes=len(inputs.classes),
            parameters=counts["parameters"],
            macs=counts["macs"],
        )

    def _given_forms(self, inputs: plan.Inputs) -> list[Format]:
        """The forms that an earlier run of the same request left, verified and unchanged; no others stay recorded."""
        record = self.run.model
        verified = {hop.target for hop in record.hops if hop.passed}
        given = [f for f in Format if f != inputs.format and f in verified and self.store.kept_form(f)]
        record.forms = {form: record.forms[form] for form in given}
        record.hops = [hop for hop in record.hops if hop.target in given]
        return given

    def converted(self, job: Job, result: Result, inputs: plan.Inputs) -> Result:
        """Note the outcome of a job of a conversion. A hop that did not pass becomes an error that says where."""
        self._listener.ended(job)
        if job.function != "verify" or isinstance(result, BitpickError):
            return result
        record = HopRecord.model_validate(result.value)
        order = list(Format)
        hops = [hop for hop in self.run.model.hops if hop.name != record.name] + [record]
        self.run.model.hops = sorted(hops, key=lambda hop: order.index(Format(hop.target)))
        if not record.passed:
            self.store.save()
            return verify.failure(record, self._locate(record, inputs))
        path = self.store.form(Format(record.target))
        self.run.model.forms[record.target] = FormRecord(
            path=path.relative_to(self.store.root).as_posix(), sha256=sha256_of(path)
        )
        self.store.save()
        return result

    def _locate(self, record: HopRecord, inputs: plan.Inputs) -> tuple[str, float] | None:
        """The first node at which the sides of a failed hop differ, where it can be found."""
        hops = route(Format(record.source), Format(record.target))
        if not hops or hops[0].trace is None:
            return None
        sides = []
        batch = self.store.outputs(Format.ONNX).with_name("trace_inputs.npy")
        np.save(batch, next(inputs.calibration.head(4).batches(4)))
        for form, function in zip((hops[0].source, hops[0].target), hops[0].trace, strict=True):
            out = batch.with_name(f"{form}.trace.npz")
            payload = {
                "function": function,
                "source": inputs.path(hops[0].source, self.store),
                "target": inputs.path(hops[0].target, self.store),
                "inputs": batch,
                "out": out,
            }
            try:
                names = self._executor.run(plan.runner_of(form)[0].environment, f"{FUNCTIONS}:trace", payload).value
            except BitpickError:
                return None
            with np.load(out) as arrays:
                sides.append(dict(zip(names, (arrays[f"arr_{i}"] for i in range(len(names))), strict=True)))
        return verify.first_difference(*sides)


def _without(job: Job, done: Collection[str]) -> Job:
    """The job without needs that are done."""
    return Job(
        job.id, job.environment, job.function, job.payload, tuple(n for n in job.needs if n not in done), job.subject
    )


def _data_record(dataset: Dataset, drawn: CalibrationDraw, seed: int, preprocessing: Preprocessing) -> DataRecord:
    return DataRecord(
        name=dataset.name,
        preprocessing=preprocessing.words,
        evaluation=EvaluationRecord(count=len(dataset.evaluation.labels), sha256=dataset.evaluation.sha256),
        calibration=CalibrationRecord(
            count=len(drawn.indices), seed=seed, sha256=drawn.sha256, per_class=drawn.per_class, overlap=drawn.overlap
        ),
    )


def _check_installed(source: Format) -> None:
    """Refuse a model whose conversion needs what is not installed."""
    for hop in route(source, Format.ONNX) or ():
        absent = [p for p in hop.packages if installed_version(p) is None]
        if absent:
            raise ModelError(
                f"the conversion {hop.name} needs {', '.join(absent)}, not installed",
                mend=f"pip install 'bitpick[{hop.environment}]', or give the model as .onnx",
            )


def check_fit(told: dict[str, Any], source: str, samples: Samples, classes: int) -> tuple[str, tuple[int, ...]]:
    """The model's input name and shape, where it fits the data set.

    Raises:
        ModelError: it has several inputs or outputs, or no score per class.
        DataError: the samples or the classes do not fit it.
    """
    for side in ("inputs", "outputs"):
        if len(told[side]) != 1:
            raise ModelError(f"the model {source} has {len(told[side])} {side}", expected="one input and one output")
    (name, shape, dtype), (output, scores, _) = told["inputs"][0], told["outputs"][0]
    # An integer input needs a scale and a zero point, which only LiteRT files have.
    if dtype != "float32" and not (source.endswith(Format.LITERT.suffix) and dtype in ("int8", "uint8")):
        raise ModelError(f"the input {name} of the model {source} is {dtype}", expected="a float32 input")
    if scores is None or len(scores) != 2 or scores[1] is None:
        raise ModelError(
            f"the output {output} of the model {source} has shape {_words(scores)}, not one score per class",
            expected=f"shape (batch, {classes})",
        )
    if scores[1] != classes:
        raise DataError(
            f"the model {source} gives {scores[1]} scores, and the data set has {classes} classes",
            expected="as many of each",
        )
    sample = next(samples.head(1).batches(1)).shape[1:]
    fixed = list(shape or [])[1:]
    if len(fixed) != len(sample) or any(
        want is not None and want != has for want, has in zip(fixed, sample, strict=True)
    ):
        raise DataError(
            f"the model {source} takes inputs of shape {_words(shape)}, and the samples have shape {tuple(sample)}",
            expected=f"samples of shape {_words(fixed)}",
        )
    top = int(samples.targets().max())
    if top >= classes:
        raise DataError(
            f"the data set has the label {top}, outside its {classes} classes", expected=f"labels 0 to {classes - 1}"
        )
    return name, tuple(sample)


def _words(shape: Sequence[int | None] | None) -> str:
    return "unknown" if shape is None else f"({', '.join('batch' if d is None else str(d) for d in shape)})"
