"""A trial: one recipe, built from one calibration draw, and measured on one target. All builds take this road."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bitpick.datasets.dataset import Samples
from bitpick.recipe import Recipe

Look = Literal["whole", "file", "coverage", "nothing"]


@dataclass(frozen=True)
class Trial:
    """What to build, and what to measure of it.

    Attributes:
        recipe: how to quantize.
        folder: where the build goes, or is.
        calibration: the samples to build it from; None where it is there.
        evaluation: the samples to evaluate it on; None leaves that out.
        predictions: the file for what it gives for them; None keeps nothing.
        look: what is read of its insides: the `whole`, beside what the recipe asks for; that of a `file` from
            elsewhere, whose recipe only says how to run it; the `coverage` alone; or `nothing`.
        target: where it is evaluated, by name.
        ships: whether the build itself is wanted, and not only what is measured of it.
        subject: names the trial among others.
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
        """Its subject, by default the id of the row that it makes."""
        return self.subject or (self.recipe.id if self.target == "host" else f"{self.recipe.id}@{self.target}")
