"""Which column of a table, or which array of several, holds the labels: one rule for every kind of data set."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from bitpick.errors import DataError
from bitpick.recipe import did_you_mean

NAMES = ("label", "labels", "target", "targets", "class")
"""Names that say it. `y` says it, too, unless it is a coordinate: one of x, y and others."""


@dataclass(frozen=True)
class Parts:
    """What the labels are chosen from.

    Attributes:
        where: the data set, as messages call it.
        kind: what its parts are: `column` or `array`.
        names: of all of them.
        taken: those that are inputs of the model, by their names or as the user says.
        fits: whether parts of these names can be what the model takes.
    """

    where: str
    kind: str
    names: Sequence[str]
    taken: Collection[str]
    fits: Callable[[Sequence[str]], bool]

    def beside(self, name: str) -> list[str]:
        """The other names."""
        return [each for each in self.names if each != name]


@dataclass(frozen=True)
class Choice:
    """The labels.

    Attributes:
        name: of the column or array; None where there are no labels.
        notes: what was guessed, in words.
    """

    name: str | None
    notes: tuple[str, ...] = ()


def says_labels(name: str) -> bool:
    """Whether labels often have this name."""
    return name.lower() in (*NAMES, "y")


def named(parts: Parts, asked: str) -> Choice:
    """The labels that the user names.

    Raises:
        DataError: there is no such part.
    """
    if asked not in parts.names:
        raise DataError(
            f"{parts.where} has no {parts.kind} {asked!r} for the labels",
            expected=f"--labels with one of {', '.join(parts.names)}",
            fix=did_you_mean(asked, tuple(parts.names)),
        )
    return Choice(asked)


def guessed(parts: Parts, likely: Sequence[str] = ()) -> Choice:
    """The labels by what the source says of its parts, by their names, and by what is then left for the model.

    Args:
        parts: what there is.
        likely: those that are labels by what the source says of them.

    Raises:
        DataError: several could be the labels.
    """
    free = [name for name in parts.names if name not in parts.taken]
    strong = [name for name in likely if name in free] or [name for name in free if name.lower() in NAMES]
    if len(strong) > 1:
        fitting = [name for name in strong if parts.fits(parts.beside(name))]
        if len(fitting) != 1:
            raise _several(parts, strong)
        return _chosen(parts, fitting[0])
    if strong:
        return _chosen(parts, strong[0])
    weak = next((name for name in free if name.lower() == "y"), None)
    if weak is None:
        return Choice(None)
    only_inputs = len(free) > 1 and parts.fits(parts.names) and not parts.fits(parts.beside(weak))
    if only_inputs:
        return Choice(
            None, (f"{weak} is taken as an input, because the model takes as many {parts.kind}s as there are",)
        )
    if not _is_coordinate(weak, free):
        return _chosen(parts, weak)
    if not parts.fits(parts.beside(weak)):
        return Choice(None)
    raise _several(parts, [weak, *(name for name in free if name not in (weak, "x", "X"))])


def _chosen(parts: Parts, name: str) -> Choice:
    return Choice(name, (f"labels: the {parts.kind} {name}; --labels overrides it",))


def _is_coordinate(name: str, free: Sequence[str]) -> bool:
    return len(free) > 2 and any(each.lower() == "x" for each in free if each != name)


def _several(parts: Parts, names: Sequence[str]) -> DataError:
    shown = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
    return DataError(
        f"more than one {parts.kind} of {parts.where} could be the labels: {shown}",
        expected=f"one {parts.kind} of labels",
        fix=f"say which: {' or '.join(f'--labels {name}' for name in names[:2])}; to go without labels, name the "
        "inputs in a data.yaml",
    )


def none_taken(where: str, names: Sequence[str], inputs: str) -> DataError:
    """The error about parts that the model does not take, where each could be the labels."""
    shown = " or ".join(names[:5]) + (" …" if len(names) > 5 else "")
    return DataError(
        f"bitpick cannot tell whether {shown} in {where} are the labels",
        fix=f"say --labels {names[-1]}; to go without labels, name the inputs in a data.yaml: inputs: {inputs}",
    )
