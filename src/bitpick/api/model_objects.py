"""Accept models as notebooks pass them: a path, or the model object."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from bitpick.artifacts import durable, temporary
from bitpick.artifacts.cache import cache_root
from bitpick.conversion import objects
from bitpick.datasets.load import DataSource
from bitpick.models.model import sha256_of
from bitpick.models.source import Source

Model = str | Path | Source | Any
"""A path, a `Source` if opening it needs options, or a `keras.Model` or `torch.nn.Module`."""


def source_of(model: Model, data_set: DataSource, example: Any = None) -> Source:
    """Return the model as a `Source`; an object is first saved to a file in the cache.

    Args:
        model: the model.
        data_set: its first samples are used to export a `torch.nn.Module` without an example.
        example: inputs of a `torch.nn.Module`, see `bitpick.compare`.

    Raises:
        RequestError: it is not a model, or the data set cannot be read.
        OperatorError: `torch.export` cannot express it.
    """
    if isinstance(model, (str, Path, Source)):
        return Source.of(model)
    with temporary.folder("model") as folder:
        inputs = example if example is not None or not objects.needs_example(model) else _samples(data_set)
        source = objects.save(model, folder, inputs)
        path = Path(source.name)
        if path.is_dir():  # a SavedModel is a folder: no single digest identifies it
            cached = temporary.new_folder("model") / path.name
            shutil.move(path, cached)
        else:
            cached = _cached(path)
    return Source(str(cached), trusted=True)


def _cached(path: Path) -> Path:
    """Return where a file is in the cache, or in the temporary folder if the cache cannot be written."""
    digest = sha256_of(path)
    cached = cache_root() / "models" / digest[:16] / path.name
    try:
        if not cached.is_file() or sha256_of(cached) != digest:
            cached.parent.mkdir(parents=True, exist_ok=True)
            durable.copy(path, cached)
    except OSError:
        cached = temporary.new_folder("model") / path.name
        shutil.copyfile(path, cached)
    return cached


def _samples(data_set: DataSource) -> tuple[Any, ...]:
    """Return two samples of a data set as float32, except large integers, which are indices."""
    arrays = []
    for array in data_set.load().calibration.inputs.values():
        indices = array.dtype.kind == "i" and array.dtype.itemsize > 2
        arrays.append(np.array(array[:2], array.dtype if indices else np.float32))
    return tuple(arrays)
