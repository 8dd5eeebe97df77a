"""Samples that Python hands over: arrays, or anything to iterate over, written to the cache as they come."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.datasets import cache, npy, splits
from bitpick.datasets.arrays import LABEL_NAMES
from bitpick.datasets.assembling import Found
from bitpick.datasets.options import DataOptions
from bitpick.errors import DataError

_ROOM = 256 * 2**20  # bytes between two looks at how much room there is


@dataclass(frozen=True)
class Kept:
    """Samples that were handed over, in files.

    Attributes:
        found: by the names of splits; one alone is divided later.
        sha256: digest of all of them.
    """

    found: dict[str, Found]
    sha256: str

    @property
    def name(self) -> str:
        """What such a data set is called: the same samples have the same name."""
        return f"samples-{self.sha256[:8]}"


def keep(data: Any, options: DataOptions) -> Kept:
    """Write samples to the cache.

    Args:
        data: of one set, or of two as `{"calibration": …, "evaluation": …}` or as two pairs of inputs and labels: an
            array of shape (n, …); a tuple of inputs and labels; a dict of arrays by the names of the model's inputs,
            with labels among them; or an iterable, or a function that returns an iterator, of single samples or of
            batches, each inputs, a pair, or a dict. Arrays are numpy's, or have `__array__` or `.numpy()`.
        options: `labels` names the labels in a dict; `batched` says what an iterable gives.

    Raises:
        DataError: it is none of these, or samples differ in shape.
    """
    if isinstance(data, Mapping) and data and all(splits.known(str(name)) for name in data):
        found = {str(name): _kept(each, options) for name, each in data.items()}
    elif isinstance(data, tuple) and _is_pair(data) and all(_is_pair(each) for each in data):
        found = {name: _kept(each, options) for name, each in zip(("calibration", "evaluation"), data, strict=True)}
    else:
        found = {"": _kept(data, options)}
    digests = [each.sha256 for each in found.values()]
    digests += [hashlib.sha256(each.labels.tobytes()).hexdigest() for each in found.values() if each.labels is not None]
    return Kept(found, npy.combined(digests))


def _is_pair(data: Any) -> bool:
    return isinstance(data, (tuple, list)) and len(data) == 2


def _is_array(data: Any) -> bool:
    return hasattr(data, "shape") and (hasattr(data, "__array__") or hasattr(data, "numpy"))


def _kept(data: Any, options: DataOptions) -> Found:
    """One split."""
    if _is_array(data) or (isinstance(data, Mapping) and all(map(_is_array, data.values()))):
        return _written(iter([_parts(data, options)]), batched=True)
    if isinstance(data, tuple) and _is_pair(data) and (_is_array(data[0]) or isinstance(data[0], Mapping)):
        return _written(iter([_parts(data, options)]), batched=True)
    try:
        source = data() if callable(data) else data
    except Exception as error:
        raise DataError(
            f"a {type(data).__name__} gives no samples when it is called: {type(error).__name__}: {error}",
            expected="the samples, or a function without arguments that returns them",
        ) from error
    try:
        elements = iter(source)
    except TypeError as error:
        raise DataError(
            f"a data set cannot be a {type(data).__name__}",
            expected="a path, arrays, a pair of inputs and labels, a dict of arrays, or an iterable of samples",
        ) from error
    batched = options.batched
    if batched is None and getattr(source, "batch_size", None) is not None:
        batched = True  # as PyTorch's loaders say
    return _written((_parts(each, options) for each in elements), batched)


Parts = tuple[dict[str, NDArray[Any]], NDArray[Any] | None]
"""Inputs by name, and labels."""


def _parts(element: Any, options: DataOptions) -> Parts:
    """What an element holds."""
    if isinstance(element, Mapping):
        names = [str(name) for name in element]
        label = options.labels or next((name for name in LABEL_NAMES if name in names), None)
        own = {str(name): _array(each) for name, each in element.items()}
        target = own.pop(label, None) if label is not None else None
        return own, target
    if _is_pair(element) and not np.isscalar(element[0]):
        inputs, _ = _parts(element[0], options) if isinstance(element[0], Mapping) else ({"input": element[0]}, None)
        if isinstance(element[0], (tuple, list)) and all(map(_is_array, element[0])):
            inputs = {f"input{i}": each for i, each in enumerate(element[0])}
        return {name: _array(each) for name, each in inputs.items()}, _array(element[1])
    return {"input": _array(element)}, None


def _array(data: Any) -> NDArray[Any]:
    """Anything that is an array, as numpy's."""
    for step in ("detach", "cpu"):  # a tensor of PyTorch may have a gradient, or be elsewhere
        data = getattr(data, step)() if callable(getattr(data, step, None)) else data
    found = np.asarray(data.numpy() if callable(getattr(data, "numpy", None)) else data)
    if found.dtype.kind not in "biufSU":
        raise DataError(f"a sample has the dtype {found.dtype}", expected="arrays of numbers, of one shape")
    return found.astype(np.float32) if found.dtype == np.float64 else found


def _written(elements: Iterator[Parts], batched: bool | None) -> Found:
    """Write elements as they come into the cache."""
    with cache.scratch() as folder:
        with contextlib.ExitStack() as stack:
            names, labels = _into(folder, elements, batched, stack)
        paths = [folder / f"{i}.npy" for i in range(len(names))]
        digest = npy.sha256(paths)

        def make(place: Path) -> dict[str, Any]:
            for path in paths:
                path.replace(place / path.name)
            return {}

        kept, _ = cache.entry(["streamed", digest], 0, make)
    return Found({name: kept / f"{i}.npy" for i, name in enumerate(names)}, labels, digest)


def _into(
    folder: Path, elements: Iterator[Parts], batched: bool | None, stack: contextlib.ExitStack
) -> tuple[list[str], NDArray[Any] | None]:
    """Write the inputs of elements to files; what an element is, a sample or a batch, its labels tell if nothing does.

    Returns:
        The names of the inputs, and all labels.
    """
    targets: list[NDArray[Any]] = []
    writers: dict[str, npy.Writer] = {}
    written, looked = 0, 0
    for inputs, target in elements:
        if batched is None:
            batched = target is not None and target.ndim > 0 and len(target) == _length(inputs)
        if not writers:
            writers = {
                name: stack.enter_context(npy.Writer(folder / f"{i}.npy", name)) for i, name in enumerate(inputs)
            }
        if set(inputs) != set(writers):
            raise DataError(f"a sample has {', '.join(inputs)}, and those before it {', '.join(writers)}")
        written += sum(each.nbytes for each in inputs.values())
        if written > looked:
            cache.make_room(written)
            looked = written + _ROOM
        for name, each in inputs.items():
            writers[name].append(each if batched else each[None])
        if target is not None:
            targets.append(target if batched else target[None])
    if not writers:
        raise DataError("the data set has no samples", expected="an iterable that gives at least two")
    return list(writers), np.concatenate(targets) if targets else None


def _length(inputs: Mapping[str, NDArray[Any]]) -> int:
    first = next(iter(inputs.values()))
    return len(first) if first.ndim else -1
