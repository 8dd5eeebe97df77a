"""Evaluation samples whose prediction changed, as images to look at."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitpick.datasets import pictures
from bitpick.datasets.dataset import Samples
from bitpick.pipeline.directory import RunDirectory, outputs
from bitpick.schema.diagnosis import Example
from bitpick.schema.run import Row, Run
from bitpick.tasks.classification import Classification, rows
from bitpick.tasks.task import Answers, Task

COUNT = 12


def examples(store: RunDirectory, answers: Mapping[str, Answers], evaluation: Samples, task: Task) -> list[Example]:
    """The samples on which the build to ship and its float32 disagree, those that the float32 is surest of first.

    Args:
        store: the run directory, and the run with its recommendation; the images go to its `examples/`.
        answers: of each row that is ok, for n samples.
        evaluation: the evaluation set.
        task: how builds are judged.

    Returns:
        At most 12; none where the task predicts no classes, where the samples are no images, or where no quantized
        build has a float32 beside it.
    """
    shutil.rmtree(store.examples, ignore_errors=True)
    row = _subject(store.run)
    if row is None or row.versus_baseline is None or not isinstance(task, Classification):
        return []
    own = row.versus_baseline.baseline
    differing = np.flatnonzero(task.differing(answers[own], answers[row.id]))
    surest = _margins(outputs(store.build(own))[task.output][differing])
    chosen = differing[np.argsort(-surest, kind="stable")][:COUNT]
    return write(chosen, evaluation, task, {each: answers[each] for each in (own, row.id)}, store.root, "examples")


def write(
    chosen: NDArray[np.int64],
    evaluation: Samples,
    task: Classification,
    predicted: Mapping[str, Answers],
    root: Path,
    folder: str,
) -> list[Example]:
    """Write samples as images into a folder of a run directory; none where they are no images.

    Args:
        chosen: places in the evaluation set, of shape (m,).
        evaluation: the evaluation set.
        task: names the classes.
        predicted: what rows predict for the whole set, classes of shape (n,), by the row's id.
        root: the run directory.
        folder: in it.
    """
    classes = task.classes
    places = np.arange(evaluation.count) if evaluation.indices is None else np.load(evaluation.indices)
    stored = np.load(evaluation.inputs[0], mmap_mode="r")
    targets = evaluation.targets()
    found = []
    for sample in map(int, chosen):
        image = f"{folder}/{sample}.png"
        if pictures.save(stored[places[sample]], root / image):
            says = {row_id: classes[each[sample]] for row_id, each in predicted.items()}
            found.append(Example(sample=sample, image=image, label=classes[targets[sample]], predictions=says))
    return found


def _subject(run: Run) -> Row | None:
    """The recommended row, else the most accurate quantized one of this CPU."""
    if run.recommendation is not None and run.recommendation.id is not None:
        return run.row(run.recommendation.id)
    measured = [row for row in run.rows if row.kind == "quantized" and row.status == "ok" and row.target == "host"]
    return max(measured, key=lambda row: row.metric.quality if row.metric else 0, default=None)


def _margins(found: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far the best score is above the next one: scores of shape (n, classes) to shape (n,)."""
    if not len(found):
        return np.empty(0, np.float32)
    found = rows(found)
    if found.shape[1] == 1:
        apart: NDArray[np.float32] = np.abs(found.reshape(-1) - np.median(found))
        return apart
    best = np.sort(found, axis=1)[:, ::-1]
    margins: NDArray[np.float32] = best[:, 0] - best[:, min(1, best.shape[1] - 1)]
    return margins
