"""Choose the column or array that holds the labels, by the same rule for every kind of data set."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from bitpick.errors import DataError, did_you_mean

NAMES = ("label", "labels", "target", "targets", "class")
"""Usual names of labels. `y` is one too, unless it is a coordinate: next to an x and other columns."""


@dataclass(frozen=True)
class Parts:
    """The columns or arrays that the labels are chosen from.

    Attributes:
        where: the data set's name in messages.
        kind: `column` or `array`.
        names: names of all parts.
        taken: parts that are inputs of the model, by their names or because the user says so.
        fits: whether the model can take the parts with these names as its inputs.
    """

    where: str
    kind: str
    names: Sequence[str]
    taken: Collection[str]
    fits: Callable[[Sequence[str]], bool]

    def beside(self, name: str) -> list[str]:
        """Return all names except this one."""
        return [each for each in self.names if each != name]


@dataclass(frozen=True)
class Choice:
    """The part chosen as labels.

    Attributes:
        name: of the column or array; None if there are no labels.
        notes: what was guessed, in sentences for the user.
    """

    name: str | None
    notes: tuple[str, ...] = ()


def is_label_name(name: str) -> bool:
    """Whether this is a usual name of labels."""
    return name.lower() in (*NAMES, "y")


def named(parts: Parts, name: str) -> Choice:
    """Choose the part that the user names.

    Raises:
        DataError: there is no such part.
    """
    if name not in parts.names:
        raise DataError(
            f"{parts.where} has no {parts.kind} {name!r} for the labels",
            expected=f"--labels with one of {', '.join(parts.names)}",
            fix=did_you_mean(name, tuple(parts.names)),
        )
    return Choice(name)


def guess(parts: Parts, likely: Sequence[str] = ()) -> Choice:
    """Guess the labels from the source's metadata, the parts' names, and the inputs that the model would be left with.

    Args:
        parts: the parts to choose from.
        likely: parts that the source's metadata marks as labels.

    Raises:
        DataError: more than one part could be the labels.
    """
    free = [name for name in parts.names if name not in parts.taken]
    strong = [name for name in likely if name in free] or [name for name in free if name.lower() in NAMES]
    if len(strong) > 1:
        fitting = [name for name in strong if parts.fits(parts.beside(name))]
        if len(fitting) != 1:
            raise _more_than_one(parts, strong)
        return _choice(parts, fitting[0])
    if strong:
        return _choice(parts, strong[0])
    weak = next((name for name in free if name.lower() == "y"), None)
    if weak is None:
        return Choice(None)
    only_inputs = len(free) > 1 and parts.fits(parts.names) and not parts.fits(parts.beside(weak))
    if only_inputs:
        return Choice(
            None, (f"{weak} is taken as an input, because the model takes as many {parts.kind}s as there are",)
        )
    if not _is_coordinate(weak, free):
        return _choice(parts, weak)
    if not parts.fits(parts.beside(weak)):
        return Choice(None)
    raise _more_than_one(parts, [weak, *(name for name in free if name not in (weak, "x", "X"))])


def _choice(parts: Parts, name: str) -> Choice:
    return Choice(name, (f"labels: the {parts.kind} {name}; --labels overrides it",))


def _is_coordinate(name: str, free: Sequence[str]) -> bool:
    return len(free) > 2 and any(each.lower() == "x" for each in free if each != name)


def _more_than_one(parts: Parts, names: Sequence[str]) -> DataError:
    shown = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
    return DataError(
        f"more than one {parts.kind} of {parts.where} could be the labels: {shown}",
        expected=f"one {parts.kind} of labels",
        fix=f"say which: {' or '.join(f'--labels {name}' for name in names[:2])}; to go without labels, name the "
        "inputs in a data.yaml",
    )


def ambiguous_labels(where: str, names: Sequence[str], inputs: str) -> DataError:
    """Return the error for parts that the model does not take, any of which could be the labels."""
    shown = " or ".join(names[:5]) + (" …" if len(names) > 5 else "")
    return DataError(
        f"bitpick cannot tell whether {shown} in {where} are the labels",
        fix=f"say --labels {names[-1]}; to go without labels, name the inputs in a data.yaml: inputs: {inputs}",
    )
