"""What a build gives for samples, on its files, in its own runtime."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from bitpick.datasets.dataset import Samples
from bitpick.engines.engine import Session
from bitpick.errors import EngineError
from bitpick.measures.tasks.task import Answers, Targets, Task
from bitpick.model import fits
from bitpick.preprocessing import Arrays

Shapes = Sequence[tuple[int | None, ...] | None]
"""Of one sample of each output; None is not checked."""
EVALUATION_BATCH = 500
_MOST_NUMBERS = 25_000_000  # of one batch's inputs: 100 MB


def batches(session: Session, samples: Samples, shapes: Shapes) -> Iterator[tuple[Arrays, Arrays]]:
    """Run samples through an open build, batch by batch.

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
    for inputs in samples.batches(_batch_size(samples)):
        outputs = session.outputs(session.run(session.prepare(inputs)))
        count = len(inputs[0])
        _check(outputs, shapes, count, done)
        yield inputs, outputs
        done += count


def whole(session: Session, samples: Samples, shapes: Shapes) -> Arrays:
    """All outputs of samples, each of shape (samples.count, …), float32; see `batches`."""
    return _gathered((outputs for _, outputs in batches(session, samples, shapes)), samples.count)


def answered(session: Session, samples: Samples, shapes: Shapes, task: Task) -> tuple[Answers, Arrays]:
    """What a build answers, and all that it gives: arrays of shape (samples.count, …); see `batches`."""
    labels = None if samples.labels is None else samples.targets()

    def both() -> Iterator[Arrays]:
        done = 0
        for inputs, outputs in batches(session, samples, shapes):
            window = slice(done, done + len(inputs[0]))
            yield (task.answers(inputs, outputs, None if labels is None else labels[window]), *outputs)
            done = window.stop

    answers, *outputs = _gathered(both(), samples.count)
    return answers, tuple(outputs)


def _gathered(parts: Iterator[Arrays], count: int) -> Arrays:
    """Batches one after the other. They are copied: a part that is a view would keep all that it is a view of."""
    found: Arrays = ()
    done = 0
    for part in parts:
        found = found or tuple(np.empty((count, *each.shape[1:]), each.dtype) for each in part)
        for array, each in zip(found, part, strict=True):
            array[done : done + len(each)] = each
        done += len(part[0])
    return found


def targets_of(samples: Samples) -> Targets:
    """What answers are compared with: the labels; zeros where the samples have none."""
    return np.zeros(samples.count, np.int64) if samples.labels is None else samples.targets()


def _batch_size(samples: Samples) -> int:
    """So many samples that a batch of large ones, such as images, does not fill the memory."""
    numbers = sum(array.size for array in next(samples.head(1).batches(1)))
    return max(1, min(EVALUATION_BATCH, _MOST_NUMBERS // max(1, numbers)))


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
