"""Before any build: the data set, the calibration draw, and the model on its verified way to the reference graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from bitpick.conversion.route import reference_of, route
from bitpick.datasets.dataset import Samples
from bitpick.datasets.sampling import draw, drawn_from, part
from bitpick.errors import BitpickError, ModelError
from bitpick.executors.executor import Executor, Outcome
from bitpick.measures import optimization
from bitpick.models.model import Format, Model, Signature, model_files, sha256_of
from bitpick.pipeline import fit, float_model, making, plan, refuted, schedule, suspicions
from bitpick.pipeline.arrays import read_outputs
from bitpick.pipeline.fit import LoadData
from bitpick.pipeline.form_job import FUNCTIONS
from bitpick.pipeline.forms import check_installed, measured, runner_of, signature_of
from bitpick.pipeline.inputs import Inputs
from bitpick.pipeline.job import Job
from bitpick.pipeline.listener import Listener
from bitpick.pipeline.request import refuse_quantized, settle
from bitpick.pipeline.schedule import Result
from bitpick.pipeline.store import Store
from bitpick.schema.hop import Hop as HopRecord
from bitpick.schema.run import FormRecord
from bitpick.targets.host import Host
from bitpick.tasks.task import Task

Check = Callable[[Task, Model], None]


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
        self._converted: set[str] = set()
        self._fitted: fit.Fitted | None = None

    def prepare(self, load_data: LoadData, check: Check = lambda *_: None) -> tuple[Inputs, Model]:
        """All that comes before any build; see `open`, `load`, `to_reference`, `settled` and `with_targets`.

        Args:
            load_data: gives the data set.
            check: refuses, by a `RequestError`, what only the task and the model tell; after it the run stays.
        """
        inputs = self.load(load_data, self.open(load_data))
        model = self.to_reference(inputs)
        inputs = self.settled(inputs)
        suspicions.look(self._executor, self.store, inputs, model.macs, self._listener)
        check(inputs.task, model)
        self.store.settle()
        self.store.save()
        return self.with_targets(inputs), model

    @property
    def source(self) -> Path:
        """The file that the run starts from: the user's own, or the one that `open` makes from it."""
        return making.place(making.source_of(self.run.request), self.store.form(Format(self.run.model.format)))

    def open(self, load_data: LoadData) -> Signature:
        """Bring the model to ONNX as its converter writes it, and tell what it takes and gives.

        Alone and first: it opens the user's file.

        Raises:
            RequestError: the model cannot be read.
            RunError: it cannot be converted.
        """
        self._listener.phase("reading the model")
        form = Format(self.run.model.format)
        check_installed(form)
        source, notes = making.make(
            making.source_of(self.run.request), self.store.form(form), self._executor, load_data
        )
        self._note(notes)
        self.store.watch.add(model_files(source))
        given = self._given_forms(form)
        for hop in route(form, Format.RAW_ONNX) or ():
            if hop.target in given:
                continue
            payload = {
                "source": source if hop.source == form else self.store.form(hop.source),
                "source_format": hop.source,
                "target_format": hop.target,
                "out": self.store.form(hop.target),
            }
            job = Job(f"convert:{hop.target}", hop.environment, "convert", payload, subject=hop.name, module=FUNCTIONS)
            self._listener.started(job)
            outcome = self._executor.run(job.environment, job.path, payload)
            self._listener.ended(job)
            self._note(outcome.value)
            self._converted.add(job.id)
        path, environment = self._raw
        if self._executor.run(environment, f"{FUNCTIONS}:is_quantized", {"source": str(path)}).value:
            refuse_quantized(self.run.request.model)
        self._check_digest()
        return signature_of(path, self._executor, environment)

    @property
    def _raw(self) -> tuple[Path, str]:
        """The model as its converter writes it, without a way to ONNX the file itself; and where that is run."""
        form = Format(self.run.model.format)
        raw = Format.RAW_ONNX if reference_of(form) == Format.ONNX else form
        return self.source if form == raw else self.store.form(raw), runner_of(raw)[0].environment

    def _check_digest(self) -> None:
        """See that what was just opened is the model of the request.

        Raises:
            ModelError: it was replaced since.
        """
        request = self.run.request
        if making.source_of(request).sha256() != request.model_sha256:
            raise ModelError(
                f"the model {request.model} changed while it was being read",
                mend="run the command again when nothing writes to it any more",
            )

    def load(self, load_data: LoadData, signature: Signature) -> Inputs:
        """Load the data set, see what it is for, and draw the calibration samples.

        Raises:
            RequestError: there is no such data set, or the model cannot take it.
        """
        self._listener.phase("loading the data set")
        request = self.run.request
        found = fit.fitted(load_data, signature, request.model, request.judging)
        if not found.chosen.unsure:
            settle(request, found.task)
        self._fitted = found
        drawn = draw(found.dataset, request.calibration_size, request.seed, found.names)
        raw, environment = self._raw
        evaluation = measured(found.evaluation, raw, self._executor, environment)
        pool = found.calibration.model_copy(update={"activations": evaluation.activations})
        self.run.task = found.task.kind
        self.run.data = fit.record(found, drawn, request.seed)
        for note in self.run.data.notes:
            self._listener.note(note)
        self._note(fit.fixed_sizes(signature, found.evaluation))
        self.store.forget_earlier()
        calibration = drawn_from(pool, drawn, self.store.indices("calibration"))
        check, places = part(evaluation, request.target_samples, self.store.indices("check"))
        rewriting, _ = part(evaluation, optimization.checked(evaluation.count), self.store.indices("rewriting"))
        self.store.watch.add([*calibration.files, *evaluation.files, *check.files, *rewriting.files])
        return Inputs(
            source=self.source,
            format=Format(self.run.model.format),
            signature=signature,
            task=found.task,
            interface=fit.interface(signature, evaluation, found.task),
            calibration=calibration,
            evaluation=evaluation,
            check=check,
            check_places=places,
            rewriting=rewriting,
            threads=self.run.host.threads,
            digests=drawn.evaluated,
        )

    def to_reference(self, inputs: Inputs) -> Model:
        """Bring the model to the clean float ONNX graph, each hop verified, and describe it.

        Raises:
            RunError: a hop failed.
        """
        self._listener.phase("converting the model")
        given = self._given_forms(inputs.format)

        def vital(job: Job, result: Result) -> Result:
            result = self.converted(job, result, inputs)
            if isinstance(result, BitpickError):
                raise result
            return result

        reference = reference_of(inputs.format)
        jobs = plan.conversions([reference], inputs, self.store, given)
        jobs = [plan.without(job, self._converted) for job in jobs if job.id not in self._converted]
        schedule.run(jobs, self._executor, self._parallel, self._listener.started, vital)
        counts = self._float("count", inputs, samples=inputs.check.head(1)).value
        self._check_independence(inputs)
        record = self.run.model
        record.parameters, record.macs = counts["parameters"], counts["macs"]
        return Model(
            source=inputs.source,
            format=inputs.format,
            sha256=record.sha256,
            signature=inputs.signature,
            parameters=counts["parameters"],
            macs=counts["macs"],
        )

    def _check_independence(self, inputs: Inputs) -> None:
        """Refuse a model whose answer for a sample depends on the other samples in its batch.

        Raises:
            RequestError: it does.
            RunError: the float model cannot be run.
        """
        names = [tensor.name for tensor in inputs.signature.outputs]
        told = {"threads": inputs.threads, "names": names, "model": Path(self.run.request.model).name}
        self._float("check_independence", inputs, samples=inputs.evaluation, **told)

    def settled(self, inputs: Inputs) -> Inputs:
        """The inputs with a task that can judge; some must see what the float model gives for some samples.

        What was guessed is noted, and what was left to the task is filled in.

        Raises:
            RequestError: with that the task cannot be.
            RunError: the float model cannot be run.
        """
        assert self._fitted is not None
        assert self.run.data is not None
        if self._fitted.unsettled:
            self._run_float("run_form", inputs, inputs.check, self.store.reference_outputs)
            self._fitted = self._fitted.settled(inputs.check, read_outputs(self.store.reference_outputs))
        task = self._fitted.task
        settle(self.run.request, task)
        self.run.task = task.kind
        for note in self._fitted.notes:
            self.run.data.notes.append(note)
            self._listener.note(note)
        return replace(inputs, task=task, interface=fit.interface(inputs.signature, inputs.evaluation, task))

    def with_targets(self, inputs: Inputs) -> Inputs:
        """The inputs, where there are no labels with what the float model answers in their place.

        Raises:
            RunError: the float model cannot be run.
        """
        if inputs.evaluation.labels is not None or not inputs.task.against_float:
            return inputs
        out = self.store.reference_answers.absolute()
        self._run_float("answer", inputs, inputs.evaluation, out, task=inputs.task)
        self.store.watch.add([out])
        parts = (inputs.evaluation, inputs.check, inputs.rewriting)
        evaluation, check, rewriting = (each.model_copy(update={"labels": out}) for each in parts)
        return replace(inputs, evaluation=evaluation, check=check, rewriting=rewriting)

    def _run_float(self, function: str, inputs: Inputs, samples: Samples, out: Path, **more: Task) -> None:
        """Run the reference graph on samples, and keep what it gives in a file."""
        self._listener.phase("running the float model")
        told = {"threads": inputs.threads, "shapes": inputs.shapes, "out": out.absolute(), **more}
        self._float(function, inputs, samples=samples, **told)

    def _float(self, function: str, inputs: Inputs, **payload: object) -> Outcome:
        return float_model.run(self._executor, self.store, inputs, function, **payload)

    def _note(self, notes: Sequence[str]) -> None:
        """Keep what was assumed about the model, and tell it once."""
        for note in notes:
            if note not in self.run.model.notes:
                self.run.model.notes.append(note)
                self._listener.note(note)

    def _given_forms(self, source: Format) -> list[Format]:
        """The forms that an earlier run of the same request left, verified and unchanged; no others stay recorded."""
        record = self.run.model
        verified = {hop.target for hop in record.hops if hop.passed}
        given = [f for f in Format if f != source and f in verified and self.store.kept_form(f)]
        self.store.watch.add(self.store.form(form) for form in given)
        record.forms = {form: record.forms[form] for form in given}
        record.hops = [hop for hop in record.hops if hop.target in given]
        return given

    def converted(self, job: Job, result: Result, inputs: Inputs) -> Result:
        """Note the outcome of a job of a conversion. A hop that did not pass becomes an error that says where.

        Raises:
            RequestError: a file that jobs read changed, so that nobody can say what this one read.
        """
        self.store.watch.check()
        self._listener.ended(job)
        if job.function == "calibrate" and not isinstance(result, BitpickError):
            self.store.watch.add([job.payload["out"]])
        if isinstance(result, BitpickError):
            return result
        if job.function == "convert":
            self._note(result.value)
        if job.function == "build":
            self._note(result.value["notes"])
        if job.function != "verify":
            return result
        record = HopRecord.model_validate(result.value)
        order = list(Format)
        hops = [hop for hop in self.run.model.hops if hop.name != record.name] + [record]
        self.run.model.hops = sorted(hops, key=lambda hop: order.index(Format(hop.target)))
        if not record.passed:
            self.store.save()
            return refuted.explained(record, inputs, self.store, self._executor)
        path = self.store.form(Format(record.target))
        self.store.watch.add([path])
        self.run.model.forms[record.target] = FormRecord(
            path=path.relative_to(self.store.root).as_posix(), sha256=sha256_of(path)
        )
        self.store.save()
        return result
