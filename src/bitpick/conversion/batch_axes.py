"""Where a model has its batch, in words that hold for every format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bitpick.models.model import fits


@dataclass(frozen=True)
class Axes:
    """Where a model has its batch.

    Attributes:
        inputs: the axis of the batch in each input; None where it has none.
        outputs: likewise of each output.
        ranks: the number of axes of each output, the batch among them.
        size: the one number of samples that it takes at once; None where any will do.
        branches: whether it is run sample by sample because a branch is chosen for a whole batch.
    """

    inputs: tuple[int | None, ...]
    outputs: tuple[int | None, ...]
    ranks: tuple[int, ...]
    size: int | None = None
    branches: bool = False

    @property
    def first(self) -> bool:
        """Whether it is the first axis everywhere."""
        return set(self.inputs + self.outputs) <= {0}

    def notes(self, inputs: Sequence[str], outputs: Sequence[str]) -> list[str]:
        """What a user should know of it, in words.

        Args:
            inputs: the names of the inputs.
            outputs: those of the outputs.
        """
        named = [*zip(inputs, self.inputs, strict=True), *zip(outputs, self.outputs, strict=True)]
        notes = []
        if moved := ", ".join(f"axis {axis} of {name}" for name, axis in named if axis):
            notes.append(f"the batch is {moved}: builds have it as the first axis")
        whole = [name for name, axis in named if axis is None]
        if self.branches:
            notes.append("the graph chooses a branch for a whole batch, so builds run one sample at a time")
        elif whole:
            what = f"{', '.join(whole)} {'has' if len(whole) == 1 else 'have'} no batch axis"
            notes.append(f"{what}, so builds run one sample at a time, with a first axis of size 1")
        return notes


def possible(shape: Sequence[int | None], sample: Sequence[int]) -> list[int | None]:
    """The axes of an input that can be the batch, for samples of a shape; None is an input without one.

    Args:
        shape: the input's own; None for free sizes.
        sample: that of one sample.
    """
    found: list[int | None] = [a for a in range(len(shape)) if fits(sample, [*shape[:a], *shape[a + 1 :]])]
    return [*found, None] if fits(sample, shape) else found
