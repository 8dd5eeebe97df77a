"""Samples that Python hands over: arrays, or anything to iterate over, written to the cache as they come."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.datasets import arrays, cache, label_choice, npy, splits
from bitpick.datasets.assembling import Found
from bitpick.datasets.options import DataOptions
from bitpick.errors import DataError
from bitpick.library_errors import typed_line
from bitpick.models.model import Signature

_ROOM = 256 * 2**20  # bytes between two looks at how much room there is


@dataclass(frozen=True)
class Part:
    """Samples of one split, in files.

    Attributes:
        files: of each array, by its name.
        labels: those of pairs of inputs and labels; None where there are none.
        named: whether the arrays came by names, so that one of them may hold the labels.
        sha256: digest of the arrays.
    """

    files: dict[str, Path]
    labels: NDArray[Any] | None
    named: bool
    sha256: str


@dataclass(frozen=True)
class Kept:
    """Samples that were handed over, in files.

    Attributes:
        parts: by the names of splits; one alone is divided later.
        sha256: digest of all of them.
    """

    parts: dict[str, Part]
    sha256: str

    @property
    def name(self) -> str:
        """What such a data set is called: the same samples have the same name."""
        return f"samples-{self.sha256[:8]}"

    def found(self, options: DataOptions, signature: Signature | None) -> dict[str, Found]:
        """Inputs and labels of each split; of arrays with names as `arrays.by_split` finds them.

        Raises:
            DataError: the arrays are not what is asked for, or more than one could be the labels.
        """
        found: dict[str, Found] = {}
        for split, part in self.parts.items():
            if part.named:
                where = f"the dict of {split} samples" if split else "the dict of samples"
                parts = arrays.by_split(where, part.files, options, signature, len(self.parts) == 1)
                found |= parts if len(self.parts) == 1 else {split: next(iter(parts.values()))}
            else:
                found[split] = Found(part.files, part.labels, part.sha256)
        return found


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


def _kept(data: Any, options: DataOptions) -> Part:
    """One split."""
    if _is_frame(data):
        data = {str(name): _column(data[name]) for name in data.columns}
    pair = isinstance(data, tuple) and _is_pair(data) and (_is_array(data[0]) or isinstance(data[0], Mapping))
    if _is_array(data) or isinstance(data, Mapping) or pair:
        return _written(iter([_elements(data).repeated()]), True, options)
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
        batched = True  # as PyTorch's loaders say
    return _written(map(_elements, elements), batched, options)


@dataclass(frozen=True)
class _Element:
    """A sample or a batch: its arrays by their names, and the labels of a pair; whether the names were given."""

    arrays: dict[str, NDArray[Any]]
    labels: NDArray[Any] | None = None
    named: bool = False

    def is_batch(self, asked: str | None) -> bool:
        """Whether the labels, or what looks like them, have an axis as long as that of the other arrays."""
        labels = self.labels
        if self.named:
            if any(each.ndim == 0 for each in self.arrays.values()):
                return False
            likely = [n for n in self.arrays if n == asked or (asked is None and label_choice.says_labels(n))]
            labels = self.arrays[likely[0]] if likely and len(self.arrays) > 1 else None
        others = [each for each in self.arrays.values() if each is not labels]
        return labels is not None and labels.ndim > 0 and all(e.ndim > 0 and len(e) == len(labels) for e in others)

    def repeated(self) -> _Element:
        """This, as a whole split: a single value, such as a sampling rate, is there once for each sample."""
        count = next((len(each) for each in self.arrays.values() if each.ndim), None)
        if count is None:
            raise DataError(f"{next(iter(self.arrays))} is a single value", expected="samples along the first axis")
        return replace(self, arrays={n: each if each.ndim else np.full(count, each) for n, each in self.arrays.items()})


def _elements(element: Any) -> _Element:
    """What an element of an iterable holds."""
    if isinstance(element, Mapping):
        return _Element({str(name): _array(each, str(name)) for name, each in element.items()}, named=True)
    if _is_pair(element) and not np.isscalar(element[0]):
        inputs = element[0] if isinstance(element[0], Mapping) else {"input": element[0]}
        if isinstance(element[0], (tuple, list)) and all(map(_is_array, element[0])):
            inputs = {f"input{i}": each for i, each in enumerate(element[0])}
        return _Element({str(n): _array(each, str(n)) for n, each in inputs.items()}, _array(element[1], "labels"))
    return _Element({"input": _array(element, "input")})


def _is_frame(data: Any) -> bool:
    """Whether something has columns with names, as a data frame of pandas or Polars has."""
    return hasattr(data, "columns") and hasattr(data, "__getitem__") and len(getattr(data, "shape", ())) == 2


def _column(data: Any) -> Any:
    """A column of a data frame; times as words, which no model takes, but which may stand beside what it takes."""
    found = _numpy(data)
    return found.astype(np.str_) if found.dtype.kind in "mM" else found


def _numpy(data: Any) -> NDArray[Any]:
    for step in ("detach", "cpu"):  # a tensor of PyTorch may have a gradient, or be elsewhere
        data = getattr(data, step)() if callable(getattr(data, step, None)) else data
    return np.asarray(data.numpy() if callable(getattr(data, "numpy", None)) else data)


def _array(data: Any, name: str) -> NDArray[Any]:
    """Anything that is an array, as numpy's; words that are Python objects as words."""
    found = _numpy(data)
    if found.dtype.kind == "O" and found.size:
        other = next((i for i, each in enumerate(found.flat) if not isinstance(each, str)), None)
        if other is None:
            found = found.astype(np.str_)
        elif any(isinstance(each, str) for each in found.flat):
            raise DataError(
                f"sample {other} of {name} is {found.flat[other]!r}, but others are words",
                expected="a word for each sample",
                fix="fill in such samples, or leave them out",
            )
    if found.dtype.kind not in "biufSU":
        raise DataError(
            f"{name} has the dtype {found.dtype}",
            expected="arrays of numbers of one shape, or words for labels",
            fix="hand over numbers as np.stack(samples).astype('float32'), words as words.astype(str)",
        )
    return found.astype(np.float32) if found.dtype == np.float64 else found


def _written(elements: Iterator[_Element], batched: bool | None, options: DataOptions) -> Part:
    """Write elements as they come into the cache."""
    with cache.scratch() as folder:
        with contextlib.ExitStack() as stack:
            names, labels, named = _into(folder, elements, batched, options, stack)
        paths = [folder / f"{i}.npy" for i in range(len(names))]
        digest = npy.sha256(paths)

        def make(place: Path) -> dict[str, Any]:
            for path in paths:
                path.replace(place / path.name)
            return {}

        kept, _ = cache.entry(["streamed", digest], 0, make)
    return Part({name: kept / f"{i}.npy" for i, name in enumerate(names)}, labels, named, digest)


def _into(
    folder: Path,
    elements: Iterator[_Element],
    batched: bool | None,
    options: DataOptions,
    stack: contextlib.ExitStack,
) -> tuple[list[str], NDArray[Any] | None, bool]:
    """Write the arrays of elements to files; what an element is, a sample or a batch, its labels tell if nothing does.

    Returns:
        The names of the arrays, the labels of pairs, and whether the names were given.
    """
    targets: list[NDArray[Any]] = []
    writers: dict[str, npy.Writer | npy.Collector] = {}
    written, looked, named = 0, 0, False
    for element in elements:
        if batched is None:
            batched = element.is_batch(options.labels)
        if not writers:
            named = element.named
            for i, (name, each) in enumerate(element.arrays.items()):
                # Few, and of several dtypes: words of other lengths, whole numbers beside others.
                few = each.dtype.kind in "SU" or (named and (name == options.labels or label_choice.says_labels(name)))
                path = folder / f"{i}.npy"
                made: npy.Writer | npy.Collector = npy.Collector(path, name) if few else npy.Writer(path, name)
                stack.enter_context(made)
                writers[name] = made
        if set(element.arrays) != set(writers):
            raise DataError(f"a sample has {', '.join(element.arrays)}, but those before it have {', '.join(writers)}")
        written += sum(each.nbytes for each in element.arrays.values())
        if written > looked:
            cache.make_room(written)
            looked = written + _ROOM
        for name, each in element.arrays.items():
            writers[name].append(each if batched else each[None])
        if element.labels is not None:
            targets.append(element.labels if batched else element.labels[None])
    if not writers:
        raise DataError("the data set has no samples", expected="an iterable that gives at least two")
    return list(writers), np.concatenate(targets) if targets else None, named
