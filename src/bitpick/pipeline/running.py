"""Run each job once: in an executor, or by taking its earlier result from the store."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from bitpick.artifacts import durable
from bitpick.artifacts.code import revision
from bitpick.artifacts.store import NoRoom, Store, key_of
from bitpick.conversion.route import hops
from bitpick.datasets.dataset import Samples
from bitpick.engines.registry import engines, outside_distributions
from bitpick.errors import BitpickError, InstructionError, OperatorError, RequestError, Unsupported
from bitpick.executors.executor import Executor, Outcome, unheard
from bitpick.executors.progress import Report
from bitpick.models.model import model_sha256, sha256_of
from bitpick.passes.registry import passes
from bitpick.pipeline.job import Job
from bitpick.targets.host import this_host
from bitpick.tasks.task import Task
from bitpick.version import installed_version

CANNOT = (Unsupported, OperatorError, InstructionError)
"""Errors for what an engine or a conversion cannot do. They are stored like results; other errors are failures."""
_LIBRARIES = ("numpy", "onnx", "onnxruntime")  # used by the functions of every environment


class Runner:
    """Runs jobs, and reuses stored results.

    A job's result has a key: a digest of the job's function, its payload (in which the job that made a file stands for
    the file), bitpick's code, the libraries of its environment, and this machine. A job whose key is in the store is
    not run: its files are copied from there. Files are written to the store first, so they appear whole or not at all.

    Args:
        executor: runs the jobs whose results are not stored.
        store: keeps results; None keeps nothing.
        place: a folder to use if the store cannot be written.
    """

    def __init__(self, executor: Executor, store: Store | None, place: Path) -> None:
        self._executor = executor
        self._store = store
        self._place = place
        self._names: dict[Path, str] = {}
        self._digests: dict[tuple[Path, tuple[int, ...]], str] = {}

    def places(self, environment: str) -> int:
        """See `Executor.slots`."""
        return self._executor.slots(environment)

    def close(self) -> None:
        """Close the executor."""
        self._executor.close()

    def name(self, path: Path, identity: str) -> None:
        """Set what stands for an input file in keys; by default its digest does."""
        self._names[path.absolute()] = identity

    def key(self, job: Job) -> str:
        """Return the key of a job's result."""
        payload = {name: job.stand_ins.get(name, value) for name, value in job.payload.items() if name not in job.makes}
        return key_of(
            {
                "function": job.path,
                "payload": self._identity(payload),
                "environment": job.environment,
                "code": revision(),
                "libraries": _libraries(job.environment.partition("@")[0]),
                "machine": [this_host().machine, *this_host().isa, this_host().python],
            }
        )

    def expect(self, job: Job) -> str:
        """Return a job's key, and name the files that it will make, so that keys of later jobs can be computed."""
        key = self.key(job)
        for field in job.makes:
            self.name(Path(job.payload[field]), f"{key}:{field}")
        return key

    def knows(self, job: Job) -> bool:
        """Whether a job's result is in the store."""
        return job.kept and self._store is not None and self._store.get(self.key(job)) is not None

    def run(self, job: Job, progress: Report = unheard) -> Outcome:
        """Run a job, or take its result from the store; afterwards the files that it makes exist.

        Args:
            job: the job.
            progress: called with what the job reports while it runs.

        Raises:
            BitpickError: the job's function failed.
        """
        key = self.expect(job)
        stored = self._store.get(key) if job.kept and self._store is not None else None
        if stored is not None:
            if "error" in stored.value:
                raise BitpickError.from_dict(stored.value["error"])
            self._deliver(job, stored.folder, stored.value["names"], stored.digests)
            return Outcome(**stored.value["outcome"])
        names = {field: Path(job.payload[field]).name for field in job.makes}
        with self._scratch() as folder:
            try:
                outcome = self._run(job, folder, progress)
                value = {"outcome": to_jsonable_python(outcome), "names": names}
            except CANNOT as error:
                with suppress(NoRoom, OSError):
                    self._keep(job, key, folder, {"error": error.to_dict()})
                raise
            try:
                stored_files = self._keep(job, key, folder, value)
            except (NoRoom, OSError):
                stored_files = None
            source, digests = stored_files or (folder, {})
            self._deliver(job, source, names, digests)
        return outcome

    def _run(self, job: Job, folder: Path, progress: Report) -> Outcome:
        """Run a job, with its output files redirected into a folder."""
        payload = dict(job.payload)
        for field in job.makes:
            (folder / field).mkdir()
            payload[field] = folder / field / Path(payload[field]).name
        return self._executor.run(job.environment, job.path, payload, progress)

    def _keep(self, job: Job, key: str, folder: Path, value: Mapping[str, Any]) -> tuple[Path, dict[str, str]] | None:
        if self._store is None or not job.kept or not folder.is_relative_to(self._store.folder):
            return None
        entry = self._store.put(key, folder, value)
        return entry.folder, entry.digests

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        """Yield a scratch folder, in the store if it can be written."""
        with ExitStack() as stack:
            folder = self._in_store(stack)
            if folder is None:
                self._place.mkdir(parents=True, exist_ok=True)
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=durable.PARTIAL, dir=self._place)))
            yield folder

    def _in_store(self, stack: ExitStack) -> Path | None:
        with suppress(OSError):
            return stack.enter_context(self._store.scratch()) if self._store is not None else None
        return None

    def _deliver(self, job: Job, folder: Path, names: Mapping[str, str], digests: Mapping[str, str]) -> None:
        """Copy a job's files, stored under these names, to the paths in its payload, unless they are there already."""
        for field in job.makes:
            out = Path(job.payload[field])
            out.parent.mkdir(parents=True, exist_ok=True)
            for stored in (folder / field).iterdir():
                expected = {
                    name.removeprefix(f"{field}/{stored.name}").removeprefix("/"): digest
                    for name, digest in digests.items()
                    if name == f"{field}/{stored.name}" or name.startswith(f"{field}/{stored.name}/")
                }
                _copy(stored, out if stored.name == names[field] else out.with_name(stored.name), expected)

    def _identity(self, value: Any) -> Any:
        """Return what stands for a part of a payload in a key."""
        match value:
            case Samples():
                return self._samples(value)
            case Path():
                return self._names.get(value.absolute()) or self._digest(value)
            case BaseModel():
                fields = {name: self._identity(getattr(value, name)) for name in type(value).model_fields}
                return fields | ({"code": value.code} if isinstance(value, Task) and value.code else {})
            case Mapping():
                return {str(name): self._identity(item) for name, item in value.items()}
            case list() | tuple():
                return [self._identity(item) for item in value]
        return to_jsonable_python(value)

    def _samples(self, samples: Samples) -> dict[str, Any]:
        """Return what identifies samples: their digest and preprocessing, but not their path."""
        parts = samples.model_dump(mode="json", include={"count", "sha256", "preprocessing", "values", "activations"})
        labels = samples.labels and self._names.get(samples.labels.absolute())
        return parts | {
            "inputs": [path.name for path in samples.inputs],
            "labels": labels or samples.labels is not None,
        }

    def _digest(self, path: Path) -> str:
        """Return the digest of a file or folder; a file's digest is cached until the file changes."""
        stat = path.stat()
        key = path.absolute(), (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
        if path.is_dir() or key not in self._digests:
            self._digests[key] = model_sha256(path)
        return self._digests[key]


def needed(jobs: Sequence[Job], runner: Runner) -> list[Job]:
    """Return the jobs whose results are wanted, and those that must run for them.

    Args:
        jobs: the jobs, each after those that it needs.
        runner: knows which results are stored.
    """
    for job in jobs:
        runner.expect(job)
    wanted = {job.id for job in jobs if job.wanted}
    for job in reversed(jobs):
        if job.id in wanted and not runner.knows(job):
            wanted |= set(job.needs)
    return [job for job in jobs if job.id in wanted]


@cache
def _libraries(environment: str) -> list[str]:
    """Return the versions of the libraries that an environment's functions use."""
    names = {
        *_LIBRARIES,
        *(package for each in engines().values() if each.environment == environment for package in each.packages),
    }
    names |= {package for each in passes().values() if each.environment == environment for package in each.packages}
    names |= {package for hop in hops() if hop.environment == environment for package in hop.packages}
    versions = [f"{name} {version}" for name in sorted(names) if (version := installed_version(name)) is not None]
    return versions + [f"{name} {version}" for name, version in sorted(outside_distributions().items())]


def _copy(source: Path, out: Path, digests: Mapping[str, str]) -> None:
    """Copy a file or folder, so that it appears whole or not at all; leave an identical one in place."""
    if digests and all(_has_digest(out / name, digest) for name, digest in digests.items()):
        return
    durable.copy(source, out)


def _has_digest(path: Path, digest: str) -> bool:
    try:
        return sha256_of(path) == digest
    except (OSError, RequestError):
        return False
