"""Top-1 accuracy of a build, on its files, in its own runtime."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bitpick.data.dataset import Samples
from bitpick.engines.engine import Session
from bitpick.errors import EngineError
from bitpick.result import Accuracy
from bitpick.statistics import wilson_interval

EVALUATION_BATCH = 500


def scores(session: Session, samples: Samples, classes: int) -> NDArray[np.float32]:
    """Run samples through an open build.

    Args:
        session: the build.
        samples: what to run; read batch by batch.
        classes: number of scores that each sample must get.

    Returns:
        Scores of shape (samples.count, classes), float32.

    Raises:
        EngineError: the build gives another number of scores, or a score that is no finite number.
    """
    found = np.empty((samples.count, classes), np.float32)
    done = 0
    for batch in samples.batches(EVALUATION_BATCH):
        part = session.scores(session.run(session.prepare(batch)))
        if part.shape != (len(batch), classes):
            raise EngineError(
                f"the build gives scores of shape {part.shape} for {len(batch)} samples",
                expected=f"({len(batch)}, {classes})",
            )
        if not np.isfinite(part).all():
            bad = done + int(np.flatnonzero(~np.isfinite(part).all(axis=1))[0])
            raise EngineError(f"the build gives scores that are not finite, first for sample {bad}")
        found[done : done + len(batch)] = part
        done += len(batch)
    return found


def accuracy(predictions: NDArray[np.integer], targets: NDArray[np.integer], classes: Sequence[str]) -> Accuracy:
    """Top-1 accuracy, of all samples and of each class.

    Args:
        predictions: classes of shape (n,).
        targets: true classes of shape (n,).
        classes: names of the classes.
    """
    hits = predictions == targets
    correct, total = int(hits.sum()), len(hits)
    per_class = {name: float(hits[targets == i].mean()) for i, name in enumerate(classes) if (targets == i).any()}
    return Accuracy(
        correct=correct,
        total=total,
        value=correct / total,
        interval=wilson_interval(correct, total),
        per_class=per_class,
    )
