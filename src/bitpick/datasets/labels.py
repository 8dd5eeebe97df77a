"""What labels are: classes by number or by name, values, several answers a sample."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.datasets import npy
from bitpick.errors import DataError
from bitpick.model import Signature

Labels = NDArray[Any]
"""Labels as a source has them: numbers of any shape (n, …), or words of shape (n,)."""


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
) -> Encoded:
    """Make one kind of labels of those of all splits.

    Args:
        found: the labels of each split, by its name.
        known: names of the classes in the order of the numbers, where the source has them.
        asked: names in the order of the model's scores, where the user gave them.
        signature: what the model gives; it says how many classes there are where nothing else does.

    Raises:
        DataError: they are no labels, or not those that the names are for.
    """
    if not found:
        return Encoded({}, tuple(asked or known))
    labels = {split: _plain(each) for split, each in found.items()}
    kinds = {each.dtype.kind for each in labels.values()}
    if "U" in kinds:
        return _named({split: each.astype(np.str_) for split, each in labels.items()}, known, asked)
    if known and asked is not None:
        # The source knows what its numbers mean: the user's order is that of the model.
        names = np.array(known)
        return _named({split: names[_indices(each, len(known))] for split, each in labels.items()}, known, asked)
    if _signs(labels):
        return _of_signs(labels, known or asked)
    counts = _scores(signature, labels)
    if all(_one_hot(each) for each in labels.values()):
        chosen = {split: each.argmax(axis=1) for split, each in labels.items()}
        width = next(iter(labels.values())).shape[1]
        return Encoded(chosen, _names(chosen, known or asked, width), ("each row of the labels has one 1: its class",))
    if all(_classes(each, counts) for each in labels.values()):
        chosen = {split: each.astype(np.int64) for split, each in labels.items()}
        return Encoded(chosen, _names(chosen, known or asked, counts))
    return Encoded(labels)


def _plain(labels: Labels) -> Labels:
    """Numbers without needless axes, finite ones; words that are numbers, all of them, as numbers."""
    labels = np.asarray(labels)
    if labels.ndim > 1 and labels.shape[1:] == (1,) * (labels.ndim - 1):
        labels = labels.reshape(len(labels))
    if labels.dtype.kind in "SU":
        for kind in (np.int64, np.float64):
            try:
                return _plain(labels.astype(kind))
            except ValueError:
                continue
        return labels.astype(np.str_)
    if labels.dtype.kind not in "biuf":
        raise DataError(f"the labels have the dtype {labels.dtype}", expected="numbers, or names of classes")
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        row = int(np.argwhere(~np.isfinite(labels))[0][0])
        raise DataError(f"the label of sample {row} is no finite number", mend="leave that sample out, or label it")
    return labels.astype(np.int64) if labels.dtype.kind in "biu" else labels.astype(np.float32)


def _named(words: Mapping[str, Labels], known: Sequence[str], asked: Sequence[str] | None) -> Encoded:
    """Names as their places among the classes: those that were given, else all there are, sorted."""
    there = sorted({str(word) for each in words.values() for word in np.unique(each)})
    classes = tuple(asked or known or there)
    if unknown := [word for word in there if word not in classes]:
        raise DataError(
            f"the label {unknown[0]!r} is none of the {len(classes)} classes that were given",
            expected=", ".join(classes[:10]) + (" …" if len(classes) > 10 else ""),
            mend="name every class with --classes, in the order of the model's scores",
        )
    place = {name: i for i, name in enumerate(classes)}
    return Encoded({s: np.array([place[str(w)] for w in each], np.int64) for s, each in words.items()}, classes)


def _indices(labels: Labels, count: int) -> NDArray[np.int64]:
    found = labels.astype(np.int64)
    if found.ndim != 1 or found.min() < 0 or found.max() >= count:
        raise DataError(f"the labels go from {found.min()} to {found.max()}", expected=f"labels 0 to {count - 1}")
    return found


def _one_hot(labels: Labels) -> bool:
    if labels.ndim != 2 or labels.shape[1] < 2:
        return False
    return bool(np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all())


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
            f"the labels are -1 and 1, and there are {len(names)} names of classes",
            expected="two names, that of -1 first",
        )
    chosen = {split: (each > 0).astype(np.int64) for split, each in labels.items()}
    note = "the labels -1 and 1 are two classes: 1 is the one that a higher score stands for"
    return Encoded(chosen, names, (note,), _SIGNS)


def _classes(labels: Labels, scores: int) -> bool:
    """Whether labels are numbers of classes: whole numbers, where floats are so only for a model that has scores."""
    if labels.ndim != 1 or len(labels) == 0 or labels.min() < 0:
        return False
    if labels.dtype.kind == "i":
        return True
    return scores > 1 and bool((labels == np.floor(labels)).all()) and labels.max() < scores


def _scores(signature: Signature | None, labels: Mapping[str, Labels]) -> int:
    """How many classes a model tells apart; 0 where no output is a vector.

    That is by the vector with a score for each class that the labels have, else by the first one: a model may give
    features beside its scores.
    """
    sizes = [max(2, tensor.count) for tensor in signature.outputs if tensor.count] if signature else []
    highest = max((int(each.max()) for each in labels.values() if each.ndim == 1 and each.size), default=-1)
    return highest + 1 if highest + 1 in sizes else next(iter(sizes), 0)


def _names(labels: Mapping[str, Labels], known: Sequence[str] | None, scores: int) -> tuple[str, ...]:
    """Names for numbered classes: the known ones, else their numbers, as many as the model has scores."""
    highest = max(int(each.max()) for each in labels.values())
    lowest = min(int(each.min()) for each in labels.values())
    if known:
        return tuple(known)
    if scores and highest == scores and lowest == 1:
        raise DataError(
            f"the labels go from 1 to {highest}, and the model's classes from 0 to {scores - 1}",
            expected="labels counted from 0",
            mend="subtract 1 from each label",
        )
    return tuple(str(i) for i in range(max(highest + 1, scores)))


def read(text: str) -> Labels:
    """Labels from a file of their own: `.npy`, a text file with one a line, or a CSV file's only or named column.

    Args:
        text: its path; for a column `file.csv:column`.

    Raises:
        DataError: there is no such file, or it holds something else.
    """
    path, column = _place(text)
    if not path.is_file():
        raise DataError(f"there is no file of labels {text}", expected="a .npy, .txt or .csv file")
    if path.suffix == ".npy":
        labels = np.load(path, allow_pickle=False) if _words(path) else npy.mapped(path)
        return np.asarray(labels)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"the labels {path} are no text: {error}", expected="one label a line, in UTF-8") from error
    if path.suffix == ".csv":
        rows = list(csv.reader(lines))
        if not column and rows and len(rows[0]) != 1:
            raise DataError(
                f"{path} has the columns {', '.join(rows[0])}", mend=f"name one of them: --labels {path}:COLUMN"
            )
        if column and (not rows or column not in rows[0]):
            raise DataError(f"{path} has no column {column!r}", expected=", ".join(rows[0] if rows else ()))
        place = rows[0].index(column) if column else 0
        lines = [row[place] for row in rows[1:]]
    while lines and not lines[-1].strip():
        lines.pop()
    words = [line.strip() for line in lines]
    if "" in words or not words:
        where = f"line {words.index('') + 1} of {path} is empty" if words else f"{path} is empty"
        raise DataError(where, expected="one label a line")
    return np.array(words)


def is_file(text: str) -> bool:
    """Whether `read` finds a file there."""
    return _place(text)[0].is_file()


def _place(text: str) -> tuple[Path, str]:
    path, _, column = text.rpartition(":")
    return (Path(text), "") if Path(text).is_file() or not path else (Path(path), column)


def _words(path: Path) -> bool:
    with path.open("rb") as file:
        return npy.header(file, str(path))[1].kind in "SU"
