"""Turn labels into what tasks compare with: classes, given by number or by name, or values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.errors import DataError
from bitpick.models.model import Signature

Labels = NDArray[Any]
"""Labels as a source stores them: numbers of any shape (n, …), or strings of shape (n,)."""
MOST_CLASSES = 1000  # if the model outputs integers, larger labels are quantities, not classes
_LISTED = 10  # labels that a message lists


@dataclass(frozen=True)
class Encoded:
    """Labels in the form that tasks compare with.

    Attributes:
        labels: by split name: integer classes of shape (n,), int64; or other values of shape (n, …), float32 or
            integers.
        classes: class names in the order of their numbers; empty if the labels are not classes.
        notes: how the labels were read, in sentences for the user.
        values: the label that the source uses for each class, if that is not the class number, e.g. -1 and 1.
    """

    labels: dict[str, Labels]
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    values: tuple[int, ...] = ()


def encode(
    labels: Mapping[str, Labels],
    source_names: Sequence[str] = (),
    order: Sequence[str] | None = None,
    signature: Signature | None = None,
    names: bool = False,
) -> Encoded:
    """Encode the labels of all splits in the same way.

    Args:
        labels: the labels of each split, by name.
        source_names: class names in the order of the class numbers, if the source has them.
        order: class names in the order of the model's scores, if the user gave them.
        signature: outputs of the model: they give the number of classes if nothing else does.
        names: whether labels are class names even if they look like numbers, as folder names can.

    Raises:
        DataError: these cannot be labels, or they do not match the class names.
    """
    if not labels:
        return Encoded({}, tuple(order or source_names))
    plain = {split: _squeezed(each) for split, each in labels.items()}
    parsed = {split: _numbers(each) for split, each in plain.items()}
    numbers = {split: each for split, each in parsed.items() if each is not None}
    if len(numbers) < len(plain):
        return _encode_names({split: each.astype(np.str_) for split, each in plain.items()}, source_names, order)
    notes: tuple[str, ...] = ()
    width = _one_hot_width(numbers)
    if width:
        numbers = {split: each.argmax(axis=1) for split, each in numbers.items()}
        notes = ("the labels are one-hot: the place of the 1 in a row is the class",)
    if not source_names and _are_signs(numbers) and not set(map(str, _SIGNS)) <= set(order or ()):
        return _encode_signs(numbers, order)
    if not all(map(_are_integers, numbers.values())):
        return Encoded(numbers, _column_names(numbers, order or source_names))
    integers = {split: each.astype(np.int64) for split, each in numbers.items()}
    spellings = _spellings(plain.values())
    if order is not None or source_names:
        encoded = _encode_with_names(integers, spellings, source_names, order)
    elif width:
        encoded = Encoded(integers, tuple(map(str, range(width))))
    else:
        encoded = _encode_integers(numbers, integers, spellings, _Scores.of(signature), names)
    return replace(encoded, notes=(*notes, *encoded.notes))


def _squeezed(labels: Labels) -> Labels:
    """Return labels without axes of size 1, as finite numbers or strings."""
    labels = np.asarray(labels)
    if labels.ndim > 1 and labels.shape[1:] == (1,) * (labels.ndim - 1):
        labels = labels.reshape(len(labels))
    if labels.dtype.kind == "S":
        labels = labels.astype(np.str_)
    if labels.dtype.kind not in "biufU":
        raise DataError(f"the labels have the dtype {labels.dtype}", expected="numbers, or names of classes")
    if labels.dtype.kind == "f":
        _check_finite(labels)
    return labels


def _check_finite(labels: Labels) -> None:
    if not np.isfinite(labels).all():
        row = int(np.argwhere(~np.isfinite(labels))[0][0])
        raise DataError(f"the label of sample {row} is no finite number", fix="leave that sample out, or label it")


def _numbers(labels: Labels) -> Labels | None:
    """Return labels as int64 or float32, parsing strings; None if any string is not a number."""
    if labels.dtype.kind == "U":
        if not any(letter.isdecimal() for word in np.unique(labels) for letter in str(word)):
            return None  # `nan` and `inf` parse as floats, but are names here
        for kind in (np.int64, np.float64):
            try:
                return _numbers(labels.astype(kind))
            except (ValueError, OverflowError):
                continue
        return None
    if labels.dtype.kind == "f":
        _check_finite(labels)
    return labels.astype(np.int64) if labels.dtype.kind in "biu" else labels.astype(np.float32)


def _spellings(plain: Sequence[Labels] | Any) -> dict[int, str]:
    """Map integers to their spelling, e.g. 7 to `007`; empty if a label is no integer, or has two spellings."""
    words = {str(word) for each in plain if each.dtype.kind == "U" for word in np.unique(each)}
    spellings = {int(word): word for word in words if word.isdecimal()}
    return spellings if len(spellings) == len(words) else {}


def _one_hot_width(labels: Mapping[str, Labels]) -> int:
    """Return the number of classes of one-hot labels; 0 if the labels are not one-hot."""
    widths = {each.shape[1] if each.ndim == 2 else 0 for each in labels.values()}
    width = widths.pop() if len(widths) == 1 else 0
    hot = width > 1 and all(np.isin(each, (0, 1)).all() and (each.sum(axis=1) == 1).all() for each in labels.values())
    return width if hot else 0


_SIGNS = (-1, 1)


def _are_signs(labels: Mapping[str, Labels]) -> bool:
    """Whether labels are -1 and 1, as support vector machines and the hinge loss use them."""
    return all(np.isin(each, _SIGNS).all() for each in labels.values()) and any(
        (each < 0).any() for each in labels.values()
    )


def _encode_signs(labels: Mapping[str, Labels], given: Sequence[str] | None) -> Encoded:
    """Encode labels -1 and 1 as the classes 0 and 1."""
    names = tuple(given or map(str, _SIGNS))
    if len(names) != len(_SIGNS):
        raise DataError(
            f"the labels are -1 and 1, but there are {len(names)} class names",
            expected="two names, that of -1 first",
        )
    encoded = {split: (each > 0).astype(np.int64) for split, each in labels.items()}
    note = "the labels -1 and 1 are two classes: a higher score means 1"
    return Encoded(encoded, names, (note,), _SIGNS)


def _are_integers(labels: Labels) -> bool:
    """Whether there is one whole number per sample, stored as integers or as floats."""
    if labels.ndim != 1 or len(labels) == 0:
        return False
    return labels.dtype.kind == "i" or bool((labels == np.floor(labels)).all() and np.abs(labels).max() < 2**53)


def _column_names(labels: Mapping[str, Labels], names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of multi-label columns, if there is a name for each column."""
    return tuple(names) if all(each.ndim == 2 and each.shape[1] == len(names) for each in labels.values()) else ()


def _encode_names(words: Mapping[str, Labels], source_names: Sequence[str], order: Sequence[str] | None) -> Encoded:
    """Encode names as indices into the class names: those given, otherwise all names that occur, sorted."""
    present = sorted({str(word) for each in words.values() for word in np.unique(each)})
    classes = tuple(order or source_names or present)
    if unknown := [word for word in present if word not in classes]:
        raise _no_class(unknown[0], classes)
    index = {name: i for i, name in enumerate(classes)}
    return Encoded({s: np.array([index[str(w)] for w in each], np.int64) for s, each in words.items()}, classes)


def _no_class(label: str, classes: Sequence[str]) -> DataError:
    return DataError(
        f"the label {label!r} is not one of the {len(classes)} classes given",
        expected=_list(classes),
        fix="name every class with --classes, in the order of the model's scores",
    )


def _encode_with_names(
    integers: Mapping[str, Labels],
    spellings: Mapping[int, str],
    source_names: Sequence[str],
    order: Sequence[str] | None,
) -> Encoded:
    """Encode numbers whose class names are given, by the source, or by the user in score order.

    If the user's names include every number, the numbers are names: `--classes 0,1,10,2` gives their order. Otherwise
    the user's names are those of 0, 1, 2, ….
    """
    if source_names:
        indices = {split: _indices(each, len(source_names)) for split, each in integers.items()}
        if order is None:
            return Encoded(dict(indices), tuple(source_names))
        return _encode_names(
            {split: np.array(source_names)[each] for split, each in indices.items()}, source_names, order
        )
    assert order is not None
    present = {int(number) for each in integers.values() for number in np.unique(each)}
    words = {number: spellings.get(number, str(number)) for number in present}
    if not set(words.values()) <= set(order):
        by_value = {int(name): name for name in order if _is_integer(name)}
        words = {number: by_value.get(number, word) for number, word in words.items()}
    if not set(words.values()) <= set(order):
        if outside := [number for number in sorted(present) if not 0 <= number < len(order)]:
            raise _no_class(words[outside[0]], order)
        return Encoded(dict(integers), tuple(order))
    result = _encode_names(
        {s: np.array([words[int(number)] for number in each]) for s, each in integers.items()}, (), order
    )
    numbers = {name: int(name) for name in order if _is_integer(name)} | {
        word: number for number, word in words.items()
    }
    values = tuple(numbers.get(name, -1) for name in order)
    return replace(result, values=values) if len(numbers) == len(order) and values != (*range(len(order)),) else result


def _is_integer(name: str) -> bool:
    return name.removeprefix("-").isdecimal()


def _indices(labels: Labels, count: int) -> NDArray[np.int64]:
    indices = labels.astype(np.int64)
    if indices.ndim != 1 or indices.min() < 0 or indices.max() >= count:
        hint = "-1 marks an unknown label: evaluate on a split with labels" if indices.min() == -1 else ""
        raise DataError(
            f"the labels go from {indices.min()} to {indices.max()}, but the data set names {count} classes",
            expected=f"labels 0 to {count - 1}",
            fix=hint,
        )
    return indices


@dataclass(frozen=True)
class _Scores:
    """The outputs of a model that integer labels could belong to.

    Attributes:
        rows: lengths of the outputs that are vectors of two numbers or more, in order.
        scalar: whether an output is a single number: a value, or the score of one of two classes.
        class_number: whether an output may be the class number itself.
        any_known: whether the size of any output is known.
    """

    rows: tuple[int, ...]
    scalar: bool
    class_number: bool
    any_known: bool

    @staticmethod
    def of(signature: Signature | None) -> _Scores:
        outputs = signature.outputs if signature else ()
        counts = [tensor.count for tensor in outputs]
        class_number = any(tensor.is_index and tensor.count == 1 for tensor in outputs)
        return _Scores(tuple(count for count in counts if count > 1), 1 in counts, class_number, any(counts))

    def classes(self, highest: int) -> int:
        """Return the number of classes, given the highest label; 0 if every output is too short for it.

        An output with exactly one score per label wins, otherwise the first that is long enough: a model may output
        features besides its scores.
        """
        sizes = [*self.rows, *([2] if self.scalar else [])]
        enough = [size for size in sizes if highest < size]
        return highest + 1 if highest + 1 in enough else next(iter(enough), 0)


def _encode_integers(
    numbers: Mapping[str, Labels],
    integers: Mapping[str, Labels],
    spellings: Mapping[int, str],
    scores: _Scores,
    are_names: bool,
) -> Encoded:
    """Encode integers without class names: as classes if the model has scores for them, otherwise as values."""
    present = np.unique(np.concatenate([np.unique(each) for each in integers.values()]))
    low, high, count = int(present[0]), int(present[-1]), sum(map(len, integers.values()))
    stored_as_integers = all(each.dtype.kind == "i" for each in numbers.values())
    if low >= 0 and not scores.any_known and stored_as_integers and high < count:
        return Encoded(dict(integers), tuple(spellings.get(i, str(i)) for i in range(high + 1)))
    if low >= 0 and (size := scores.classes(high)):
        return Encoded(dict(integers), tuple(spellings.get(i, str(i)) for i in range(size)))
    if low >= 0 and scores.class_number and high < min(count, MOST_CLASSES):
        return Encoded(dict(integers), tuple(spellings.get(i, str(i)) for i in range(high + 1)))
    if are_names or (low >= 0 and len(present) in scores.rows):
        names = tuple(spellings.get(int(number), str(number)) for number in present)
        indices = {split: np.searchsorted(present, each) for split, each in integers.items()}
        return Encoded(indices, names, (_order_note(names),), tuple(map(int, present)))
    if stored_as_integers and scores.scalar and not scores.rows and present.tolist() == [1, 2]:
        raise DataError(
            "the labels are 1 and 2, and the model gives one number, which can be a value or the score of a class",
            expected="0 and 1 for two classes",
            fix="say --classes 1,2, or store them as 0 and 1",
        )
    # These are values. If no output is a scalar, only a custom metric can compare with them, so they stay as stored.
    return Encoded({split: each.astype(np.float32) if scores.scalar else each for split, each in numbers.items()})


def _order_note(names: Sequence[str]) -> str:
    return (
        f"the labels {_list(names)} are taken as class names, in the order of the model's scores: "
        "guessed, --classes overrides it"
    )


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:_LISTED]) + (" …" if len(names) > _LISTED else "")
