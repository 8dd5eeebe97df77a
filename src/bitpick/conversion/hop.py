"""The contract for one conversion from one format to another."""

from __future__ import annotations

from dataclasses import dataclass

from bitpick.models.model import Format


@dataclass(frozen=True)
class Hop:
    """One conversion hop. A module in this package adds one by defining `HOP`.

    Attributes:
        source: the format it reads.
        target: the format it writes.
        environment: the worker environment that has its libraries.
        packages: the distributions it needs.
        convert: `module:function`, called with `source: str, out: str`; writes the target file and returns a list of
            notes for the user, or None.
        trace: `module:function` for each side, called with `source: str, target: str, inputs: str` (an `.npz` file);
            returns the output of each node as `{name: array}`, in order, under names that both sides share. None if the
            two sides share no names.
        sized: whether `convert` also takes `shapes`, the shape of one sample of each input, and fixes all free axes but
            the batch to it. The target file then accepts only samples of that shape.
    """

    source: Format
    target: Format
    environment: str
    packages: tuple[str, ...]
    convert: str
    trace: tuple[str, str] | None = None
    sized: bool = False

    @property
    def name(self) -> str:
        """The name that messages use."""
        return f"{self.source} → {self.target}"
