"""A run directory: run.json, rewritten whole at every change, and the files beside it."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from pydantic import ValidationError

from bitpick.artifacts import modes
from bitpick.artifacts.watch import Watch
from bitpick.errors import OutputError
from bitpick.models.model import Form
from bitpick.paths import check_links
from bitpick.pipeline.arrays import read_array, read_outputs
from bitpick.pipeline.build_job import predictions_file
from bitpick.preprocessing import Arrays
from bitpick.recipe import file_name
from bitpick.schema.run import HostRecord, Row, Run

RUN_FILE = "run.json"
TIMINGS_FILE = "timings.json"
_OURS = (
    RUN_FILE, "report.md", "report.html", "builds", "draws", "forms", "ranges", "examples", "logs", "diagnosis",
    "search", "next_recipe.yaml",
)  # fmt: skip


def write_whole(path: Path, text: str) -> None:
    """Write a text file atomically: a reader, or a crash at any moment, sees the old file or the new one."""
    descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        modes.share(Path(partial))
        Path(partial).replace(path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def read(folder: Path) -> Run:
    """Return the run in a directory.

    Raises:
        OutputError: there is no run, it has another schema, or the directory holds a link to something outside it.
    """
    check_links(folder, _OURS)
    path = folder / RUN_FILE
    try:
        return Run.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        what = f"{folder} holds no run: {error.strerror} ({path})"
        raise OutputError(what, expected="a directory with a run.json") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise OutputError(
            f"this version of bitpick cannot read {path}: {'.'.join(map(str, first['loc']))}: {first['msg']}",
            fix="use the version that wrote it, or make the run again",
        ) from error


def predictions(folder: Path, target: str = "host") -> NDArray[Any]:
    """Return a build's answer for each evaluation sample it ran on, of shape (n, …); see `Task.answers`."""
    return read_array(folder / predictions_file(target), "predictions")


def outputs(folder: Path) -> Arrays:
    """Return a build's outputs for the evaluation samples: each of shape (n, …), float32."""
    return read_outputs(folder / predictions_file("host"))


class RunDirectory:
    """The directory of the current run. Nothing else writes its run.json.

    Args:
        root: the run directory.
        run: the record so far.

    Attributes:
        run: the record so far; each change replaces it.
        previous: the earlier run that this one continues.
        watch: files that must not change.
        settled: whether the request has proved valid.
    """

    def __init__(self, root: Path, run: Run) -> None:
        self.root = root
        self.run = run
        self.previous: Run | None = None
        self.watch = Watch()
        self._created: Path | None = None
        self.settled = False
        self._backup: Path | None = None

    def claim(self, overwrite: bool) -> None:
        """Claim the directory: create it, or continue an earlier run of the same request.

        Raises:
            OutputError: the directory cannot be written, or holds something else.
        """
        if self.root.exists() and not self.root.is_dir():
            raise OutputError(f"the output {self.root} is a file", expected="a directory, existing or not")
        existing = next((ancestor for ancestor in (self.root, *self.root.parents) if ancestor.exists()), Path("/"))
        if not os.access(existing, os.W_OK | os.X_OK):
            raise self._unwritable(f"no permission to write in {existing}")
        if self.root.is_dir() and any(self.root.iterdir()):
            self.previous = self._earlier(overwrite)
        if self.previous is not None:
            # From its first write, the new record holds what the earlier one held.
            continued = ("rows", "data", "speed", "diagnosis")
            self.update(**{name: getattr(self.previous, name) for name in continued})
        try:
            if not self.root.exists():
                self._created = _first_missing(self.root)
                self.root.mkdir(parents=True)
            self.save()
        except OSError as error:
            raise self._unwritable(error.strerror) from error

    def _unwritable(self, why: str | None) -> OutputError:
        what = f"the output directory {self.root} cannot be written: {why}"
        return OutputError(what, fix="name another directory with --out")

    def _earlier(self, overwrite: bool) -> Run | None:
        if not overwrite:
            check_links(self.root, _OURS)
        try:
            earlier = read(self.root)
        except OutputError:
            if not overwrite or not (self.root / RUN_FILE).exists():
                raise OutputError(
                    f"the output directory {self.root} is not empty and holds no run",
                    fix="name another directory with --out",
                ) from None
            earlier = None
        if earlier is not None and earlier.request.sha256 != self.run.request.sha256 and not overwrite:
            raise OutputError(
                f"the output directory {self.root} holds another request's run",
                fix="name another directory with --out, or replace that run with --overwrite",
            )
        for leftover in self.root.glob(".replaced-*"):  # left by a killed run
            shutil.rmtree(leftover, ignore_errors=True)
        if overwrite or earlier is None or not _comparable(earlier.host, self.run.host):
            self._set_aside()
            return None
        return earlier

    def _set_aside(self) -> None:
        """Move an earlier run's files, and nothing else, aside until the new request has proved valid."""
        self._backup = Path(tempfile.mkdtemp(prefix=".replaced-", dir=self.root))
        for name in _OURS:
            if os.path.lexists(self.root / name):  # a link that leads nowhere, too
                (self.root / name).rename(self._backup / name)

    def settle(self) -> None:
        """Mark the request as valid, and delete what it replaces."""
        self.settled = True
        if self._backup is not None:
            shutil.rmtree(self._backup, ignore_errors=True)
            self._backup = None

    def discard(self) -> None:
        """Restore the directory to how it was, because the request was wrong."""
        if self._created is not None:
            shutil.rmtree(self._created, ignore_errors=True)
            return
        if self.previous is not None:
            write_whole(self.root / RUN_FILE, _json(self.previous))
            return
        for name in _OURS:
            _remove(self.root / name)
            if self._backup is not None and (self._backup / name).exists():
                (self._backup / name).rename(self.root / name)
        self.settle()

    def save(self) -> None:
        """Write run.json."""
        write_whole(self.root / RUN_FILE, _json(self.run))

    def keep_timings(self, recipe_id: str, raw: Mapping[str, object]) -> None:
        """Save all timing samples of a build beside it."""
        write_whole(self.build(recipe_id) / TIMINGS_FILE, json.dumps(raw) + "\n")

    @property
    def same_samples(self) -> bool:
        """Whether the earlier run used the same samples with the same preprocessing."""
        records = [self.run.data, self.previous.data if self.previous is not None else None]
        inputs = [data and (data.preprocessing, data.evaluation, data.calibration) for data in records]
        return inputs[0] is not None and inputs[0] == inputs[1]

    def update(self, **fields: Any) -> Run:
        """Change fields of the run's record; `save` writes it."""
        self.run = self.run.model_copy(update=fields)
        return self.run

    def put(self, row: Row) -> None:
        """Add a row, or replace the row with the same id."""
        rows = self.run.rows
        index = next((i for i, other in enumerate(rows) if other.id == row.id), len(rows))
        self.update(rows=(*rows[:index], row, *rows[index + 1 :]))

    # ---- paths ----

    @property
    def logs(self) -> Path:
        """The folder of the workers' logs."""
        return self.root / "logs"

    def form(self, form: Form) -> Path:
        """The file of a form that this run makes."""
        return self.root / "forms" / f"{form}{form.suffix}"

    def outputs(self, form: Form) -> Path:
        """The file of a form's outputs for the samples that hops are verified on."""
        return self.root / "forms" / f"{form}.outputs.npz"

    def checkpoint(self, form: Form) -> Path:
        """The file that the training of a form continues from after a kill."""
        return self.root.absolute() / "forms" / f"{form}.checkpoint.pt"

    @property
    def reference_answers(self) -> Path:
        """The file of the float model's answers for the evaluation set, used if there are no labels."""
        return self.root / "forms" / "reference_answers.npy"

    @property
    def reference_outputs(self) -> Path:
        """The file of the float model's outputs for some samples, if the task needs them."""
        return self.root / "forms" / "reference_outputs.npz"

    @property
    def evaluation(self) -> Path:
        """The file that describes the evaluation set after the run; see `evaluation_set`."""
        return self.root / "forms" / "evaluation.npz"

    def indices(self, part: str) -> Path:
        """The file of the sample indices of a part, such as the calibration set, if they are not the first ones."""
        return self.root / "forms" / f"{part}_indices.npy"

    def matches(self, engine: str, form: Form) -> Path:
        """The file that says which layer of an engine is which layer of a clean graph."""
        return self.root / "forms" / f"{form}.{engine}.json"

    def ranges(self, name: str) -> Path:
        """The file of activation ranges that recipes share."""
        return self.root / "ranges" / f"{name}.json"

    @property
    def examples(self) -> Path:
        """The folder of images of evaluation samples."""
        return self.root / "examples"

    def build(self, recipe_id: str) -> Path:
        """The folder of a build."""
        return self.root / "builds" / file_name(recipe_id)

    def draws(self, seed: int) -> Path:
        """The folder of one further calibration draw."""
        return self.root / "draws" / f"seed-{seed}"

    def draw(self, seed: int, recipe_id: str) -> Path:
        """The folder of a recipe's build from a further calibration draw."""
        return self.draws(seed) / file_name(recipe_id)


def _comparable(earlier: HostRecord, current: HostRecord) -> bool:
    """Whether rows of both hosts are comparable: same CPU, threads, Python and libraries."""
    fields = ("cpu", "isa", "threads", "python", "versions")
    return all(getattr(earlier, name) == getattr(current, name) for name in fields)


def _first_missing(path: Path) -> Path:
    """Return the topmost directory that `path.mkdir(parents=True)` would create."""
    while not path.parent.exists():
        path = path.parent
    return path


def _json(run: Run) -> str:
    return run.model_dump_json(indent=1, exclude_none=True) + "\n"


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
