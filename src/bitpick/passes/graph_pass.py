"""The contract of a pass: it rewrites the clean float graph so that it quantizes better."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from bitpick.passes.weight_grid import WeightGrid

Stage = Literal["rewrite", "train", "round", "correct"]
"""When a pass is applied. Passes that rewrite keep the function; those of later stages change it."""
STAGES: tuple[Stage, ...] = get_args(Stage)
Need = Literal["nothing", "calibration", "training"]


@dataclass(frozen=True)
class GraphPass:
    """One pass. A module in this room that defines `PASS` adds one.

    Attributes:
        name: the recipe option that requests it.
        help: what it does, as a sentence without a subject.
        apply: `module:function`, called with `source: str, out: str`, the `.onnx` files to read and to write, then with
            `samples: Samples` if it needs any, then with `grid: WeightGrid` if it works on a grid; returns `Applied`.
        stage: when it is applied. Passes are applied stage by stage, within a stage in alphabetical order.
        needs: what it needs besides the graph: nothing, calibration samples, or training samples and time.
    """

    name: str
    help: str
    apply: str
    stage: Stage = "rewrite"
    needs: Need = "nothing"

    @property
    def preserves(self) -> bool:
        """Whether it keeps the function up to rounding, which is verified on real samples like a conversion."""
        return self.stage == "rewrite"

    @property
    def gridded(self) -> bool:
        """Whether it works on the grid of an engine's weights."""
        return self.stage in ("round", "correct")

    def step(self, grid: WeightGrid | None, draw: str) -> str:
        """Return the name of the step that applies it, with all that its result depends on besides the graph."""
        return (
            f"{self.name}{f'={grid}' if self.gridded else ''}{f'@{draw}' if draw and self.needs != 'nothing' else ''}"
        )


@dataclass(frozen=True)
class Step:
    """A pass as a step on the way to a form, parsed from its name.

    Attributes:
        name: the pass.
        grid: the grid of the weights; None if the pass works on no grid.
        draw: the calibration draw; empty for the run's own calibration set.
    """

    name: str
    grid: WeightGrid | None
    draw: str

    @classmethod
    def parse(cls, text: str) -> Step:
        """Return the step with this name; the inverse of `GraphPass.step`."""
        applied, _, draw = text.partition("@")
        name, _, grid = applied.partition("=")
        return cls(name, WeightGrid.parse(grid) if grid else None, draw)


@dataclass(frozen=True)
class Tuned:
    """What tuning did to a layer.

    Attributes:
        layer: the layer's name.
        nearest: signal-to-quantization-noise ratio of its outputs with weights rounded to nearest, in decibels.
        tuned: the ratio with the tuned weights.
    """

    layer: str
    nearest: float
    tuned: float


@dataclass(frozen=True)
class Applied:
    """What a pass did to a graph.

    Attributes:
        changed: the names of the nodes that it changed; empty if it had nothing to do.
        why_not: why it had nothing to do.
        tuned: what tuning did to each layer; empty for passes that do not tune layers.
    """

    changed: list[str]
    why_not: str = ""
    tuned: list[Tuned] = field(default_factory=list)
