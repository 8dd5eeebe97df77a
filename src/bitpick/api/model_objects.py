"""Models as notebooks hand them over: a path, or the object itself."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from bitpick.artifacts.store import cache_root
from bitpick.conversion import objects
from bitpick.datasets.load import DataSource
from bitpick.models.model import sha256_of
from bitpick.models.source import Source

Model = str | Path | Source | Any
"""A path, a `Source` where opening it needs options, or a `keras.Model` or `torch.nn.Module`."""


def source_of(model: Model, read: DataSource, example: Any = None) -> Source:
    """The model as a run takes it; an object is written to a file in the cache.

    Args:
        model: the model.
        read: the data set, whose first samples are what a `torch.nn.Module` is exported with, where there is no
            example.
        example: inputs of a `torch.nn.Module`, see `bitpick.compare`.

    Raises:
        RequestError: it is no model, or the data set cannot be read.
        OperatorError: `torch.export` cannot express it.
    """
    if isinstance(model, (str, Path, Source)):
        return Source.of(model)
    made = cache_root() / "models"
    made.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=made, prefix="partial-") as folder:
        wanted = example if example is not None or not objects.needs_example(model) else _samples(read)
        source = objects.save(model, Path(folder), wanted)
        path = Path(source.name)
        if path.is_dir():  # a SavedModel says nothing of itself in one digest
            kept = Path(tempfile.mkdtemp(dir=made)) / path.name
        else:
            kept = made / sha256_of(path)[:16] / path.name
        if not kept.exists():
            kept.parent.mkdir(exist_ok=True)
            shutil.move(path, kept)
    return Source(str(kept), trusted=True)


def _samples(read: DataSource) -> tuple[Any, ...]:
    """Two samples of a data set: all but large integers, which are indices, as float32."""
    found = []
    for array in read.load().calibration.inputs.values():
        indices = array.dtype.kind == "i" and array.dtype.itemsize > 2
        found.append(np.array(array[:2], array.dtype if indices else np.float32))
    return tuple(found)
