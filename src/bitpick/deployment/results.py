"""Read the results that `run.py` writes on a device."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt, ValidationError

from bitpick.errors import DataError
from bitpick.preprocessing import Arrays
from bitpick.schema.speed import Device


class Sample(BaseModel):
    """The outputs of a build for one sample.

    Attributes:
        name: the name of the sample's file, for people.
        digest: the digest of the stored sample, see `sampling.digest`.
        outputs: the values of each output, as nested lists.
    """

    name: str
    digest: str
    outputs: list[Any] = Field(min_length=1)


class Times(BaseModel):
    """The time of each run.

    Attributes:
        nanoseconds: the time of each run, after untimed warm-up runs.
        batch: number of samples in one run.
        threads: number of threads inside one inference.
    """

    nanoseconds: list[NonNegativeInt] = Field(min_length=1)
    batch: PositiveInt = 1
    threads: PositiveInt = 1


class Machine(BaseModel):
    """The device."""

    cpu: str = ""
    platform: str = ""


class Results(BaseModel):
    """The content of `results.json`. Other fields, which a user's own program may write, are ignored.

    Attributes:
        recipe: the recipe of the build.
        files: SHA-256 of each of the build's files, by name.
        settings: the session settings.
        samples: the outputs for each sample.
        latency: the times of the runs; None if they were not timed.
        machine: the device.
        versions: versions of the libraries that ran the build.
    """

    schema_version: Literal[1]
    recipe: str
    files: dict[str, str]
    settings: dict[str, str] = {}
    samples: list[Sample] = Field(min_length=1)
    latency: Times | None = None
    machine: Machine = Machine()
    versions: dict[str, str] = {}

    @property
    def outputs(self) -> Arrays:
        """Each output of shape (samples, …), float32.

        Raises:
            ValueError: samples have outputs of different shapes.
        """
        columns = zip(*(sample.outputs for sample in self.samples), strict=True)
        return tuple(np.asarray(column, dtype=np.float32) for column in columns)

    def device(self, sha256: str) -> Device:
        """Return the device and its times, as stored in the row that is made from the results file with this digest."""
        device = Device(
            cpu=self.machine.cpu, platform=self.machine.platform, versions=self.versions, results_sha256=sha256
        )
        if self.latency is None:
            return device
        seconds = np.asarray(self.latency.nanoseconds) / 1e9
        times = {"p50": float(np.quantile(seconds, 0.5)), "p90": float(np.quantile(seconds, 0.9)), "runs": len(seconds)}
        return device.model_copy(update=times | {"batch": self.latency.batch, "threads": self.latency.threads})


def read(path: Path) -> Results:
    """Return the results in a file.

    Raises:
        DataError: the file cannot be read, or holds no results.
    """
    expected = "what the run.py of a build writes with --results"
    try:
        return Results.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(f"the results {path} cannot be read: {error.strerror}", expected=expected) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(f"{path} holds no results: {where} {first['msg']}".rstrip(), expected=expected) from error
