"""Check that a model can take a data set, and choose the task of the two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np

from bitpick.datasets.dataset import Dataset, Samples, Split
from bitpick.datasets.sampling import CalibrationDraw
from bitpick.errors import DataError, ModelError
from bitpick.models.interface import Input, Interface, Output
from bitpick.models.model import Signature, Tensor, fits
from bitpick.preprocessing import Arrays, Dtype, Preprocessing
from bitpick.schema.data import CalibrationRecord, DataRecord, EvaluationRecord
from bitpick.schema.judging import Judging
from bitpick.tasks import registry
from bitpick.tasks.case import Case, FloatRun
from bitpick.tasks.registry import Chosen
from bitpick.tasks.task import Task

LoadData = Callable[[Signature], Dataset]
"""Loads the data set for a model with this signature."""


@dataclass(frozen=True)
class Fitted:
    """A data set arranged for a model, and the task.

    Attributes:
        dataset: the data set.
        names: the names of its inputs, in the model's order.
        case: the facts that the task is chosen from.
        chosen: the chosen task.
    """

    dataset: Dataset
    names: tuple[str, ...]
    case: Case
    chosen: Chosen

    @property
    def task(self) -> Task:
        """The task."""
        return self.chosen.task

    @property
    def unsettled(self) -> bool:
        """Whether the task depends on the float model's outputs."""
        return self.chosen.unsure or self.task.unsettled

    def settled(self, samples: Samples, outputs: Arrays) -> Fitted:
        """Return a copy whose task takes the float model's outputs into account.

        Args:
            samples: some samples of the evaluation set.
            outputs: the model's outputs for them, each of shape (samples.count, …).

        Raises:
            RequestError: the task does not fit these outputs, or no task does.
        """
        case = replace(self.case, float_run=FloatRun(samples, outputs))
        chosen = registry.choose(case) if self.chosen.unsure else self.chosen
        task = chosen.task
        if task.unsettled:
            task = task.settled(outputs, None if samples.labels is None else samples.targets())
        return replace(self, case=case, chosen=replace(chosen, task=task))

    @property
    def notes(self) -> list[str]:
        """Notes on the settled task: how it was guessed, and what builds are compared with."""
        notes = [self.chosen.note] if self.chosen.note else []
        if self.task.against_float and self.evaluation.labels is None:
            notes.append("no labels: builds are compared with the float model's answers; name labels with --labels")
        return notes

    @property
    def evaluation(self) -> Samples:
        """All samples to evaluate on."""
        return self._samples(self.dataset.evaluation)

    @property
    def calibration(self) -> Samples:
        """All samples that calibration samples are drawn from."""
        return self._samples(self.dataset.calibration)

    def _samples(self, split: Split) -> Samples:
        samples = self.dataset.samples(split, self.names)
        return samples.model_copy(update={"values": self.dataset.values}) if self.task.sees_values else samples


def fitted(load_data: LoadData, signature: Signature, source: str, judging: Judging | None = None) -> Fitted:
    """Load a data set for a model, and choose the task.

    Args:
        load_data: loads the data set.
        signature: the model's inputs and outputs.
        source: the model's name in messages.
        judging: how the user wants builds to be judged, if they say so.

    Raises:
        RequestError: the data set does not exist, the model cannot take it, or no output can be compared with labels.
    """
    dataset = load_data(signature)
    names = _arranged(dataset, signature, source)
    dataset = replace(dataset, preprocessing=_cast(dataset, names, signature, source))
    evaluation = dataset.samples(dataset.evaluation, names)
    _check(evaluation, signature, source)
    judging = judging or Judging()
    if judging.task in registry.WITHOUT_LABELS and evaluation.labels is not None:
        note = f"the labels are not used: the task {judging.task} compares with the float model's outputs"
        dataset = replace(dataset.without_labels(), notes=(*dataset.notes, note))
        evaluation = dataset.samples(dataset.evaluation, names)
    labels = None if evaluation.labels is None else evaluation.targets()
    case = Case(signature, dataset.classes, labels, source, judging, _one_class(dataset.calibration))
    return Fitted(dataset, names, case, registry.choose(case))


def _one_class(split: Split) -> bool:
    """Whether all samples of a split have the same label."""
    labels = split.labels
    return labels is not None and labels.ndim == 1 and len(labels) > 1 and bool((labels == labels[0]).all())


def record(fitted: Fitted, drawn: CalibrationDraw, seed: int) -> DataRecord:
    """Return the record of a run's data set and calibration set."""
    evaluation, dataset = fitted.evaluation, fitted.dataset
    return DataRecord(
        name=dataset.name,
        notes=tuple(dataset.notes),
        preprocessing="; ".join(dict.fromkeys(preprocessing.words for preprocessing in evaluation.preprocessing)),
        evaluation=EvaluationRecord(count=evaluation.count, sha256=evaluation.sha256),
        calibration=CalibrationRecord(
            count=len(drawn.indices),
            seed=seed,
            sha256=drawn.sha256,
            split_sha256=dataset.calibration.sha256,
            per_class=drawn.per_class,
            overlap=drawn.overlap,
        ),
    )


def fixed_sizes(signature: Signature, samples: Samples) -> list[str]:
    """Return a note for each input with a free axis other than the batch."""
    return [
        f"the input {tensor} has free sizes: engines that need fixed ones, such as LiteRT, get {_shape_text(shape)}, "
        "the shape of the samples"
        for tensor, shape in zip(signature.inputs, samples.shapes, strict=True)
        if tensor.shape is not None and None in tensor.shape
    ]


def interface(signature: Signature, samples: Samples, task: Task) -> Interface:
    """Return what a deployer must know about every build of a model, including the samples' preprocessing."""
    batch = next(samples.head(1).batches(1))
    files = [np.load(path, mmap_mode="r") for path in samples.inputs]
    inputs = zip(signature.inputs, samples.preprocessing, batch, files, strict=True)
    return Interface(
        inputs=tuple(
            Input(
                name=tensor.name,
                shape=(None,) * (array.ndim - 1) if tensor.shape is None else tensor.shape,
                dtype=tensor.dtype,
                preprocessing=preprocessing,
                stored=file.dtype.name,
                stored_shape=file.shape[1:],
            )
            for tensor, preprocessing, array, file in inputs
        ),
        outputs=tuple(Output(name=t.name, shape=t.shape, dtype=t.dtype) for t in signature.outputs),
        task=task.kind,
        output=getattr(task, "output", 0),
        classes=() if getattr(task, "numbers", False) else getattr(task, "classes", ()),
        threshold=threshold if (threshold := getattr(task, "threshold", None)) is not None else 0.5,
    )


def _arranged(dataset: Dataset, signature: Signature, source: str) -> tuple[str, ...]:
    """Return the names of a data set's inputs in the model's order: matched by name, else in their own order."""
    names, wanted = tuple(dataset.calibration.paths), tuple(tensor.name for tensor in signature.inputs)
    if set(wanted) <= set(names):
        return wanted
    if len(names) != len(wanted):
        takes = f"{len(wanted)} input{'' if len(wanted) == 1 else 's'} ({', '.join(wanted)})"
        raise DataError(
            f"the model {source} takes {takes}, and {dataset.name} has {len(names)} ({', '.join(names)})",
            expected="an array for each input, by its name",
        )
    return names


def _cast(dataset: Dataset, names: Sequence[str], signature: Signature, source: str) -> dict[str, Preprocessing]:
    """Return the preprocessing of each input, with the dtype that the model takes."""
    preprocessing = {name: dataset.preprocessing.get(name, Preprocessing()) for name in names}
    for name, tensor in zip(names, signature.inputs, strict=True):
        if tensor.dtype not in get_args(Dtype):
            raise ModelError(
                f"the input {tensor.name} of the model {source} is {tensor.dtype}", expected=", ".join(get_args(Dtype))
            )
        preprocessing[name] = preprocessing[name].model_copy(update={"dtype": tensor.dtype})
    return preprocessing


def _check(samples: Samples, signature: Signature, source: str) -> None:
    """Refuse samples whose shapes do not match the model's."""
    for tensor, batch in zip(signature.inputs, next(samples.head(1).batches(1)), strict=True):
        if not fits(batch.shape[1:], tensor.shape):
            raise DataError(
                f"the model {source} takes {tensor}, and the samples have shape {batch.shape[1:]}",
                expected=f"samples of shape {_shape_text(tensor.shape)}",
                fix=_fix(tensor, batch.shape[1:]),
            )


def _fix(tensor: Tensor, shape: tuple[int, ...]) -> str:
    """Suggest what would make the samples fit; empty if nothing simple would."""
    wanted = tensor.shape
    if wanted is None or len(wanted) != len(shape) or len(shape) < 2:
        return ""
    if fits((shape[-1], *shape[:-1]), wanted):
        return "the channels are last, and the model takes them first: --layout channels-first"
    if len(shape) == 3:
        return "pictures in folders are resized as they are read; arrays are saved as the model takes them"
    return ""


def _shape_text(shape: Sequence[int | None] | None) -> str:
    return "unknown" if shape is None else f"({', '.join('any' if size is None else str(size) for size in shape)})"
