"""Store the description of a run's evaluation set for use after the run."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from bitpick.artifacts import durable
from bitpick.artifacts.cache import cache_root
from bitpick.artifacts.store import Store
from bitpick.artifacts.watch import is_sealed, seal
from bitpick.datasets.dataset import Samples
from bitpick.datasets.sampling import digest
from bitpick.errors import DataError, OutputError, RequestError
from bitpick.measures.outputs import targets_of
from bitpick.pipeline.arrays import save
from bitpick.pipeline.inputs import Inputs
from bitpick.preprocessing import Arrays
from bitpick.tasks.custom import Custom
from bitpick.tasks.registry import AnyTask
from bitpick.tasks.task import Targets, Task


@dataclass(frozen=True)
class EvaluationSet:
    """An evaluation set.

    Attributes:
        samples: the samples, with their paths at the time of the run.
        names: names of the model's inputs.
        digests: digest of each sample, of shape (n,); see `sampling.digest`.
        targets: the targets.
        task: how builds are judged on it.
        root: the run directory.
        trusted: whether the user trusts what the run names: a metric that is code, and samples elsewhere.
    """

    samples: Samples
    names: tuple[str, ...]
    digests: NDArray[np.bytes_]
    targets: Targets
    task: Task
    root: Path
    trusted: bool = False

    def check_code(self) -> None:
        """Refuse to judge anything by code that the run names, unless the user trusts the run.

        Raises:
            OutputError: the task is the user's own metric, and the run is not trusted.
        """
        if isinstance(self.task, Custom) and not self.trusted:
            raise _untrusted(f"the run in {self.root} is judged by {self.task.path}, which is code")

    def _check_samples(self) -> None:
        """Refuse samples in any other place than the run and bitpick's cache, unless the user trusts the run."""
        known = [folder.resolve() for folder in (self.root, cache_root(), Store.default().folder)]
        for file in self.samples.files:
            if not self.trusted and not any(file.resolve().is_relative_to(folder) for folder in known):
                raise _untrusted(f"the samples of the run in {self.root} are read from {file}")

    def stored(self, places: NDArray[np.int64]) -> list[list[NDArray[Any]]]:
        """Return samples as stored: for each, the array of every input.

        Raises:
            DataError: the samples are gone, or have changed.
            OutputError: they are elsewhere, and the run is not trusted.
        """
        self._check_samples()
        rows = places if self.samples.indices is None else np.load(self.samples.indices)[places]
        with contextlib.suppress(OSError, ValueError, IndexError):
            inputs = [np.load(path, mmap_mode="r") for path in self.samples.inputs]
            samples = [[array[row] for array in inputs] for row in rows]
            if [digest(each) for each in samples] == self.digests[places].astype(str).tolist():
                return samples
        raise DataError(
            f"the samples that the run was evaluated on are no longer in {self.samples.inputs[0].parent}",
            fix="run bitpick compare again with the same data",
        )

    def inputs(self, places: NDArray[np.int64]) -> Arrays:
        """Return samples as the model takes them, each input of shape (len(places), …); see `stored`."""
        pairs = zip(zip(*self.stored(places), strict=True), self.samples.preprocessing, strict=True)
        return tuple(prepare(np.stack(column)) for column, prepare in pairs)


def _untrusted(what: str) -> OutputError:
    return OutputError(
        what,
        expected="a run that names nothing but its own files and those in bitpick's cache, if someone else made it",
        fix="if you trust where the run comes from, say so with --trust-run",
    )


def keep(path: Path, inputs: Inputs) -> None:
    """Write what later commands need to know about a run's evaluation set."""
    samples = inputs.evaluation
    description = {
        "samples": np.array(samples.model_dump_json()),
        "names": np.array([tensor.name for tensor in inputs.signature.inputs]),
        "task": np.array(inputs.task.model_dump_json()),
    }
    save(path, {"digests": inputs.digests, "targets": targets_of(samples)} | description)
    seal(path, samples.sha256)


def read(path: Path, sha256: str, trusted: bool = False) -> EvaluationSet:
    """Return the evaluation set that `keep` wrote.

    Args:
        path: the file.
        sha256: the digest of the set in the run's record.
        trusted: see `EvaluationSet`.

    Raises:
        OutputError: the file is missing, or has changed.
    """
    try:
        if path.exists() and not is_sealed(path, sha256):
            raise ValueError(f"{path} changed since it was written, or is of another run")
        with np.load(path, allow_pickle=False) as file:
            return EvaluationSet(
                samples=Samples.model_validate_json(str(file["samples"])),
                names=tuple(file["names"].tolist()),
                digests=file["digests"],
                targets=file["targets"],
                task=TypeAdapter(AnyTask).validate_json(str(file["task"])),
                root=path.parent.parent,
                trusted=trusted,
            )
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise OutputError(
            f"the run does not say which samples it was evaluated on: {error}",
            fix="run the same bitpick compare again, which keeps what was measured and writes the rest",
        ) from error


def export(known: EvaluationSet, out: Path, count: int) -> list[Path]:
    """Write evaluation samples for the `run.py` of a build: one file each, named by its index in the set.

    Args:
        known: the evaluation set.
        out: a new or empty directory.
        count: how many, evenly spaced over the set; at most all of them.

    Raises:
        RequestError: `out` is not a new or empty directory, or the samples are gone.
    """
    total = len(known.digests)
    if not count >= 1:
        raise RequestError(f"the number of samples {count} is out of range", expected="at least 1")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"the output {out} exists and is not an empty directory", fix="name another with --out")
    places = np.linspace(0, total - 1, min(count, total)).astype(np.int64)
    samples = known.stored(places)
    written = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        for place, arrays in zip(places, samples, strict=True):
            file = out / f"{place:0{len(str(total - 1))}d}{'.npy' if len(arrays) == 1 else '.npz'}"
            if len(arrays) == 1:
                durable.save_array(file, arrays[0])
            else:
                save(file, dict(zip(known.names, arrays, strict=True)))
            written.append(file)
    except OSError as error:
        raise OutputError(
            f"the samples cannot be written in {out}: {error.strerror}", fix="name another directory with --out"
        ) from error
    return written
