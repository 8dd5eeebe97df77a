"""What labels are: classes by number or by name, values, several answers a sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.errors import DataError
from bitpick.models.model import Signature

Labels = NDArray[Any]
"""Labels as a source has them: numbers of any shape (n, …), or words of shape (n,)."""
MOST_CLASSES = 1000  # beside whole numbers that a model gives, labels that go further are amounts
_TOLD = 10  # labels that a message names


@dataclass(frozen=True)
class Encoded:
    """Labels as a task compares with them.

    Attributes:
        labels: for each split, by its name: integer classes of shape (n,), int64, or what else they are, float32 or
            integers, of shape (n, …).
        classes: names of the classes in the order of their numbers; empty where labels are no classes.
        notes: what was made of them, in words.
        values: what the source writes for each class, where that is not its number, as -1 and 1.
    """

    labels: dict[str, Labels]
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    values: tuple[int, ...] = ()


def encode(
    found: Mapping[str, Labels],
    known: Sequence[str] = (),
    asked: Sequence[str] | None = None,
    signature: Signature | None = None,
    names: bool = False,
) -> Encoded:
    """Make one kind of labels of those of all splits.

    Args:
        found: the labels of each split, by its name.
        known: names of the classes in the order of the numbers, where the source has them.
        asked: names in the order of the model's scores, where the user gave them.
        signature: what the model gives; it says how many classes there are where nothing else does.
        names: whether words are names of classes though they are numbers, as those of folders are.

    Raises:
        DataError: they are no labels, or not those that the names are for.
    """
    if not found:
        return Encoded({}, tuple(asked or known))
    plain = {split: _plain(each) for split, each in found.items()}
    read = {split: _numbers(each) for split, each in plain.items()}
    numbers = {split: each for split, each in read.items() if each is not None}
    if len(numbers) < len(plain):
        return _named({split: each.astype(np.str_) for split, each in plain.items()}, known, asked)
    notes: tuple[str, ...] = ()
    width = _one_hot(numbers)
    if width:
        numbers = {split: each.argmax(axis=1) for split, each in numbers.items()}
        notes = ("the labels are one-hot: the place of the 1 in a row is the class",)
    if not known and _signs(numbers) and not set(map(str, _SIGNS)) <= set(asked or ()):
        return _of_signs(numbers, asked)
    if not all(map(_whole, numbers.values())):
        return Encoded(numbers, _several(numbers, asked or known))
    whole = {split: each.astype(np.int64) for split, each in numbers.items()}
    spelled = _spelled(plain.values())
    if asked is not None or known:
        made = _told(whole, spelled, known, asked)
    elif width:
        made = Encoded(whole, tuple(map(str, range(width))))
    else:
        made = _numbered(numbers, whole, spelled, _Scores.of(signature), names)
    return replace(made, notes=(*notes, *made.notes))


def _plain(labels: Labels) -> Labels:
    """Labels without needless axes: finite numbers, or words."""
    labels = np.asarray(labels)
    if labels.ndim > 1 and labels.shape[1:] == (1,) * (labels.ndim - 1):
        labels = labels.reshape(len(labels))
    if labels.dtype.kind == "S":
        labels = labels.astype(np.str_)
    if labels.dtype.kind not in "biufU":
        raise DataError(f"the labels have the dtype {labels.dtype}", expected="numbers, or names of classes")
    if labels.dtype.kind == "f":
        _finite(labels)
    return labels


def _finite(labels: Labels) -> None:
    if not np.isfinite(labels).all():
        row = int(np.argwhere(~np.isfinite(labels))[0][0])
        raise DataError(f"the label of sample {row} is no finite number", fix="leave that sample out, or label it")


def _numbers(labels: Labels) -> Labels | None:
    """Labels as int64 or float32; words that are numbers, all of them, too; None where one is no number."""
    if labels.dtype.kind == "U":
        if not any(letter.isdecimal() for word in np.unique(labels) for letter in str(word)):
            return None  # NaN and Inf can be names, too
        for kind in (np.int64, np.float64):
            try:
                return _numbers(labels.astype(kind))
            except (ValueError, OverflowError):
                continue
        return None
    if labels.dtype.kind == "f":
        _finite(labels)
    return labels.astype(np.int64) if labels.dtype.kind in "biu" else labels.astype(np.float32)


def _spelled(plain: Sequence[Labels] | Any) -> dict[int, str]:
    """How words write whole numbers, `007` for 7, where they write each of them in one way."""
    words = {str(word) for each in plain if each.dtype.kind == "U" for word in np.unique(each)}
    found = {int(word): word for word in words if word.isdecimal()}
    return found if len(found) == len(words) else {}


def _one_hot(labels: Mapping[str, Labels]) -> int:
    """How many classes one-hot labels have; 0 where they are something else."""
    widths = {each.shape[1] if each.ndim == 2 else 0 for each in labels.values()}
    width = widths.pop() if len(widths) == 1 else 0
    hot = width > 1 and all(np.isin(each, (0, 1)).all() and (each.sum(axis=1) == 1).all() for each in labels.values())
    return width if hot else 0


_SIGNS = (-1, 1)


def _signs(labels: Mapping[str, Labels]) -> bool:
    """Whether labels are -1 and 1, as support vector machines and the hinge loss take them."""
    return all(np.isin(each, _SIGNS).all() for each in labels.values()) and any(
        (each < 0).any() for each in labels.values()
    )


def _of_signs(labels: Mapping[str, Labels], known: Sequence[str] | None) -> Encoded:
    """Labels of -1 and 1 as the classes 0 and 1."""
    names = tuple(known or map(str, _SIGNS))
    if len(names) != len(_SIGNS):
        raise DataError(
            f"the labels are -1 and 1, but there are {len(names)} class names",
            expected="two names, that of -1 first",
        )
    chosen = {split: (each > 0).astype(np.int64) for split, each in labels.items()}
    note = "the labels -1 and 1 are two classes: a higher score means 1"
    return Encoded(chosen, names, (note,), _SIGNS)


def _whole(labels: Labels) -> bool:
    """Whether labels are one whole number a sample, as integers or as floats."""
    if labels.ndim != 1 or len(labels) == 0:
        return False
    return labels.dtype.kind == "i" or bool((labels == np.floor(labels)).all() and np.abs(labels).max() < 2**53)


def _several(labels: Mapping[str, Labels], names: Sequence[str]) -> tuple[str, ...]:
    """The names of labels of which several hold for a sample, where there is one for each."""
    return tuple(names) if all(each.ndim == 2 and each.shape[1] == len(names) for each in labels.values()) else ()


def _named(words: Mapping[str, Labels], known: Sequence[str], asked: Sequence[str] | None) -> Encoded:
    """Names as their places among the classes: those that were given, else all there are, sorted."""
    there = sorted({str(word) for each in words.values() for word in np.unique(each)})
    classes = tuple(asked or known or there)
    if unknown := [word for word in there if word not in classes]:
        raise _no_class(unknown[0], classes)
    place = {name: i for i, name in enumerate(classes)}
    return Encoded({s: np.array([place[str(w)] for w in each], np.int64) for s, each in words.items()}, classes)


def _no_class(label: str, classes: Sequence[str]) -> DataError:
    return DataError(
        f"the label {label!r} is not one of the {len(classes)} classes given",
        expected=_list(classes),
        fix="name every class with --classes, in the order of the model's scores",
    )


def _told(
    whole: Mapping[str, Labels], spelled: Mapping[int, str], known: Sequence[str], asked: Sequence[str] | None
) -> Encoded:
    """Numbers whose names were given, by the source or by the user, whose order is that of the model's scores.

    Where every number is itself a name that the user gives, numbers are names: `--classes 0,1,10,2` is an order, too.
    Otherwise the names are those of 0, 1, 2, ….
    """
    if known:
        places = {split: _indices(each, len(known)) for split, each in whole.items()}
        if asked is None:
            return Encoded(dict(places), tuple(known))
        return _named({split: np.array(known)[each] for split, each in places.items()}, known, asked)
    assert asked is not None
    there = {int(number) for each in whole.values() for number in np.unique(each)}
    words = {number: spelled.get(number, str(number)) for number in there}
    if not set(words.values()) <= set(asked):
        by_value = {int(name): name for name in asked if _is_whole(name)}
        words = {number: by_value.get(number, word) for number, word in words.items()}
    if not set(words.values()) <= set(asked):
        if outside := [number for number in sorted(there) if not 0 <= number < len(asked)]:
            raise _no_class(words[outside[0]], asked)
        return Encoded(dict(whole), tuple(asked))
    made = _named({s: np.array([words[int(number)] for number in each]) for s, each in whole.items()}, (), asked)
    written = {name: int(name) for name in asked if _is_whole(name)} | {word: number for number, word in words.items()}
    values = tuple(written.get(name, -1) for name in asked)
    return replace(made, values=values) if len(written) == len(asked) and values != (*range(len(asked)),) else made


def _is_whole(name: str) -> bool:
    return name.removeprefix("-").isdecimal()


def _indices(labels: Labels, count: int) -> NDArray[np.int64]:
    found = labels.astype(np.int64)
    if found.ndim != 1 or found.min() < 0 or found.max() >= count:
        hidden = "-1 marks an unknown label: evaluate on a split with labels" if found.min() == -1 else ""
        raise DataError(
            f"the labels go from {found.min()} to {found.max()}, but the data set names {count} classes",
            expected=f"labels 0 to {count - 1}",
            fix=hidden,
        )
    return found


@dataclass(frozen=True)
class _Scores:
    """What a model gives for a sample, as far as labels that are whole numbers could belong to it.

    Attributes:
        rows: lengths of its outputs that are a row of two numbers or more, in their order.
        one: whether an output is a single number, a value or the score of one of two classes.
        number: whether an output may be the number of a class itself.
        known: whether anything is known of the model.
    """

    rows: tuple[int, ...]
    one: bool
    number: bool
    known: bool

    @staticmethod
    def of(signature: Signature | None) -> _Scores:
        outputs = signature.outputs if signature else ()
        counts = [tensor.count for tensor in outputs]
        number = any(tensor.whole and tensor.count == 1 for tensor in outputs)
        return _Scores(tuple(count for count in counts if count > 1), 1 in counts, number, any(counts))

    def classes(self, highest: int) -> int:
        """How many classes numbers up to this one are of; 0 where they go past every output.

        That is by the output with a score for each of them, else by the first one with enough: a model may give
        features beside its scores.
        """
        sizes = [*self.rows, *([2] if self.one else [])]
        enough = [size for size in sizes if highest < size]
        return highest + 1 if highest + 1 in enough else next(iter(enough), 0)


def _numbered(
    numbers: Mapping[str, Labels],
    whole: Mapping[str, Labels],
    spelled: Mapping[int, str],
    scores: _Scores,
    are_names: bool,
) -> Encoded:
    """Whole numbers of which nothing more is said: classes if the model has scores for them, otherwise values."""
    there = np.unique(np.concatenate([np.unique(each) for each in whole.values()]))
    low, high, count = int(there[0]), int(there[-1]), sum(map(len, whole.values()))
    integers = all(each.dtype.kind == "i" for each in numbers.values())
    if low >= 0 and not scores.known and integers and high < count:
        return Encoded(dict(whole), tuple(spelled.get(i, str(i)) for i in range(high + 1)))
    if low >= 0 and (size := scores.classes(high)):
        return Encoded(dict(whole), tuple(spelled.get(i, str(i)) for i in range(size)))
    if low >= 0 and scores.number and high < min(count, MOST_CLASSES):
        return Encoded(dict(whole), tuple(spelled.get(i, str(i)) for i in range(high + 1)))
    if are_names or (low >= 0 and len(there) in scores.rows):
        names = tuple(spelled.get(int(number), str(number)) for number in there)
        placed = {split: np.searchsorted(there, each) for split, each in whole.items()}
        return Encoded(placed, names, (_order_note(names),), tuple(map(int, there)))
    if integers and scores.one and not scores.rows and there.tolist() == [1, 2]:
        raise DataError(
            "the labels are 1 and 2, and the model gives one number, which can be a value or the score of a class",
            expected="0 and 1 for two classes",
            fix="say --classes 1,2, or store them as 0 and 1",
        )
    # Values, or what a metric of the user's own knows: without an output of one number nothing else compares with them.
    return Encoded({split: each.astype(np.float32) if scores.one else each for split, each in numbers.items()})


def _order_note(names: Sequence[str]) -> str:
    return (
        f"the labels {_list(names)} are taken as class names, in the order of the model's scores: "
        "guessed, --classes overrides it"
    )


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:_TOLD]) + (" …" if len(names) > _TOLD else "")
