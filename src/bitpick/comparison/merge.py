"""Results from a device, as rows of the run whose builds they are of."""

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
    """The rows of a run that is over, see `targets.Table`."""

    all: Sequence[Row]
    predicted: Mapping[str, Answers]
    targets: Targets
    task: Task

    @property
    def native(self) -> list[Row]:
        return [row for row in self.all if row.target == "host"]


def merge(root: Path, files: Sequence[Path], target: str, overwrite: bool = False) -> Run:
    """Add results from a device to a run, as rows that are judged like those of any other target.

    Args:
        root: the run directory.
        files: what the `run.py` of builds of this run wrote there, one file a build.
        target: the device's name.
        overwrite: replace what was imported of the same builds from there before.

    Returns:
        The run; its run.json holds the new rows.

    Raises:
        RequestError: there is no such run, or the results are not of its builds and samples; nothing was written.
    """
    run = directory.read(root)
    if run.state == "running":
        raise OutputError(f"the run in {root} still goes on", fix="wait for its end, or run it again if it was killed")
    check_name(target, "--target is")
    if any(row.target == target and row.measured != "imported" for row in run.rows):
        raise RequestError(f"the run measured {target} itself", expected="a new name with --target")
    work = RunDirectory(root, run)
    known = evaluation_set.read(work.evaluation, run.data.evaluation.sha256 if run.data else "")
    # All are checked before any is written.
    made = [_row(work, known, path, target, overwrite) for path in files]
    if len({row.id for row, _ in made}) < len(made):
        raise RequestError("two of the files are of the same build", expected="one file of results a build")
    order = {row.id: place for place, row in enumerate(run.rows) if row.target == "host"}
    for row, kept in made:
        arrays.save(file := work.build(row.recipe) / predictions_file(target), kept)
        work.put(row.model_copy(update={"predictions_sha256": sha256_of(file)}))
    rows = sorted(work.run.rows, key=lambda row: (order.get(row.recipe, len(order)), row.target != "host", row.target))
    work.update(rows=tuple(rows))
    if run.recommendation is not None:
        answered = [row for row in rows if row.target == "host" and row.status == "ok"]
        predicted = {row.id: _answers(work, row)[0] for row in answered}
        table = _Table(rows, predicted, known.targets, known.task)
        work.update(recommendation=targets.choose(run.recommendation, target, table, run.request))
    work.save()
    return work.run


def _row(
    work: RunDirectory, known: EvaluationSet, path: Path, target: str, overwrite: bool
) -> tuple[Row, dict[str, NDArray[np.generic]]]:
    """The row that a file of results makes, and the arrays that are kept of it."""
    found = results.read(path)
    native = _build_of(found, work, path)
    before = work.run.row(f"{native.id}@{target}")
    device = found.device(sha256_of(path))
    if before is not None and before.device != device and not overwrite:
        raise OutputError(
            f"{before.id} was imported before, from other results than {path}", fix="replace it with --overwrite"
        )
    there, given = _answers(work, native)
    places = _places(found, known, path)
    outputs = _outputs(found, given, path)
    right = known.targets[places]
    answers = known.task.answers(known.inputs(places) if known.task.sees_inputs else (), outputs, right)
    row = on_target(native, target, "imported", "ok").model_copy(
        update={
            "samples": len(places),
            "metric": known.task.metric(answers, right),
            "metrics": known.task.metrics(answers, outputs, right),
            "accuracy": known.task.accuracy(answers, outputs, right),
            "device": device,
        }
    )
    kept = {"predictions": answers, "places": places} | {f"output{i}": each for i, each in enumerate(outputs)}
    return judge.on_target(row, answers, there[places], right, known.task, saturates=False), kept


def _answers(work: RunDirectory, row: Row) -> tuple[Answers, Arrays]:
    """What the build of a row answered here for the evaluation set, and all that it gave."""
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


def _build_of(found: Results, work: RunDirectory, path: Path) -> Row:
    """The row of this host whose files, and session settings, gave the results."""
    row = work.run.row(found.recipe)
    if row is None or row.target != "host" or row.status != "ok" or not row.files:
        raise DataError(
            f"{path} is of the build {found.recipe}, which this run does not have",
            expected="results of one of its builds",
            fix="name the run that the build was copied from",
        )
    folder = work.build(row.recipe)
    has = {(work.root / file.path).relative_to(folder).as_posix(): file.sha256 for file in row.files}
    if has != found.files or (row.settings or {}) != found.settings:
        what = next((name for name in sorted(has) if found.files.get(name) != has[name]), "the session settings")
        raise DataError(
            f"{path} is of another build than the run's {row.id}: {what} {'are' if ' ' in what else 'is'} not the same",
            fix=f"copy {folder} to the device, and run it again",
        )
    return row


def _places(found: Results, known: EvaluationSet, path: Path) -> NDArray[np.int64]:
    """Where in the evaluation set the samples of results are, of shape (m,)."""
    free: dict[str, list[int]] = defaultdict(list)
    for place, digest in enumerate(known.digests.astype(str)):
        free[digest].append(place)
    places = []
    for sample in found.samples:
        if not free[sample.digest]:
            twice = sample.digest in known.digests.astype(str)
            why = "is there more than once" if twice else "is not one of the samples that the run was evaluated on"
            raise DataError(f"{path}: {sample.name} {why}", expected="samples that bitpick samples wrote, each once")
        places.append(free[sample.digest].pop(0))
    return np.array(places, np.int64)


def _outputs(found: Results, native: Arrays, path: Path) -> Arrays:
    """The outputs in results, each of shape (m, …), checked against what the same build gave here."""
    try:
        outputs = found.outputs
    except (ValueError, TypeError) as error:
        raise DataError(
            f"the outputs in {path} cannot be read: {error}", fix="copy the file from the device again"
        ) from error
    has, wants = [each.shape[1:] for each in outputs], [each.shape[1:] for each in native]
    if has != wants:
        raise DataError(f"{path}: a sample has outputs of the shapes {has}", expected=f"{wants}, as here")
    if not all(np.isfinite(each).all() for each in outputs):
        raise DataError(
            f"{path} has outputs that are not finite, and the build's outputs here are finite",
            fix="run run.py on the device again; if they are still not finite, the build does not work on that device",
        )
    return outputs
