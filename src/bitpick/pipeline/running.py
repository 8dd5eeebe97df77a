"""Jobs done once: each is run by an executor, or what it gave before is taken from the store."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from bitpick.artifacts.code import revision
from bitpick.artifacts.store import NoRoom, Store, key_of
from bitpick.conversion.route import hops
from bitpick.datasets.dataset import Samples
from bitpick.engines.registry import engines, outside_distributions
from bitpick.errors import BitpickError, InstructionError, OperatorError, RequestError, Unsupported
from bitpick.executors.executor import Executor, Outcome
from bitpick.models.model import model_sha256, sha256_of
from bitpick.pipeline.job import Job
from bitpick.targets.host import this_host
from bitpick.tasks.task import Task
from bitpick.version import installed_version

CANNOT = (Unsupported, OperatorError, InstructionError)
"""What an engine, or a conversion on the way to it, cannot do: an answer like another. All else is a failure."""
_LIBRARIES = ("numpy", "onnx", "onnxruntime")  # that functions of every environment use


class Runner:
    """Runs jobs.

    What a job gives has a key: the digest of its function, of its payload, in which a file stands for what made it, of
    the code of bitpick, of the libraries of its environment, and of this machine. A job with a known key is not run:
    its files are copied from the store. They are written there first, so that they appear whole or not at all.

    Args:
        executor: runs what is not known.
        store: keeps what jobs give; None keeps nothing.
        place: a folder for what cannot be written in the store.
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
        """End what runs jobs."""
        self._executor.close()

    def name(self, path: Path, what: str) -> None:
        """Say what a file is, which jobs read and no job made; of others the digest says it."""
        self._names[path.absolute()] = what

    def key(self, job: Job) -> str:
        """What a job's results are kept under."""
        payload = {name: job.stands.get(name, value) for name, value in job.payload.items() if name not in job.makes}
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
        """The key of a job that is to be run; what it makes has a name from now on, whether it is there or not."""
        key = self.key(job)
        for field in job.makes:
            self.name(Path(job.payload[field]), f"{key}:{field}")
        return key

    def knows(self, job: Job) -> bool:
        """Whether a job need not be run."""
        return job.kept and self._store is not None and self._store.get(self.key(job)) is not None

    def run(self, job: Job) -> Outcome:
        """What a job gives; the files that it makes are there afterwards.

        Raises:
            BitpickError: what its function raised.
        """
        key = self.expect(job)
        found = self._store.get(key) if job.kept and self._store is not None else None
        if found is not None:
            if "error" in found.value:
                raise BitpickError.from_dict(found.value["error"])
            self._deliver(job, found.folder, found.value["names"], found.digests)
            return Outcome(**found.value["outcome"])
        names = {field: Path(job.payload[field]).name for field in job.makes}
        with self._scratch() as folder:
            try:
                outcome = self._run(job, folder)
                value = {"outcome": to_jsonable_python(outcome), "names": names}
            except CANNOT as error:
                with suppress(NoRoom, OSError):
                    self._keep(job, key, folder, {"error": error.to_dict()})
                raise
            try:
                kept = self._keep(job, key, folder, value)
            except (NoRoom, OSError):
                kept = None
            made, digests = kept or (folder, {})
            self._deliver(job, made, names, digests)
        return outcome

    def _run(self, job: Job, folder: Path) -> Outcome:
        """Run a job that writes into a folder of its own."""
        payload = dict(job.payload)
        for field in job.makes:
            (folder / field).mkdir()
            payload[field] = folder / field / Path(payload[field]).name
        return self._executor.run(job.environment, job.path, payload)

    def _keep(
        self, job: Job, key: str, folder: Path, value: Mapping[str, Any]
    ) -> tuple[Path, dict[str, str | None]] | None:
        if self._store is None or not job.kept or not folder.is_relative_to(self._store.folder):
            return None
        made = self._store.put(key, folder, value)
        return made.folder, made.digests

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        """A folder to write in: in the store, where that can be written."""
        with ExitStack() as stack:
            folder = self._in_store(stack)
            if folder is None:
                self._place.mkdir(parents=True, exist_ok=True)
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".partial-", dir=self._place)))
            yield folder

    def _in_store(self, stack: ExitStack) -> Path | None:
        with suppress(OSError):
            return stack.enter_context(self._store.scratch()) if self._store is not None else None
        return None

    def _deliver(self, job: Job, folder: Path, names: Mapping[str, str], digests: Mapping[str, str | None]) -> None:
        """Copy the files that a job made, once under these names, to where its payload says, unless they are there."""
        for field in job.makes:
            out = Path(job.payload[field])
            out.parent.mkdir(parents=True, exist_ok=True)
            for made in (folder / field).iterdir():
                known = {
                    name.removeprefix(f"{field}/{made.name}").removeprefix("/"): digest
                    for name, digest in digests.items()
                    if name == f"{field}/{made.name}" or name.startswith(f"{field}/{made.name}/")
                }
                _copy(made, out if made.name == names[field] else out.with_name(made.name), known)

    def _identity(self, value: Any) -> Any:
        """What stands for a part of a payload in a key."""
        match value:
            case Samples():
                return self._samples(value)
            case Path():
                return self._names.get(value.absolute()) or self._digest(value)
            case BaseModel():
                fields = {name: self._identity(getattr(value, name)) for name in type(value).model_fields}
                return fields | ({"code": value.code} if isinstance(value, Task) and value.code else {})
            case Mapping():
                return {str(name): self._identity(each) for name, each in value.items()}
            case list() | tuple():
                return [self._identity(each) for each in value]
        return to_jsonable_python(value)

    def _samples(self, samples: Samples) -> dict[str, Any]:
        """What samples are: their digest, and what is done to them; not where they are."""
        parts = samples.model_dump(mode="json", include={"count", "sha256", "preprocessing", "values", "activations"})
        labels = samples.labels and self._names.get(samples.labels.absolute())
        return parts | {
            "inputs": [path.name for path in samples.inputs],
            "labels": labels or samples.labels is not None,
        }

    def _digest(self, path: Path) -> str:
        """The digest of a file or a folder, computed once for each state of it."""
        told = path.stat()
        key = path.absolute(), (told.st_size, told.st_mtime_ns, told.st_ctime_ns, told.st_ino)
        if path.is_dir() or key not in self._digests:
            self._digests[key] = model_sha256(path)
        return self._digests[key]


def needed(jobs: Sequence[Job], runner: Runner) -> list[Job]:
    """The jobs that somebody reads, and those that must be run for them.

    Args:
        jobs: each after those that it needs.
        runner: knows what was done before.
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
    """The versions of what an environment's functions use."""
    names = {*_LIBRARIES, *(p for each in engines().values() if each.environment == environment for p in each.packages)}
    names |= {package for hop in hops() if hop.environment == environment for package in hop.packages}
    versions = [f"{name} {version}" for name in sorted(names) if (version := installed_version(name)) is not None]
    return versions + [f"{name} {version}" for name, version in sorted(outside_distributions().items())]


def _copy(made: Path, out: Path, digests: Mapping[str, str | None]) -> None:
    """Copy a file or a folder to a place where it appears whole or not at all; one that is there as it is stays."""
    if digests and all(digest is not None and _is(out / name, digest) for name, digest in digests.items()):
        return
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=out.parent))
    try:
        copied = partial / out.name
        if made.is_dir():
            shutil.copytree(made, copied)
            copied.chmod(0o755)
            if out.exists():
                shutil.rmtree(out)
        else:
            shutil.copyfile(made, copied)
        copied.replace(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _is(path: Path, digest: str) -> bool:
    try:
        return sha256_of(path) == digest
    except (OSError, RequestError):
        return False
