"""Prepare a run: load the data, draw the calibration set, and convert the model to its reference graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from bitpick.conversion.route import reference_of, route
from bitpick.datasets.dataset import Samples
from bitpick.datasets.sampling import draw, drawn_from, part
from bitpick.errors import BitpickError, ModelError
from bitpick.measures import optimization
from bitpick.models.model import Format, Model, Signature, model_files
from bitpick.pipeline import fit, float_model, hops, making, plan, schedule, suspicions
from bitpick.pipeline.arrays import read_outputs
from bitpick.pipeline.fit import LoadData
from bitpick.pipeline.form_job import FUNCTIONS
from bitpick.pipeline.forms import check_installed, convert, runner_of, signature_of, with_activations
from bitpick.pipeline.inputs import Inputs
from bitpick.pipeline.job import Job
from bitpick.pipeline.request import refuse_quantized, settled
from bitpick.pipeline.schedule import Result
from bitpick.pipeline.workshop import Workshop
from bitpick.tasks.task import Task

Check = Callable[[Task, Model], None]


class Preparation:
    """Loads the data and converts the model, and notes both in the run's record.

    Args:
        shop: the run's workshop.
    """

    def __init__(self, shop: Workshop) -> None:
        self._shop = shop
        self._directory = shop.directory
        self._fitted: fit.Fitted | None = None

    def prepare(self, load_data: LoadData, check: Check = lambda *_: None) -> tuple[Inputs, Model]:
        """Do everything before the first build; see `open`, `load`, `to_reference`, `settled` and `with_targets`.

        Args:
            load_data: loads the data set.
            check: raises a `RequestError` if the task or the model does not fit the request; then nothing is kept.
        """
        inputs = self.load(load_data, self.open(load_data))
        model = self.to_reference(inputs)
        inputs = self.settled(inputs)
        suspicions.look(self._shop, inputs, model.macs)
        check(inputs.task, model)
        self._directory.settle()
        self._directory.save()
        return self.with_targets(inputs), model

    @property
    def source(self) -> Path:
        """The file that the run starts from: the user's own, or the one that `open` makes from it."""
        return making.place(making.source_of(self._shop.run.request), self._directory.form(self._format))

    @property
    def _format(self) -> Format:
        return Format(self._shop.run.model.format)

    def open(self, load_data: LoadData) -> Signature:
        """Convert the model to raw ONNX, as its converter writes it, and return its inputs and outputs.

        This runs first and alone, because it opens the user's file.

        Raises:
            RequestError: the model cannot be read.
            RunError: it cannot be converted.
        """
        shop, request = self._shop, self._shop.run.request
        shop.listener.phase("reading the model")
        check_installed(self._format)
        user_source = making.source_of(request)
        source, notes = making.make(user_source, self._directory.form(self._format), shop.runner, load_data)
        self._note(notes)
        self._directory.watch.add(model_files(source))
        for hop in route(self._format, Format.RAW_ONNX) or ():
            start = source if hop.source == self._format else self._directory.form(hop.source)
            self._note(shop.do(convert(hop, start, self._directory.form(hop.target), None)).value)
        path, environment = self._raw
        if shop.runner.run(Job("is_quantized", environment, FUNCTIONS, "is_quantized", {"source": path})).value:
            refuse_quantized(request.model)
        self._check_digest()
        return signature_of(path, shop.runner, environment)

    @property
    def _raw(self) -> tuple[Path, str]:
        """The raw ONNX model, or the file itself if it does not convert to ONNX, and the environment that runs it."""
        raw = Format.RAW_ONNX if reference_of(self._format) == Format.ONNX else self._format
        path = self.source if self._format == raw else self._directory.form(raw)
        return path, runner_of(raw)[0].environment

    def _check_digest(self) -> None:
        """Check that the file just opened is the model of the request.

        Raises:
            ModelError: the file has changed.
        """
        request = self._shop.run.request
        if making.source_of(request).sha256() != request.model_sha256:
            raise ModelError(
                f"the model {request.model} changed while it was being read",
                fix="run the command again when nothing writes to it any more",
            )

    def load(self, load_data: LoadData, signature: Signature) -> Inputs:
        """Load the data set, choose the task, and draw the calibration samples.

        Raises:
            RequestError: the data set does not exist, or the model cannot take it.
        """
        shop, directory, request = self._shop, self._directory, self._shop.run.request
        shop.listener.phase("loading the data set")
        fitted = fit.fitted(load_data, signature, request.model, request.judging)
        if not fitted.chosen.unsure:
            directory.update(request=settled(request, fitted.task))
        self._fitted = fitted
        drawn = draw(fitted.dataset, request.calibration_size, request.seed, fitted.names)
        raw, environment = self._raw
        evaluation = with_activations(fitted.evaluation, raw, shop.runner, environment)
        pool = fitted.calibration.model_copy(update={"activations": evaluation.activations})
        data = fit.record(fitted, drawn, request.seed)
        directory.update(task=fitted.task.kind, data=data)
        for note in data.notes:
            shop.listener.note(note)
        self._note(fit.fixed_sizes(signature, fitted.evaluation))
        calibration = drawn_from(pool, drawn, directory.indices("calibration"))
        check, places = part(evaluation, request.target_samples, directory.indices("check"))
        rewriting, _ = part(evaluation, optimization.checked(evaluation.count), directory.indices("rewriting"))
        directory.watch.add([*calibration.files, *evaluation.files, *check.files, *rewriting.files])
        return Inputs(
            source=self.source,
            format=self._format,
            signature=signature,
            task=fitted.task,
            interface=fit.interface(signature, evaluation, fitted.task),
            calibration=calibration,
            training=pool,
            training_minutes=request.training_minutes,
            seed=request.seed,
            evaluation=evaluation,
            check=check,
            check_places=places,
            rewriting=rewriting,
            threads=shop.run.host.threads,
            digests=drawn.evaluated,
        )

    def to_reference(self, inputs: Inputs) -> Model:
        """Convert the model to the clean float ONNX graph, verify each hop, and describe the model.

        Raises:
            RunError: a hop failed.
        """
        shop = self._shop
        shop.listener.phase("converting the model")

        def raise_failure(job: Job, result: Result) -> Result:
            result = hops.note_outcome(shop, inputs, job, result)
            if isinstance(result, BitpickError):
                raise result
            return result

        jobs = plan.conversions([reference_of(inputs.format)], inputs, self._directory)
        schedule.run(jobs, shop.runner, shop.parallel, shop.listener, raise_failure)
        counts = float_model.run(shop, inputs, "count", samples=inputs.check.head(1))
        self._check_independence(inputs)
        record = shop.run.model.model_copy(update=counts)
        self._directory.update(model=record)
        return Model(
            source=inputs.source,
            format=inputs.format,
            sha256=record.sha256,
            signature=inputs.signature,
            parameters=counts["parameters"],
            macs=counts["macs"],
            passes=self._passes(inputs),
        )

    def _passes(self, inputs: Inputs) -> frozenset[str]:
        """Return the passes that can prepare the model."""
        if reference_of(inputs.format) != Format.ONNX:
            return frozenset()
        return frozenset(float_model.run(self._shop, inputs, "applicable"))

    def _check_independence(self, inputs: Inputs) -> None:
        """Refuse a model whose answer for a sample depends on the other samples in its batch.

        Raises:
            RequestError: the answers depend on the batch.
            RunError: the float model cannot be run.
        """
        names = [tensor.name for tensor in inputs.signature.outputs]
        payload = {"threads": inputs.threads, "names": names, "model": Path(self._shop.run.request.model).name}
        float_model.run(self._shop, inputs, "check_independence", samples=inputs.evaluation, **payload)

    def settled(self, inputs: Inputs) -> Inputs:
        """Return the inputs with a settled task; some tasks depend on the float model's outputs.

        Guesses are noted, and what the request left open is filled in.

        Raises:
            RequestError: the task does not fit the outputs.
            RunError: the float model cannot be run.
        """
        assert self._fitted is not None
        if self._fitted.unsettled:
            out = self._directory.reference_outputs
            self._run_float("run_form", inputs, inputs.check, out)
            self._fitted = self._fitted.settled(inputs.check, read_outputs(out))
        task = self._fitted.task
        self._directory.update(request=settled(self._shop.run.request, task), task=task.kind)
        for note in self._fitted.notes:
            self._shop.remark(note)
        return replace(inputs, task=task, interface=fit.interface(inputs.signature, inputs.evaluation, task))

    def with_targets(self, inputs: Inputs) -> Inputs:
        """Return the inputs; if there are no labels, the float model's answers take their place.

        Raises:
            RunError: the float model cannot be run.
        """
        if inputs.evaluation.labels is not None or not inputs.task.against_float:
            return inputs
        out = self._directory.reference_answers.absolute()
        self._run_float("answer", inputs, inputs.evaluation, out, task=inputs.task)
        self._directory.watch.add([out])
        parts = (inputs.evaluation, inputs.check, inputs.rewriting)
        evaluation, check, rewriting = (samples.model_copy(update={"labels": out}) for samples in parts)
        return replace(inputs, evaluation=evaluation, check=check, rewriting=rewriting)

    def _run_float(self, function: str, inputs: Inputs, samples: Samples, out: Path, **more: Task) -> None:
        """Run the reference graph on samples, and save its outputs in a file."""
        self._shop.listener.phase("running the float model")
        payload = {"threads": inputs.threads, "shapes": inputs.shapes, "out": out.absolute(), **more}
        float_model.run(self._shop, inputs, function, samples=samples, **payload)

    def _note(self, notes: Sequence[str]) -> None:
        for note in notes:
            self._shop.note(note)
