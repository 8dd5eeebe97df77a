"""What a build gives for samples, on its files, in its own runtime."""

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
"""Of one sample of each output; None is not checked."""
EVALUATION_BATCH = 500
_TOGETHER = 8  # samples
_IN_MEMORY = 64 * 2**20  # bytes of an output
# Kernels for several samples add up in another order than those for one; statistics over a batch move answers by
# percents.
TOGETHER_LIMIT = 1e-3
QUANTIZED_LIMIT = 0.05
"""For models that may be quantized: where a sum rounds otherwise, a number takes the next place of its grid."""


def batches(session: Session, samples: Samples, shapes: Shapes) -> Iterator[tuple[Arrays, Arrays]]:
    """Run samples through an open build, batch by batch, or one by one where they must not see each other.

    Args:
        session: the build.
        samples: what to run.
        shapes: of one sample of each output that the build must give; None is not checked.

    Yields:
        The inputs and the outputs of a batch.

    Raises:
        EngineError: the build gives outputs of another shape, or numbers that are not finite.
    """
    done = 0
    for inputs in samples.batches(1 if session.one_at_a_time else samples.at_once(EVALUATION_BATCH)):
        outputs = session.outputs(session.run(session.prepare(inputs)))
        count = len(inputs[0])
        _check(outputs, shapes, count, done)
        yield inputs, outputs
        done += count


def whole(session: Session, samples: Samples, shapes: Shapes, folder: Path | None = None) -> Arrays:
    """All outputs of samples, each of shape (samples.count, …), float32; see `batches` and `_gathered`."""
    return _gathered((outputs for _, outputs in batches(session, samples, shapes)), samples.count, folder)


def answered(
    session: Session, samples: Samples, shapes: Shapes, task: Task, folder: Path | None = None
) -> tuple[Answers, Arrays]:
    """What a build answers, and all that it gives: arrays of shape (samples.count, …); see `batches`, `_gathered`."""
    labels = None if samples.labels is None else samples.targets()

    def both() -> Iterator[Arrays]:
        done = 0
        for inputs, outputs in batches(session, samples, shapes):
            window = slice(done, done + len(inputs[0]))
            yield (task.answers(inputs, outputs, None if labels is None else labels[window]), *outputs)
            done = window.stop

    answers, *outputs = _gathered(both(), samples.count, folder)
    return answers, tuple(outputs)


def _gathered(parts: Iterator[Arrays], count: int, folder: Path | None) -> Arrays:
    """Batches one after the other. They are copied: a part that is a view would keep all that it is a view of.

    Large outputs, such as masks, are gathered in files without names in `folder`; by default where temporary files are.
    """
    found: Arrays = ()
    done = 0
    for part in parts:
        found = found or tuple(_empty((count, *each.shape[1:]), each.dtype, folder) for each in part)
        for array, each in zip(found, part, strict=True):
            array[done : done + len(each)] = each
        done += len(part[0])
    return found


def _empty(shape: tuple[int, ...], dtype: np.dtype[Any], folder: Path | None) -> NDArray[Any]:
    if math.prod(shape) * dtype.itemsize <= _IN_MEMORY:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile(dir=folder) as file:
        return np.asarray(np.memmap(file, dtype, "w+", shape=shape))  # the file goes with the array


def check_independence(
    session: Session, samples: Samples, names: Sequence[str], source: str, limit: float = TOGETHER_LIMIT
) -> None:
    """Refuse a model whose answer for a sample depends on what else is in its batch: it is judged in batches.

    Args:
        session: the model; one that is judged on one sample at a time is not looked at.
        samples: of which the first few are run together, and each by itself.
        names: of its outputs.
        source: the model, as messages call it.
        limit: how much an output may differ, as a share of its largest number.

    Raises:
        ModelError: an output does not have a row for each sample, or another one in a batch than alone.
    """
    if session.one_at_a_time:
        return
    count = min(samples.count, max(2, samples.at_once(_TOGETHER)))
    batch = next(samples.head(count).batches(count))
    together, again = (session.outputs(session.run(session.prepare(batch))) for _ in range(2))
    for place in range(count):
        alone = session.outputs(session.run(session.prepare(tuple(each[place : place + 1] for each in batch))))
        for name, many, repeated, one in zip(names, together, again, alone, strict=True):
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
    """How far two answers are from each other, in words."""
    if difference == float("inf"):
        return "has other numbers that are not finite"
    return f"differs by up to {100 * difference:.2g}% of its largest number"


def _distance(one: NDArray[np.float32], other: NDArray[np.float32], scale: NDArray[np.float32]) -> float:
    """The largest difference as a share of the largest number; of numbers that are not finite in both, none."""
    finite = np.isfinite(one) & np.isfinite(other)
    if not np.array_equal(np.where(finite, 0, one), np.where(finite, 0, other), equal_nan=True):
        return float("inf")
    largest = float(np.abs(scale, where=np.isfinite(scale), out=np.zeros_like(scale)).max(initial=0.0))
    difference = float(np.abs(np.where(finite, one, 0) - np.where(finite, other, 0)).max(initial=0.0))
    return difference / largest if largest else 0.0


def targets_of(samples: Samples) -> Targets:
    """What answers are compared with: the labels; zeros where the samples have none."""
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
