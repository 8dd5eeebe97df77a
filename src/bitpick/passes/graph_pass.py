"""The contract: from the clean float graph to one that quantizes better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Promise = Literal["preserves", "tunes"]
Need = Literal["nothing", "calibration", "training"]


@dataclass(frozen=True)
class GraphPass:
    """One pass. A module in this room that defines `PASS` adds one.

    Attributes:
        name: the option of a recipe that asks for it.
        help: what it does, in a sentence without its subject.
        apply: `module:function`, called with `source: str, out: str`, the files of the graph to read and to write;
            returns `Applied`.
        promise: it `preserves` the function, up to rounding, which is verified on real samples like a conversion; or it
            `tunes` it, and what that does to the float model is measured and reported.
        needs: what it needs beside the graph: nothing, calibration samples, or training samples and time.
        grid: the weight dtype whose grid it rounds to; None of a pass that rounds nothing.
    """

    name: str
    help: str
    apply: str
    promise: Promise = "preserves"
    needs: Need = "nothing"
    grid: str | None = None


@dataclass(frozen=True)
class Applied:
    """What a pass did to a graph.

    Attributes:
        changed: the names of the nodes that it changed; none if it has nothing to do here.
        why_not: why it has nothing to do, in words, where that is so.
    """

    changed: list[str]
    why_not: str = ""
