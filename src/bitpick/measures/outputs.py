"""Run samples through a build's files in its own runtime."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.datasets.dataset import Samples
from bitpick.engines.engine import Session
from bitpick.errors import EngineError, ModelError
from bitpick.models.model import fits
from bitpick.preprocessing import Arrays
from bitpick.tasks.task import Answers, Targets, Task

Shapes = Sequence[tuple[int | None, ...] | None]
"""The shape of one sample of each output; None is not checked."""
EVALUATION_BATCH = 250  # PyTorch takes a third longer for larger batches: their tensors are mapped anew each time
_TOGETHER = 8  # samples in the batch of `check_independence`
_IN_MEMORY = 64 * 2**20  # the most bytes of an output that is kept in memory
# Kernels for several samples sum in another order than those for one, which changes little; batch statistics change
# outputs by percents.
TOGETHER_LIMIT = 1e-3
QUANTIZED_LIMIT = 0.05
"""For models that may be quantized: a sum that rounds differently moves a number by one step of its grid."""


def batches(session: Session, samples: Samples, shapes: Shapes) -> Iterator[tuple[Arrays, Arrays]]:
    """Run samples through an open build, batch by batch, or one by one if the build requires it.

    Args:
        session: the build.
        samples: the samples.
        shapes: the expected shape of one sample of each output; None is not checked.

    Yields:
        The inputs and the outputs of a batch.

    Raises:
        EngineError: an output has another shape, or numbers that are not finite.
    """
    done = 0
    for inputs in samples.batches(1 if session.one_at_a_time else samples.at_once(EVALUATION_BATCH)):
        outputs = session.outputs(session.run(session.prepare(inputs)))
        count = len(inputs[0])
        _check(outputs, shapes, count, done)
        yield inputs, outputs
        done += count


def all_outputs(session: Session, samples: Samples, shapes: Shapes, folder: Path | None = None) -> Arrays:
    """Return all outputs, each of shape (samples.count, …), float32; see `batches` and `_concatenated`."""
    return _concatenated((outputs for _, outputs in batches(session, samples, shapes)), samples.count, folder)


def answers_and_outputs(
    session: Session, samples: Samples, shapes: Shapes, task: Task, folder: Path | None = None
) -> tuple[Answers, Arrays]:
    """Return a build's answers and all its outputs, of shape (samples.count, …); see `batches` and `_concatenated`."""
    labels = None if samples.labels is None else samples.targets()

    def both() -> Iterator[Arrays]:
        done = 0
        for inputs, outputs in batches(session, samples, shapes):
            window = slice(done, done + len(inputs[0]))
            yield (task.answers(inputs, outputs, None if labels is None else labels[window]), *outputs)
            done = window.stop

    answers, *outputs = _concatenated(both(), samples.count, folder)
    return answers, tuple(outputs)


def _concatenated(parts: Iterator[Arrays], count: int, folder: Path | None) -> Arrays:
    """Concatenate batches. They are copied, because a view would keep its whole base array in memory.

    Large outputs, such as masks, go to unnamed files in `folder`, by default the folder for temporary files.
    """
    arrays: Arrays = ()
    done = 0
    for part in parts:
        arrays = arrays or tuple(_empty((count, *batch.shape[1:]), batch.dtype, folder) for batch in part)
        for array, batch in zip(arrays, part, strict=True):
            array[done : done + len(batch)] = batch
        done += len(part[0])
    return arrays


def _empty(shape: tuple[int, ...], dtype: np.dtype[Any], folder: Path | None) -> NDArray[Any]:
    if math.prod(shape) * dtype.itemsize <= _IN_MEMORY:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile(dir=folder) as file:
        return np.asarray(np.memmap(file, dtype, "w+", shape=shape))  # the file is deleted with the array


def check_independence(
    session: Session, samples: Samples, names: Sequence[str], source: str, limit: float = TOGETHER_LIMIT
) -> None:
    """Refuse a model whose output for a sample depends on the rest of its batch, because evaluation uses batches.

    Args:
        session: the model; the check is skipped if it runs one sample at a time.
        samples: the first few are run in one batch, and one by one.
        names: of the outputs.
        source: the model, as messages call it.
        limit: how much an output may differ, as a share of its largest number.

    Raises:
        ModelError: an output does not have one row for each sample, or the row differs between a batch and a single
            sample.
    """
    if session.one_at_a_time:
        return
    count = min(samples.count, max(2, samples.at_once(_TOGETHER)))
    batch = next(samples.head(count).batches(count))
    batched, repeated_run = (session.outputs(session.run(session.prepare(batch))) for _ in range(2))
    for place in range(count):
        alone = session.outputs(session.run(session.prepare(tuple(each[place : place + 1] for each in batch))))
        for name, many, repeated, one in zip(names, batched, repeated_run, alone, strict=True):
            if many.shape[:1] != (count,) or one.shape != (1, *many.shape[1:]):
                raise ModelError(
                    f"the output {name} of {source} does not have one row for each sample: its shape is {many.shape} "
                    f"for {count} samples, and {one.shape} for one",
                    expected="outputs whose first axis is the batch, and whose other axes are the same for all samples",
                    fix="cut the model before the step that selects or joins rows, and do that step after it",
                )
            difference = _distance(many[place : place + 1], one, many)
            if difference > limit and _distance(many, repeated, many) > limit:
                raise ModelError(
                    f"{source} gives a different answer each time: {name} {_apart(difference)} for the same samples",
                    expected="a model in evaluation mode, without random numbers",
                    fix="call model.eval() (PyTorch) or pass training=False (Keras) before you export it",
                )
            if difference > limit:
                raise ModelError(
                    f"the answer of {source} for a sample depends on the other samples in its batch: alone, {name} of "
                    f"sample {place} {_apart(difference)}",
                    expected="a model whose answer for a sample does not depend on the others",
                    fix="call model.eval() (PyTorch) or pass training=False (Keras) before you export it; statistics "
                    "over the batch cannot be used once a model is deployed",
                )


def _apart(difference: float) -> str:
    """Describe a difference between two outputs."""
    if difference == float("inf"):
        return "has other numbers that are not finite"
    return f"differs by up to {100 * difference:.2g}% of its largest number"


def _distance(one: NDArray[np.float32], other: NDArray[np.float32], scale: NDArray[np.float32]) -> float:
    """Return the largest difference as a share of the largest number; infinite if other numbers are not finite."""
    finite = np.isfinite(one) & np.isfinite(other)
    if not np.array_equal(np.where(finite, 0, one), np.where(finite, 0, other), equal_nan=True):
        return float("inf")
    largest = float(np.abs(scale, where=np.isfinite(scale), out=np.zeros_like(scale)).max(initial=0.0))
    difference = float(np.abs(np.where(finite, one, 0) - np.where(finite, other, 0)).max(initial=0.0))
    return difference / largest if largest else 0.0


def targets_of(samples: Samples) -> Targets:
    """Return what answers are compared with: the labels, or zeros if the samples have none."""
    return np.zeros(samples.count, np.int64) if samples.labels is None else samples.targets()


def _check(outputs: Arrays, shapes: Shapes, count: int, done: int) -> None:
    if len(outputs) != len(shapes):
        raise EngineError(f"the build gives {len(outputs)} outputs", expected=f"{len(shapes)}")
    for output, shape in zip(outputs, shapes, strict=True):
        if output.shape[:1] != (count,) or not fits(output.shape[1:], shape):
            wanted = ", ".join(["", *("any" if d is None else str(d) for d in shape or ())])
            raise EngineError(
                f"the build gives outputs of shape {output.shape} for {count} samples", expected=f"({count}{wanted})"
            )
        finite = np.isfinite(output).reshape(count, -1).all(axis=1)
        if not finite.all():
            bad = done + int(np.flatnonzero(~finite)[0])
            raise EngineError(f"the build gives numbers that are not finite, first for sample {bad}")
