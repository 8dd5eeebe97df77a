"""Describe where a model has its batch axis, for models of every format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bitpick.models.model import fits


@dataclass(frozen=True)
class Axes:
    """The batch axis of each input and output of a model.

    Attributes:
        inputs: the batch axis of each input; None for an input without one.
        outputs: the same for each output.
        ranks: the number of axes of each output, including the batch axis.
        size: the only batch size that the model accepts; None if it accepts any.
        branches: whether the model runs one sample at a time because it chooses a branch for a whole batch.
    """

    inputs: tuple[int | None, ...]
    outputs: tuple[int | None, ...]
    ranks: tuple[int, ...]
    size: int | None = None
    branches: bool = False

    @property
    def first(self) -> bool:
        """Whether the batch is the first axis of every input and output."""
        return set(self.inputs + self.outputs) <= {0}

    def notes(self, inputs: Sequence[str], outputs: Sequence[str]) -> list[str]:
        """Return notes for the user.

        Args:
            inputs: the names of the inputs.
            outputs: the names of the outputs.
        """
        named_axes = [*zip(inputs, self.inputs, strict=True), *zip(outputs, self.outputs, strict=True)]
        notes = []
        if moved := ", ".join(f"axis {axis} of {name}" for name, axis in named_axes if axis):
            notes.append(f"the batch is {moved}: builds have it as the first axis")
        unbatched = [name for name, axis in named_axes if axis is None]
        if self.branches:
            notes.append("the graph chooses a branch for a whole batch, so builds run one sample at a time")
        elif unbatched:
            text = f"{', '.join(unbatched)} {'has' if len(unbatched) == 1 else 'have'} no batch axis"
            notes.append(f"{text}, so builds run one sample at a time, with a first axis of size 1")
        return notes


def possible_axes(shape: Sequence[int | None], sample: Sequence[int]) -> list[int | None]:
    """Return the axes of an input that can be the batch; None among them means that it may have no batch axis.

    Args:
        shape: the shape of the input; None for free sizes.
        sample: the shape of one sample.
    """
    axes: list[int | None] = [a for a in range(len(shape)) if fits(sample, [*shape[:a], *shape[a + 1 :]])]
    return [*axes, None] if fits(sample, shape) else axes
