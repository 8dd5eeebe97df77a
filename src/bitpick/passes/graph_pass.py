"""The contract of a pass: it rewrites the clean float graph so that it quantizes better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Promise = Literal["preserves", "tunes"]
Need = Literal["nothing", "calibration", "training"]


@dataclass(frozen=True)
class GraphPass:
    """One pass. A module in this room that defines `PASS` adds one.

    Attributes:
        name: the recipe option that requests it.
        help: what it does, as a sentence without a subject.
        apply: `module:function`, called with `source: str, out: str`, the `.onnx` files to read and to write;
            returns `Applied`.
        promise: `preserves` if it keeps the function up to rounding, which is verified on real samples like a
            conversion; `tunes` if it changes the function, and its effect on the float model is measured and reported.
        needs: what it needs besides the graph: nothing, calibration samples, or training samples and time.
        grid: the weight dtype to whose grid it rounds; None if it does not round.
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
        changed: the names of the nodes that it changed; empty if it had nothing to do.
        why_not: why it had nothing to do.
    """

    changed: list[str]
    why_not: str = ""
