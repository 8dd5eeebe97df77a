"""What a maker, which writes the form that a run starts from, tells of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Made:
    """What a maker tells of the file that it wrote.

    Attributes:
        digest: of what the file means, for files whose bytes differ each time; empty for the others.
        notes: what was assumed about the model, or changed in it, in words.
    """

    digest: str = ""
    notes: tuple[str, ...] = ()
