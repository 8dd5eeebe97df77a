"""Evaluation samples whose prediction changed, as images to look at."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

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
    return write(chosen, evaluation, classes, {each: predicted[each] for each in (own, row.id)}, store.root, "examples")


def write(
    chosen: NDArray[np.int64],
    evaluation: Samples,
    classes: Sequence[str],
    predicted: Mapping[str, NDArray[np.integer]],
    root: Path,
    folder: str,
) -> list[Example]:
    """Write samples as images into a folder of a run directory; none where they are no images.

    Args:
        chosen: places in the evaluation set, of shape (m,).
        evaluation: the evaluation set.
        classes: names of the classes.
        predicted: what rows predict for the whole set, classes of shape (n,), by the row's id.
        root: the run directory.
        folder: in it.
    """
    places = np.arange(evaluation.count) if evaluation.indices is None else np.load(evaluation.indices)
    inputs = np.load(evaluation.inputs, mmap_mode="r")
    targets = evaluation.targets()
    found = []
    for sample in map(int, chosen):
        image = f"{folder}/{sample}.png"
        if pictures.save(inputs[places[sample]], root / image):
            says = {row_id: classes[each[sample]] for row_id, each in predicted.items()}
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
