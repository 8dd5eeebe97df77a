"""A trial: one recipe, built from one calibration draw and measured on one target. Every build is a trial."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bitpick.datasets.dataset import Samples
from bitpick.recipe import Recipe

Look = Literal["whole", "file", "coverage", "nothing"]


@dataclass(frozen=True)
class Trial:
    """What to build, and what to measure.

    Attributes:
        recipe: how to quantize.
        folder: the build's folder, new or existing.
        calibration: the samples to calibrate with; None if the build exists.
        evaluation: the samples to evaluate on; None skips the evaluation.
        predictions: the file for the build's answers and outputs; None keeps nothing.
        look: what to inspect: the `whole` build, checked against its recipe; a foreign `file`, whose recipe only says
            how to run it; the `coverage` alone; or `nothing`.
        target: the name of the target to evaluate on.
        ships: whether the build itself is kept, and not only its measurements.
        subject: the trial's name, if it is not the default.
    """

    recipe: Recipe
    folder: Path
    calibration: Samples | None = None
    evaluation: Samples | None = None
    predictions: Path | None = None
    look: Look = "nothing"
    target: str = "host"
    ships: bool = True
    subject: str = ""

    @property
    def name(self) -> str:
        """The trial's name: its subject, by default the id of its row."""
        return self.subject or (self.recipe.id if self.target == "host" else f"{self.recipe.id}@{self.target}")
