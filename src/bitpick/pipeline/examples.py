"""Write images of evaluation samples whose prediction changed."""

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
    """Return samples on which the build to ship and its float32 disagree, the float32's surest first.

    Args:
        store: the run directory, whose run has a recommendation; the images go to its `examples/`.
        answers: answers of each row that is ok, for n samples.
        evaluation: the evaluation set.
        task: how builds are judged.

    Returns:
        At most 12; none if the task predicts no classes, if the samples are not images, or if no quantized build has
        a float32 baseline.
    """
    shutil.rmtree(store.examples, ignore_errors=True)
    row = _subject(store.run)
    if row is None or row.versus_baseline is None or not isinstance(task, Classification):
        return []
    float_id = row.versus_baseline.baseline
    differing = np.flatnonzero(task.differing(answers[float_id], answers[row.id]))
    margins = _margins(outputs(store.build(float_id))[task.output][differing])
    chosen = differing[np.argsort(-margins, kind="stable")][:COUNT]
    return write(
        chosen, evaluation, task, {row_id: answers[row_id] for row_id in (float_id, row.id)}, store.root, "examples"
    )


def write(
    chosen: NDArray[np.int64],
    evaluation: Samples,
    task: Classification,
    predicted: Mapping[str, Answers],
    root: Path,
    folder: str,
) -> list[Example]:
    """Write samples as images into a folder of a run directory; write none if they are not images.

    Args:
        chosen: indices in the evaluation set, of shape (m,).
        evaluation: the evaluation set.
        task: the task, which names the classes.
        predicted: predicted classes for the whole set, of shape (n,), by row id.
        root: the run directory.
        folder: the folder in it.
    """
    classes = task.classes
    places = np.arange(evaluation.count) if evaluation.indices is None else np.load(evaluation.indices)
    stored = np.load(evaluation.inputs[0], mmap_mode="r")
    targets = evaluation.targets()
    examples = []
    for sample in map(int, chosen):
        image = f"{folder}/{sample}.png"
        if pictures.save(stored[places[sample]], root / image):
            labels = {row_id: classes[classes_of_row[sample]] for row_id, classes_of_row in predicted.items()}
            examples.append(Example(sample=sample, image=image, label=classes[targets[sample]], predictions=labels))
    return examples


def _subject(run: Run) -> Row | None:
    """Return the recommended row, else the most accurate quantized row of this host."""
    if run.recommendation is not None and run.recommendation.id is not None:
        return run.row(run.recommendation.id)
    measured = [row for row in run.rows if row.kind == "quantized" and row.status == "ok" and row.target == "host"]
    return max(measured, key=lambda row: row.metric.quality if row.metric else 0, default=None)


def _margins(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the best score minus the second best, of shape (n,), from scores of shape (n, classes)."""
    if not len(scores):
        return np.empty(0, np.float32)
    scores = rows(scores)
    if scores.shape[1] == 1:
        distances: NDArray[np.float32] = np.abs(scores.reshape(-1) - np.median(scores))
        return distances
    descending = np.sort(scores, axis=1)[:, ::-1]
    margins: NDArray[np.float32] = descending[:, 0] - descending[:, min(1, descending.shape[1] - 1)]
    return margins
