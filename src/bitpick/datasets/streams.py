"""Write samples from Python, as arrays or iterables, to the cache as they arrive."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.datasets import arrays, cache, label_choice, npy, splits
from bitpick.datasets.assembling import RawSplit
from bitpick.datasets.options import DataOptions
from bitpick.errors import DataError
from bitpick.library_errors import typed_line
from bitpick.models.model import Signature

_ROOM = 256 * 2**20  # bytes written between two checks of the free space


@dataclass(frozen=True)
class Part:
    """Samples of one split, in files.

    Attributes:
        files: file of each array, by name.
        labels: labels from pairs of inputs and labels; None if there are none.
        named: whether the user named the arrays, so that one of them may hold the labels.
        sha256: digest of the arrays.
    """

    files: dict[str, Path]
    labels: NDArray[Any] | None
    named: bool
    sha256: str


@dataclass(frozen=True)
class CachedSamples:
    """Samples from Python, in files.

    Attributes:
        parts: by split name; a single one is divided later.
        sha256: digest of all parts.
    """

    parts: dict[str, Part]
    sha256: str

    @property
    def name(self) -> str:
        """Name of the data set: the same samples always have the same name."""
        return f"samples-{self.sha256[:8]}"

    def read(self, options: DataOptions, signature: Signature | None) -> dict[str, RawSplit]:
        """Return inputs and labels of each split; `arrays.by_split` tells named arrays apart.

        Raises:
            DataError: the arrays do not fit the options or the model, or more than one could be the labels.
        """
        raw: dict[str, RawSplit] = {}
        for split, part in self.parts.items():
            if part.named:
                where = f"the dict of {split} samples" if split else "the dict of samples"
                members = arrays.by_split(where, part.files, options, signature, len(self.parts) == 1)
                raw |= members if len(self.parts) == 1 else {split: next(iter(members.values()))}
            else:
                raw[split] = RawSplit(part.files, part.labels, part.sha256)
        return raw


def cache_samples(data: Any, options: DataOptions) -> CachedSamples:
    """Write samples to the cache.

    Args:
        data: one set; or two, as `{"calibration": …, "evaluation": …}` or as two pairs of inputs and labels. A set is
            an array of shape (n, …); a tuple of inputs and labels; a dict of arrays by the names of the model's inputs,
            labels included; or an iterable, or a function that returns an iterator, of single samples or batches, each
            of them inputs, a pair, or a dict. Arrays are numpy's, or have `__array__` or `.numpy()`.
        options: `labels` names the labels in a dict; `batched` tells whether an iterable yields batches.

    Raises:
        DataError: data is none of these, or samples differ in shape.
    """
    if isinstance(data, Mapping) and data and all(splits.is_usual_name(str(name)) for name in data):
        parts = {str(name): _cached_part(each, options) for name, each in data.items()}
    elif isinstance(data, tuple) and _is_pair(data) and all(_is_pair(each) for each in data):
        parts = {
            name: _cached_part(each, options) for name, each in zip(("calibration", "evaluation"), data, strict=True)
        }
    else:
        parts = {"": _cached_part(data, options)}
    digests = [each.sha256 for each in parts.values()]
    digests += [hashlib.sha256(each.labels.tobytes()).hexdigest() for each in parts.values() if each.labels is not None]
    return CachedSamples(parts, npy.combined(digests))


def _is_pair(data: Any) -> bool:
    return isinstance(data, (tuple, list)) and len(data) == 2


def _is_array(data: Any) -> bool:
    return hasattr(data, "shape") and (hasattr(data, "__array__") or hasattr(data, "numpy"))


def _cached_part(data: Any, options: DataOptions) -> Part:
    """Write one split to the cache."""
    if _is_frame(data):
        data = {str(name): _column(data[name]) for name in data.columns}
    is_pair = isinstance(data, tuple) and _is_pair(data) and (_is_array(data[0]) or isinstance(data[0], Mapping))
    if _is_array(data) or isinstance(data, Mapping) or is_pair:
        return _write(iter([_as_element(data).repeated()]), True, options)
    try:
        source = data() if callable(data) else data
    except Exception as error:
        raise DataError(
            f"a {type(data).__name__} gives no samples when it is called: {typed_line(error)}",
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
        batched = True  # a PyTorch data loader
    return _write(map(_as_element, elements), batched, options)


@dataclass(frozen=True)
class _Element:
    """A sample or a batch: its arrays by name, the labels of a pair, and whether the user named the arrays."""

    arrays: dict[str, NDArray[Any]]
    labels: NDArray[Any] | None = None
    named: bool = False

    def is_batch(self, asked: str | None) -> bool:
        """Whether the labels, or what look like labels, are as long as the first axis of the other arrays."""
        labels = self.labels
        if self.named:
            if any(each.ndim == 0 for each in self.arrays.values()):
                return False
            likely = [n for n in self.arrays if n == asked or (asked is None and label_choice.is_label_name(n))]
            labels = self.arrays[likely[0]] if likely and len(self.arrays) > 1 else None
        others = [each for each in self.arrays.values() if each is not labels]
        return labels is not None and labels.ndim > 0 and all(e.ndim > 0 and len(e) == len(labels) for e in others)

    def repeated(self) -> _Element:
        """Return the element as a whole split: a single value, such as a sampling rate, is repeated for each sample."""
        count = next((len(each) for each in self.arrays.values() if each.ndim), None)
        if count is None:
            raise DataError(f"{next(iter(self.arrays))} is a single value", expected="samples along the first axis")
        return replace(self, arrays={n: each if each.ndim else np.full(count, each) for n, each in self.arrays.items()})


def _as_element(element: Any) -> _Element:
    """Return the arrays in an element of an iterable."""
    if isinstance(element, Mapping):
        return _Element({str(name): _array(each, str(name)) for name, each in element.items()}, named=True)
    if _is_pair(element) and not np.isscalar(element[0]):
        inputs = element[0] if isinstance(element[0], Mapping) else {"input": element[0]}
        if isinstance(element[0], (tuple, list)) and all(map(_is_array, element[0])):
            inputs = {f"input{i}": each for i, each in enumerate(element[0])}
        return _Element({str(n): _array(each, str(n)) for n, each in inputs.items()}, _array(element[1], "labels"))
    return _Element({"input": _array(element, "input")})


def _is_frame(data: Any) -> bool:
    """Whether data has named columns, like a pandas or Polars data frame."""
    return hasattr(data, "columns") and hasattr(data, "__getitem__") and len(getattr(data, "shape", ())) == 2


def _column(data: Any) -> Any:
    """Return a column of a data frame. Times become strings: no model takes them, but unused columns may hold them."""
    array = _numpy(data)
    return array.astype(np.str_) if array.dtype.kind in "mM" else array


def _numpy(data: Any) -> NDArray[Any]:
    for method in ("detach", "cpu"):  # a PyTorch tensor may require grad, or be on another device
        data = getattr(data, method)() if callable(getattr(data, method, None)) else data
    return np.asarray(data.numpy() if callable(getattr(data, "numpy", None)) else data)


def _array(data: Any, name: str) -> NDArray[Any]:
    """Return an array-like as a numpy array; strings stored as Python objects become numpy strings."""
    array = _numpy(data)
    if array.dtype.kind == "O" and array.size:
        other = next((i for i, each in enumerate(array.flat) if not isinstance(each, str)), None)
        if other is None:
            array = array.astype(np.str_)
        elif any(isinstance(each, str) for each in array.flat):
            raise DataError(
                f"sample {other} of {name} is {array.flat[other]!r}, but others are words",
                expected="a word for each sample",
                fix="fill in such samples, or leave them out",
            )
    if array.dtype.kind not in "biufSU":
        raise DataError(
            f"{name} has the dtype {array.dtype}",
            expected="arrays of numbers of one shape, or words for labels",
            fix="hand over numbers as np.stack(samples).astype('float32'), words as words.astype(str)",
        )
    return array.astype(np.float32) if array.dtype == np.float64 else array


def _write(elements: Iterator[_Element], batched: bool | None, options: DataOptions) -> Part:
    """Write elements to the cache as they arrive."""
    with cache.scratch() as folder:
        with contextlib.ExitStack() as stack:
            names, labels, named = _write_arrays(folder, elements, batched, options, stack)
        paths = [folder / f"{i}.npy" for i in range(len(names))]
        digest = npy.sha256(paths)

        def make(target: Path) -> dict[str, Any]:
            for path in paths:
                shutil.move(path, target / path.name)  # another disk, if the store cannot be written
            return {}

        cached, _ = cache.entry(["streamed", digest], 0, make)
    return Part({name: cached / f"{i}.npy" for i, name in enumerate(names)}, labels, named, digest)


def _write_arrays(
    folder: Path,
    elements: Iterator[_Element],
    batched: bool | None,
    options: DataOptions,
    stack: contextlib.ExitStack,
) -> tuple[list[str], NDArray[Any] | None, bool]:
    """Write the arrays of elements to files. If `batched` is None, labels tell whether an element is a batch.

    Returns:
        The names of the arrays, the labels of pairs, and whether the user named the arrays.
    """
    targets: list[NDArray[Any]] = []
    writers: dict[str, npy.Writer | npy.Collector] = {}
    written, checked, named = 0, 0, False
    for element in elements:
        if batched is None:
            batched = element.is_batch(options.labels)
        if not writers:
            named = element.named
            for i, (name, each) in enumerate(element.arrays.items()):
                # Likely labels: small, and dtypes may differ, e.g. strings of several lengths, or integers and floats.
                is_label = each.dtype.kind in "SU" or (
                    named and (name == options.labels or label_choice.is_label_name(name))
                )
                path = folder / f"{i}.npy"
                writer: npy.Writer | npy.Collector = npy.Collector(path, name) if is_label else npy.Writer(path, name)
                stack.enter_context(writer)
                writers[name] = writer
        if set(element.arrays) != set(writers):
            raise DataError(f"a sample has {', '.join(element.arrays)}, but those before it have {', '.join(writers)}")
        written += sum(each.nbytes for each in element.arrays.values())
        if written > checked:
            cache.make_room(written)
            checked = written + _ROOM
        for name, each in element.arrays.items():
            writers[name].append(each if batched else each[None])
        if element.labels is not None:
            targets.append(element.labels if batched else element.labels[None])
    if not writers:
        raise DataError("the data set has no samples", expected="an iterable that gives at least two")
    return list(writers), np.concatenate(targets) if targets else None, named
