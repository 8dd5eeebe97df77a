"""What a maker reports about the file it wrote. Makers write the form that a run starts from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MakerResult:
    """What a maker reports about the file it wrote.

    Attributes:
        digest: the digest of the file's content, if its bytes differ each time it is written; empty for other files.
        notes: what the user should know: what was assumed about the model, or changed in it.
    """

    digest: str = ""
    notes: tuple[str, ...] = ()
