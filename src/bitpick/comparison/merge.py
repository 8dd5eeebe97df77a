"""Merge results from a device into the run that made its builds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from bitpick.comparison import targets
from bitpick.comparison.rows import on_target
from bitpick.deployment import results
from bitpick.deployment.results import Results
from bitpick.errors import DataError, OutputError, RequestError
from bitpick.models.model import sha256_of
from bitpick.pipeline import arrays, directory, evaluation_set
from bitpick.pipeline.build_job import predictions_file
from bitpick.pipeline.directory import RunDirectory
from bitpick.pipeline.evaluation_set import EvaluationSet
from bitpick.preprocessing import Arrays
from bitpick.schema.run import Row, Run
from bitpick.selection import judge
from bitpick.targets.target import check_name
from bitpick.tasks.task import Answers, Targets, Task


@dataclass(frozen=True)
class _Table:
    """The rows of a finished run; see `targets.Table`."""

    all: Sequence[Row]
    predicted: Mapping[str, Answers]
    targets: Targets
    task: Task

    @property
    def native(self) -> list[Row]:
        return [row for row in self.all if row.target == "host"]


def merge(root: Path, files: Sequence[Path], target: str, overwrite: bool = False, trust_run: bool = False) -> Run:
    """Add results from a device to a run, as rows that are judged like those of any other target.

    Args:
        root: the run directory.
        files: files that the `run.py` of this run's builds wrote on the device, one per build.
        target: the device's name.
        overwrite: replace earlier results of the same builds from this device.
        trust_run: whether the user trusts what the run names, see `EvaluationSet`.

    Returns:
        The run; its run.json holds the new rows.

    Raises:
        RequestError: there is no such run, or the results are not from its builds and samples; nothing was written.
    """
    run = directory.read(root)
    if run.state == "running":
        raise OutputError(f"the run in {root} still goes on", fix="wait for its end, or run it again if it was killed")
    check_name(target, "--target is")
    if any(row.target == target and row.measured != "imported" for row in run.rows):
        raise RequestError(f"the run measured {target} itself", expected="a new name with --target")
    work = RunDirectory(root, run)
    evaluation = evaluation_set.read(work.evaluation, run.data.evaluation.sha256 if run.data else "", trust_run)
    evaluation.check_code()
    # Check all files before writing anything.
    imported = [_row(work, evaluation, path, target, overwrite) for path in files]
    if len({row.id for row, _ in imported}) < len(imported):
        raise RequestError("two of the files are of the same build", expected="one file of results a build")
    order = {row.id: place for place, row in enumerate(run.rows) if row.target == "host"}
    for row, to_store in imported:
        arrays.save(file := work.build(row.recipe) / predictions_file(target), to_store)
        work.put(row.model_copy(update={"predictions_sha256": sha256_of(file)}))
    rows = sorted(work.run.rows, key=lambda row: (order.get(row.recipe, len(order)), row.target != "host", row.target))
    work.update(rows=tuple(rows))
    if run.recommendation is not None:
        native = [row for row in rows if row.target == "host" and row.status == "ok"]
        predicted = {row.id: _answers(work, row)[0] for row in native}
        table = _Table(rows, predicted, evaluation.targets, evaluation.task)
        work.update(recommendation=targets.choose(run.recommendation, target, table, run.request))
    work.save()
    return work.run


def _row(
    work: RunDirectory, evaluation: EvaluationSet, path: Path, target: str, overwrite: bool
) -> tuple[Row, dict[str, NDArray[np.generic]]]:
    """Return the row of a results file, and the arrays to store with it."""
    device_results = results.read(path)
    native = _native_row(device_results, work, path)
    earlier = work.run.row(f"{native.id}@{target}")
    device = device_results.device(sha256_of(path))
    if earlier is not None and earlier.device != device and not overwrite:
        raise OutputError(
            f"{earlier.id} was imported before, from other results than {path}", fix="replace it with --overwrite"
        )
    native_answers, native_outputs = _answers(work, native)
    places = _places(device_results, evaluation, path)
    outputs = _outputs(device_results, native_outputs, path)
    truth = evaluation.targets[places]
    answers = evaluation.task.answers(evaluation.inputs(places) if evaluation.task.sees_inputs else (), outputs, truth)
    row = on_target(native, target, "imported", "ok").model_copy(
        update={
            "samples": len(places),
            "metric": evaluation.task.metric(answers, truth),
            "metrics": evaluation.task.metrics(answers, outputs, truth),
            "accuracy": evaluation.task.accuracy(answers, outputs, truth),
            "device": device,
        }
    )
    to_store = {"predictions": answers, "places": places} | {f"output{i}": each for i, each in enumerate(outputs)}
    return judge.on_target(row, answers, native_answers[places], truth, evaluation.task, saturates=False), to_store


def _answers(work: RunDirectory, row: Row) -> tuple[Answers, Arrays]:
    """Return the answers and outputs of a row's build for the evaluation set, as measured on this host."""
    folder = work.build(row.recipe)
    try:
        if sha256_of(folder / predictions_file("host")) != row.predictions_sha256:
            raise ValueError("its predictions changed since they were measured")
        return directory.predictions(folder), directory.outputs(folder)
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise OutputError(
            f"the run no longer has what the build in {folder} gave here: {error}",
            fix="run the same bitpick compare again, which keeps the rest",
        ) from error


def _native_row(device_results: Results, work: RunDirectory, path: Path) -> Row:
    """Return the row of this host with the same files and session settings as the results."""
    row = work.run.row(device_results.recipe)
    if row is None or row.target != "host" or row.status != "ok" or not row.files:
        raise DataError(
            f"{path} is of the build {device_results.recipe}, which this run does not have",
            expected="results of one of its builds",
            fix="name the run that the build was copied from",
        )
    folder = work.build(row.recipe)
    own_folder = f"{folder.relative_to(work.root).as_posix()}/"
    digests = {file.path.removeprefix(own_folder): file.sha256 for file in row.files}
    if digests != device_results.files or (row.settings or {}) != device_results.settings:
        part = next(
            (name for name in sorted(digests) if device_results.files.get(name) != digests[name]),
            "the session settings",
        )
        raise DataError(
            f"{path} is of another build than the run's {row.id}: {part} {'are' if ' ' in part else 'is'} not the same",
            fix=f"copy {folder} to the device, and run it again",
        )
    return row


def _places(device_results: Results, evaluation: EvaluationSet, path: Path) -> NDArray[np.int64]:
    """Return the indices in the evaluation set of the results' samples, of shape (m,)."""
    free: dict[str, list[int]] = defaultdict(list)
    for place, digest in enumerate(evaluation.digests.astype(str)):
        free[digest].append(place)
    places = []
    for sample in device_results.samples:
        if not free[sample.digest]:
            duplicate = sample.digest in evaluation.digests.astype(str)
            why = "is there more than once" if duplicate else "is not one of the samples that the run was evaluated on"
            raise DataError(f"{path}: {sample.name} {why}", expected="samples that bitpick samples wrote, each once")
        places.append(free[sample.digest].pop(0))
    return np.array(places, np.int64)


def _outputs(device_results: Results, native: Arrays, path: Path) -> Arrays:
    """Return the outputs in the results, each of shape (m, …), checked against the same build's outputs here."""
    try:
        outputs = device_results.outputs
    except (ValueError, TypeError) as error:
        raise DataError(
            f"the outputs in {path} cannot be read: {error}", fix="copy the file from the device again"
        ) from error
    shapes, expected = [each.shape[1:] for each in outputs], [each.shape[1:] for each in native]
    if shapes != expected:
        raise DataError(f"{path}: a sample has outputs of the shapes {shapes}", expected=f"{expected}, as here")
    if not all(np.isfinite(each).all() for each in outputs):
        raise DataError(
            f"{path} has outputs that are not finite, and the build's outputs here are finite",
            fix="run run.py on the device again; if they are still not finite, the build does not work on that device",
        )
    return outputs
