"""A run directory: run.json, written whole at every change, and the files beside it."""

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

from bitpick.artifacts.watch import Watch
from bitpick.errors import OutputError
from bitpick.models.model import Form
from bitpick.pipeline.arrays import read_array, read_outputs
from bitpick.pipeline.build_job import predictions_file
from bitpick.preprocessing import Arrays
from bitpick.recipe import file_name
from bitpick.schema.run import HostRecord, Row, Run

RUN_FILE = "run.json"
TIMINGS_FILE = "timings.json"
_OURS = (
    RUN_FILE, "report.md", "report.html", "builds", "draws", "forms", "ranges", "examples", "logs", "diagnosis",
    "next_recipe.yaml",
)  # fmt: skip


def write_whole(path: Path, text: str) -> None:
    """Write a text file so that a reader, or a crash at any moment, sees the old one or the new one."""
    descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(partial).chmod(0o644)
        Path(partial).replace(path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def read(folder: Path) -> Run:
    """The run in a directory.

    Raises:
        OutputError: there is none, or it is of another schema.
    """
    path = folder / RUN_FILE
    try:
        return Run.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        what = f"{folder} holds no run: {error.strerror} ({path})"
        raise OutputError(what, expected="a directory with a run.json") from error
    except ValidationError as error:
        raise OutputError(
            f"this version of bitpick cannot read {path}: {error.errors()[0]['msg']}",
            fix="use the version that wrote it, or make the run again",
        ) from error


def predictions(folder: Path, target: str = "host") -> NDArray[Any]:
    """What a build answered for each evaluation sample that it was given, see `Task.answers`: shape (n, …)."""
    return read_array(folder / predictions_file(target), "predictions")


def outputs(folder: Path) -> Arrays:
    """What a build gave for each evaluation sample: each output of shape (n, …), float32."""
    return read_outputs(folder / predictions_file("host"))


class RunDirectory:
    """The directory of the run that is going on. Nobody else writes its run.json.

    Args:
        root: the run directory.
        run: what is known so far.

    Attributes:
        run: what is known so far; each change is a new value.
        previous: the earlier run that it continues.
        watch: files that must stay as they are.
        settled: whether the request has proved sound.
    """

    def __init__(self, root: Path, run: Run) -> None:
        self.root = root
        self.run = run
        self.previous: Run | None = None
        self.watch = Watch()
        self._made: Path | None = None
        self.settled = False
        self._aside: Path | None = None

    def claim(self, overwrite: bool) -> None:
        """Make the directory ours: new, or the same request's earlier run, which is continued.

        Raises:
            OutputError: it cannot be written, or holds something else.
        """
        if self.root.exists() and not self.root.is_dir():
            raise OutputError(f"the output {self.root} is a file", expected="a directory, existing or not")
        missing = next((p for p in (self.root, *self.root.parents) if p.exists()), Path("/"))
        if not os.access(missing, os.W_OK | os.X_OK):
            raise self._unwritable(f"no permission to write in {missing}")
        if self.root.is_dir() and any(self.root.iterdir()):
            self.previous = self._earlier(overwrite)
        if self.previous is not None:
            # From the first write on the new record holds what the earlier one held.
            kept = ("rows", "data", "speed", "diagnosis")
            self.update(**{name: getattr(self.previous, name) for name in kept})
        try:
            if not self.root.exists():
                self._made = _first_missing(self.root)
                self.root.mkdir(parents=True)
            self.save()
        except OSError as error:
            raise self._unwritable(error.strerror) from error

    def _unwritable(self, why: str | None) -> OutputError:
        what = f"the output directory {self.root} cannot be written: {why}"
        return OutputError(what, fix="name another directory with --out")

    def _earlier(self, overwrite: bool) -> Run | None:
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
        for leftover in self.root.glob(".replaced-*"):  # of a run that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        if overwrite or earlier is None or not _comparable(earlier.host, self.run.host):
            self._set_aside()
            return None
        return earlier

    def _set_aside(self) -> None:
        """Put away what an earlier run left, and nothing else, until the new request has proved sound."""
        self._aside = Path(tempfile.mkdtemp(prefix=".replaced-", dir=self.root))
        for name in _OURS:
            if (self.root / name).exists():
                (self.root / name).rename(self._aside / name)

    def settle(self) -> None:
        """The request is sound: what it replaces can go."""
        self.settled = True
        if self._aside is not None:
            shutil.rmtree(self._aside, ignore_errors=True)
            self._aside = None

    def discard(self) -> None:
        """The request was wrong: leave the directory as it was found."""
        if self._made is not None:
            shutil.rmtree(self._made, ignore_errors=True)
            return
        if self.previous is not None:
            write_whole(self.root / RUN_FILE, _json(self.previous))
            return
        for name in _OURS:
            _remove(self.root / name)
            if self._aside is not None and (self._aside / name).exists():
                (self._aside / name).rename(self.root / name)
        self.settle()

    def save(self) -> None:
        """Write run.json."""
        write_whole(self.root / RUN_FILE, _json(self.run))

    def keep_timings(self, recipe_id: str, raw: Mapping[str, object]) -> None:
        """Keep every sample that was taken of a build's speed, beside it."""
        write_whole(self.build(recipe_id) / TIMINGS_FILE, json.dumps(raw) + "\n")

    @property
    def same_samples(self) -> bool:
        """Whether the earlier run saw the samples that this one sees, prepared in the same way."""
        both = [self.run.data, self.previous.data if self.previous is not None else None]
        seen = [data and (data.preprocessing, data.evaluation, data.calibration) for data in both]
        return seen[0] is not None and seen[0] == seen[1]

    def update(self, **fields: Any) -> Run:
        """Change what is known of the run; `save` writes it."""
        self.run = self.run.model_copy(update=fields)
        return self.run

    def put(self, row: Row) -> None:
        """Add a row, or replace the one with its id."""
        rows = self.run.rows
        place = next((i for i, other in enumerate(rows) if other.id == row.id), len(rows))
        self.update(rows=(*rows[:place], row, *rows[place + 1 :]))

    # ---- where things are ----

    @property
    def logs(self) -> Path:
        """What the workers printed."""
        return self.root / "logs"

    def form(self, form: Form) -> Path:
        """The file of a form that this run makes."""
        return self.root / "forms" / f"{form}{form.suffix}"

    def outputs(self, form: Form) -> Path:
        """What a form gave for the samples that its hops are verified on."""
        return self.root / "forms" / f"{form}.outputs.npz"

    @property
    def reference_answers(self) -> Path:
        """What the float model answers for the evaluation set, where there are no labels."""
        return self.root / "forms" / "reference_answers.npy"

    @property
    def reference_outputs(self) -> Path:
        """What the float model gives for some samples, where the task asks for that."""
        return self.root / "forms" / "reference_outputs.npz"

    @property
    def evaluation(self) -> Path:
        """What stays known of the evaluation set, see `evaluation_set`."""
        return self.root / "forms" / "evaluation.npz"

    def indices(self, part: str) -> Path:
        """Which samples a part of the data set has, such as the calibration set, where these are not the first ones."""
        return self.root / "forms" / f"{part}_indices.npy"

    def ranges(self, name: str) -> Path:
        """Activation ranges that recipes share."""
        return self.root / "ranges" / f"{name}.json"

    @property
    def examples(self) -> Path:
        """Images of evaluation samples."""
        return self.root / "examples"

    def build(self, recipe_id: str) -> Path:
        """The folder of a build."""
        return self.root / "builds" / file_name(recipe_id)

    def draws(self, seed: int) -> Path:
        """What is known of one further calibration draw."""
        return self.root / "draws" / f"seed-{seed}"

    def draw(self, seed: int, recipe_id: str) -> Path:
        """What a recipe's build from a further calibration draw gave."""
        return self.draws(seed) / file_name(recipe_id)


def _comparable(earlier: HostRecord, now: HostRecord) -> bool:
    """Whether rows of both may stand in one table: the same CPU, threads, Python and libraries."""
    same = ("cpu", "isa", "threads", "python", "versions")
    return all(getattr(earlier, name) == getattr(now, name) for name in same)


def _first_missing(path: Path) -> Path:
    """The topmost directory that `path.mkdir(parents=True)` would make."""
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
