"""A run directory: run.json, rewritten whole at every change, and the files beside it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from pydantic import ValidationError

from bitpick.artifacts import durable
from bitpick.artifacts.locks import Lock, lock
from bitpick.artifacts.watch import Watch
from bitpick.errors import OutputError
from bitpick.paths import check_links
from bitpick.pipeline import records
from bitpick.pipeline.arrays import read_array, read_outputs
from bitpick.pipeline.build_job import predictions_file
from bitpick.pipeline.places import RunPaths
from bitpick.preprocessing import Arrays
from bitpick.schema.run import HostRecord, Row, Run

RUN_FILE = "run.json"
TIMINGS_FILE = "timings.json"
LOCK_FILE = ".lock"
_OURS = (
    RUN_FILE, "report.md", "report.html", "builds", "draws", "forms", "ranges", "examples", "logs", "diagnosis",
    "search", "next_recipe.yaml",
)  # fmt: skip


def read(folder: Path) -> Run:
    """Return the run in a directory.

    Raises:
        OutputError: there is no run, it has another schema, or the directory holds a link to something outside it.
    """
    path = folder / RUN_FILE
    try:
        check_links(folder, _OURS)
        return Run.model_validate_json(path.read_bytes()).model_copy(update={"sha256": None})
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


class RunDirectory(RunPaths):
    """The directory of the current run. Nothing else writes its run.json.

    Args:
        root: the run directory.
        run: the record so far.

    Attributes:
        run: the record so far; each change replaces it.
        previous: the earlier run that this one continues.
        watch: files that must not change.
        settled: whether the request has proved valid.
        doubts: what was wrong with the record of the earlier run, in sentences for the user.
    """

    def __init__(self, root: Path, run: Run) -> None:
        super().__init__(root)
        self.run = run
        self.previous: Run | None = None
        self.watch = Watch()
        self.settled = False
        self.doubts: tuple[str, ...] = ()
        self._lock: Lock | None = None
        self._created: Path | None = None
        self._backup: Path | None = None
        self._before: bytes | None = None  # run.json of the earlier run, if this one continues it

    def claim(self, overwrite: bool) -> None:
        """Claim the directory: create it, or continue an earlier run of the same request.

        Raises:
            OutputError: the directory cannot be written, holds something else, or another run uses it.
        """
        if self.root.exists() and not self.root.is_dir():
            raise OutputError(f"the output {self.root} is a file", expected="a directory, existing or not")
        existing = next((ancestor for ancestor in (self.root, *self.root.parents) if ancestor.exists()), Path("/"))
        if not os.access(existing, os.W_OK | os.X_OK):
            raise self._unwritable(f"no permission to write in {existing}")
        try:
            if not self.root.exists():
                self._created = _first_missing(self.root)
                self.root.mkdir(parents=True)
            self.hold()
            if any(each.name != LOCK_FILE for each in self.root.iterdir()):
                self.previous = self._earlier(overwrite)
                durable.sweep(self.root)
            if self.previous is not None:
                # From its first write, the new record holds what the earlier one held.
                continued = ("rows", "data", "speed", "diagnosis")
                self.update(**{name: getattr(self.previous, name) for name in continued})
            self.save()
        except OSError as error:
            with suppress(OSError):
                if self._lock is not None:
                    self.discard()
            raise self._unwritable(error.strerror or str(error)) from error
        except OutputError:
            self.release()
            raise

    def hold(self) -> None:
        """Keep other runs out of the directory, until `release` or the end of this process.

        Raises:
            OutputError: another run uses it.
            OSError: the directory cannot be written.
        """
        self._lock = lock(self.root / LOCK_FILE)
        if self._lock is None:
            with suppress(OSError):
                who = (self.root / LOCK_FILE).read_text(encoding="utf-8", errors="replace").strip()
            raise OutputError(
                f"the output directory {self.root} is in use by another run ({who or 'it has just begun'})",
                expected="one run in a directory at a time",
                fix="wait until it ends, or choose another directory with --out",
            )
        who = f"process {os.getpid()} on {socket.gethostname()}, request {self.run.request.sha256[:8]}"
        self._lock.note(f"{who}, since {time.strftime('%Y-%m-%d %H:%M:%S')}\n")

    def release(self) -> None:
        """Let other runs use the directory."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _unwritable(self, why: str) -> OutputError:
        what = f"the output directory {self.root} cannot be written: {why}"
        return OutputError(what, fix="free some space there, or name another directory with --out")

    def _earlier(self, overwrite: bool) -> Run | None:
        """Return the run that this one continues; set another one aside if it is to be overwritten."""
        if not overwrite:
            check_links(self.root, _OURS)
        try:
            earlier = read(self.root)
        except OutputError as error:
            if not (self.root / RUN_FILE).exists():
                raise OutputError(
                    f"the output directory {self.root} is not empty and holds no run",
                    fix="name another directory with --out",
                ) from None
            cut_off = _is_cut_off(error) and any((self.root / name).is_dir() for name in _OURS)
            if not cut_off and not overwrite:
                fix = "name another directory with --out, or replace it with --overwrite"
                raise OutputError(error.what, expected="an empty directory, or a run", fix=fix) from error
            earlier = None
            if cut_off and not overwrite:  # all that was done is known to the store
                self._before = (self.root / RUN_FILE).read_bytes()
                self.doubts = (f"{RUN_FILE} of the earlier run is incomplete, so it is written again",)
                return None
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
        self._before = (self.root / RUN_FILE).read_bytes()
        if not records.holds(self._before):
            self.doubts = (f"{RUN_FILE} was changed after it was written, so everything in it is measured again",)
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
        try:
            if self._created is not None:
                shutil.rmtree(self._created, ignore_errors=True)
            elif self._before is not None:
                durable.write(self.root / RUN_FILE, self._before)
            else:
                for name in _OURS:
                    _remove(self.root / name)
                    if self._backup is not None and (self._backup / name).exists():
                        (self._backup / name).rename(self.root / name)
                self.settle()
        finally:
            self.release()

    def save(self) -> None:
        """Write run.json."""
        durable.write(self.root / RUN_FILE, records.text_of(self.run))

    def keep_timings(self, recipe_id: str, raw: Mapping[str, object]) -> None:
        """Save all timing samples of a build beside it."""
        durable.write(self.build(recipe_id) / TIMINGS_FILE, json.dumps(raw) + "\n")

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


def _comparable(earlier: HostRecord, current: HostRecord) -> bool:
    """Whether rows of both hosts are comparable: same CPU, threads, Python and libraries."""
    fields = ("cpu", "isa", "threads", "python", "versions")
    return all(getattr(earlier, name) == getattr(current, name) for name in fields)


def _first_missing(path: Path) -> Path:
    """Return the topmost directory that `path.mkdir(parents=True)` would create."""
    while not path.parent.exists():
        path = path.parent
    return path


def _is_cut_off(error: OutputError) -> bool:
    """Whether a record cannot be read because it is no JSON, as after a full disk or a power cut."""
    cause = error.__cause__
    return isinstance(cause, ValidationError) and cause.errors()[0]["type"] == "json_invalid"


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
