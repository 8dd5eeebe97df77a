"""The evaluation set of a run, as it stays known when the run is over."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from bitpick.comparison.plan import Inputs
from bitpick.data.dataset import Samples
from bitpick.errors import OutputError
from bitpick.measures.outputs import targets_of
from bitpick.measures.tasks.registry import AnyTask
from bitpick.measures.tasks.task import Targets, Task


@dataclass(frozen=True)
class EvaluationSet:
    """An evaluation set.

    Attributes:
        samples: where its samples were when the run was made.
        digests: of each sample, see `sampling.digest`; shape (n,).
        targets: what is right.
        task: how builds are judged on it.
    """

    samples: Samples
    digests: NDArray[np.bytes_]
    targets: Targets
    task: Task


def keep(path: Path, inputs: Inputs) -> None:
    """Write what later commands must know of a run's evaluation set."""
    samples = inputs.evaluation
    partial = path.with_name(f"partial-{path.name}")
    np.savez(
        partial,
        digests=inputs.digests,
        targets=targets_of(samples),
        samples=np.array(samples.model_dump_json()),
        task=np.array(inputs.task.model_dump_json()),
    )
    partial.replace(path)


def read(path: Path) -> EvaluationSet:
    """The evaluation set that `keep` wrote.

    Raises:
        OutputError: it is not there.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return EvaluationSet(
                samples=Samples.model_validate_json(str(file["samples"])),
                digests=file["digests"],
                targets=file["targets"],
                task=TypeAdapter(AnyTask).validate_json(str(file["task"])),
            )
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise OutputError(
            f"the run does not say which samples it was evaluated on: {error}",
            mend="run the same bitpick compare again, which keeps what was measured and writes the rest",
        ) from error
