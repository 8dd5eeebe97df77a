"""Evaluation samples whose prediction changed, as images to look at."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bitpick.comparison.store import Store, scores
from bitpick.data import pictures
from bitpick.data.dataset import Samples
from bitpick.diagnosed import Example
from bitpick.result import Row, Run

COUNT = 12


def examples(
    store: Store, predicted: Mapping[str, NDArray[np.int32]], evaluation: Samples, classes: Sequence[str]
) -> list[Example]:
    """The samples on which the build to ship and its float32 disagree, those that the float32 is surest of first.

    Args:
        store: the run directory, and the run with its recommendation; the images go to its `examples/`.
        predicted: the predictions of each row that is ok, classes of shape (n,).
        evaluation: the evaluation set.
        classes: names of the classes.

    Returns:
        At most 12; none where the samples are no images, or where no quantized build has a float32 beside it.
    """
    shutil.rmtree(store.examples, ignore_errors=True)
    row = _subject(store.run)
    if row is None or row.versus_baseline is None:
        return []
    own = row.versus_baseline.baseline
    differing = np.flatnonzero(predicted[own] != predicted[row.id])
    chosen = differing[np.argsort(-_margins(scores(store.build(own))[differing]), kind="stable")][:COUNT]
    places = None if evaluation.indices is None else np.load(evaluation.indices)
    inputs = np.load(evaluation.inputs, mmap_mode="r")
    targets = evaluation.targets()
    found = []
    for sample in map(int, chosen):
        path = store.examples / f"{sample}.png"
        if not pictures.save(inputs[sample if places is None else places[sample]], path):
            continue
        says = {row_id: classes[predicted[row_id][sample]] for row_id in (own, row.id)}
        image = path.relative_to(store.root).as_posix()
        found.append(Example(sample=sample, image=image, label=classes[targets[sample]], predictions=says))
    return found


def _subject(run: Run) -> Row | None:
    """The recommended row, else the most accurate quantized one of this CPU."""
    if run.recommendation is not None and run.recommendation.id is not None:
        return run.row(run.recommendation.id)
    measured = [row for row in run.rows if row.kind == "quantized" and row.status == "ok" and row.target == "host"]
    return max(measured, key=lambda row: row.accuracy.correct if row.accuracy else 0, default=None)


def _margins(found: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far the best score is above the next one: scores of shape (n, classes) to shape (n,)."""
    best = np.sort(found, axis=1)[:, ::-1]
    margins: NDArray[np.float32] = best[:, 0] - best[:, min(1, best.shape[1] - 1)]
    return margins
