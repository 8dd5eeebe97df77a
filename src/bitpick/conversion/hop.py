"""The contract: one conversion, from one format to another."""

from __future__ import annotations

from dataclasses import dataclass

from bitpick.models.model import Format


@dataclass(frozen=True)
class Hop:
    """One conversion hop. A module in this room that defines `HOP` adds one.

    Attributes:
        source: the format it reads.
        target: the format it writes.
        environment: the worker environment that has its libraries.
        packages: the distributions it needs.
        convert: `module:function`, called with `source: str, out: str`; writes the target file, and returns notes for
            the user, a list of strings, or None.
        trace: `module:function` for each side, called with `source: str, target: str, inputs: str` (an `.npz` file),
            which returns what each node computes as `{name: array}`, in order, under names that both sides share. None
            where the two sides share no names.
        sized: whether `convert` also takes `shapes`, the shape of one sample of each input, and fixes at it the axes
            that are free beside the batch: what it writes is for samples of that shape alone.
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
        """As messages write it."""
        return f"{self.source} → {self.target}"
