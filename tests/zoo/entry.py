"""The zoo's table: one small model an entry, with what is right for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = list[NDArray[Any]]
SAMPLES = {"train": 96, "test": 400}  # so many that a build which loses nothing is shown to be good enough


@dataclass(frozen=True)
class Made:
    """What an entry's maker wrote, and what its model's own runtime makes of the evaluation samples.

    Attributes:
        model: the file, or module:function.
        data: the data set, as a user names it.
        inputs: the evaluation samples as the model takes them, in its order: each of shape (n, …), without the axis
            that is the batch in the model.
        floats: what the model's own runtime gives for them, one sample at a time: each of shape (n, …).
        labels: those of the evaluation samples; None where there are none.
        axes: which axis of each input is the batch; None for an input without one.
        options: of `bitpick.compare`.
    """

    model: Path | str
    data: Path
    inputs: Arrays
    floats: Arrays
    labels: NDArray[Any] | None = None
    axes: tuple[int | None, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """A model of the zoo.

    Attributes:
        name: its name.
        make: writes the model and its data to a folder.
        family: the module that it is in.
        framework: what makes it: `onnx`, `torch` or `keras`, of which two never share a process.
        task: the task that bitpick must make of it; None where any without a false figure is right.
        metric: the metric that its rows are judged by.
        output: which output that is about.
        least: of the float model's metric where higher is better, else the most: the entry means something.
        refused: a pattern of the reason where the model must be refused; empty where it must be accepted.
        only_float: nothing of it can become integer in ONNX Runtime: every static build fails or is flagged.
        never: whether no static build of ONNX Runtime may be recommended; others may leave more in float.
    """

    name: str
    make: Callable[[Path], Made]
    family: str
    framework: str = "onnx"
    task: str | None = None
    metric: str | None = None
    output: int = 0
    least: float | None = None
    refused: str = ""
    only_float: bool = False
    never: bool = False


ENTRIES: dict[str, Entry] = {}


def accepted(task: str | None = None, metric: str | None = None, **fields: Any) -> Callable[..., Any]:
    """Enter a maker whose model is right to be accepted, as this task judged by this metric."""
    return _entered(task=task, metric=metric, **fields)


def refused(pattern: str, **fields: Any) -> Callable[..., Any]:
    """Enter a maker whose model is right to be refused, with a reason that matches this pattern."""
    return _entered(refused=pattern, **fields)


def _entered(**fields: Any) -> Callable[..., Any]:
    def enter(make: Callable[[Path], Made]) -> Callable[[Path], Made]:
        name, family = make.__name__, make.__module__.rpartition(".")[2]
        assert name not in ENTRIES, name
        framework = next((each for each in ("torch", "keras", "litert") if each in family), "onnx")
        ENTRIES[name] = Entry(name, make, family, **{"framework": framework, **fields})
        return make

    return enter


def rng() -> np.random.Generator:
    """The source of every entry's numbers."""
    return np.random.default_rng(0)


def write_samples(folder: Path, parts: Mapping[str, Mapping[str, NDArray[Any]]]) -> Path:
    """Write the splits of a data set, each an `.npz` file, and return their folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, arrays in parts.items():
        np.savez(folder / f"{name}.npz", **arrays)
    return folder
