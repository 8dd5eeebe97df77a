"""The contract of a pass: it rewrites the clean float graph so that it quantizes better."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from bitpick.datasets.dataset import Samples
from bitpick.passes.weight_grid import WeightGrid
from bitpick.version import not_installed

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
            `samples: Samples` if it needs any, then with `grid: WeightGrid` if it works on a grid, then with
            `training: Training` if it trains; returns `Applied`.
        stage: when it is applied. Passes are applied stage by stage, within a stage in alphabetical order.
        needs: what it needs besides the graph: nothing, calibration samples, or the training split and time.
        environment: the environment of the worker that applies it; empty for a pass that needs only what runs clean
            graphs.
        packages: the packages that it imports besides.
        extra: the extra of the bitpick distribution that installs them.
    """

    name: str
    help: str
    apply: str
    stage: Stage = "rewrite"
    needs: Need = "nothing"
    environment: str = ""
    packages: tuple[str, ...] = ()
    extra: str = ""

    def missing(self) -> str | None:
        """Return which packages are missing and the command that installs them; None if none is."""
        return not_installed(self.packages, self.extra)

    @property
    def preserves(self) -> bool:
        """Whether it keeps the function up to rounding, which is verified on real samples like a conversion."""
        return self.stage == "rewrite"

    @property
    def gridded(self) -> bool:
        """Whether it works on the grid of an engine's weights."""
        return self.stage != "rewrite"

    def step(self, grid: WeightGrid | None, draw: str) -> str:
        """Return the name of the step that applies it, with all that its result depends on besides the graph."""
        on_draw = f"@{draw}" if draw and self.needs == "calibration" else ""
        return f"{self.name}{f'={grid}' if self.gridded else ''}{on_draw}"


@dataclass(frozen=True)
class Step:
    """A pass as a step on the way to a form, parsed from its name.

    Attributes:
        name: the pass.
        grid: the grid of the weights; None if the pass works on no grid.
        draw: the calibration draw; empty for the run's own calibration set, and if the pass needs none.
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
class Training:
    """What a pass that trains needs besides the training split.

    Attributes:
        minutes: the CPU minutes that it may take.
        seed: of everything that is drawn at random.
        evaluation: the evaluation set; none of its samples is trained on, even if the training split has them too.
        checkpoint: the file to continue from after a kill, and to write.
        report: called with a sentence on how far training is.
    """

    minutes: float
    seed: int
    evaluation: Samples
    checkpoint: Path
    report: Callable[[str], None]


@dataclass(frozen=True)
class Trained:
    """How a network was trained.

    Attributes:
        epochs: how often it saw the training samples.
        samples: number of training samples.
        held_out: number of samples that the best epoch was chosen on.
        labels: whether it was trained with labels, not with the float network's outputs alone.
        changes: how pictures were changed at random, in words; empty if they were not.
    """

    epochs: int
    samples: int
    held_out: int
    labels: bool
    changes: str


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
        trained: how it was trained; None for passes that do not train.
    """

    changed: list[str]
    why_not: str = ""
    tuned: list[Tuned] = field(default_factory=list)
    trained: Trained | None = None
