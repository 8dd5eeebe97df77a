"""The inputs of every plan of a run: the model, its task, and the samples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitpick.conversion.route import route
from bitpick.datasets.dataset import Samples
from bitpick.engines.registry import engine
from bitpick.models.interface import Interface
from bitpick.models.model import Form, Format, Signature
from bitpick.pipeline.directory import RunDirectory
from bitpick.pipeline.forms import start_form
from bitpick.recipe import Recipe
from bitpick.tasks.task import Task


@dataclass(frozen=True)
class Inputs:
    """The inputs of every plan of a run.

    Attributes:
        source: the user's model file.
        format: its format.
        signature: the model's inputs and outputs.
        task: how builds are judged.
        interface: what a deployer must know about every build; see `interface_of` for its free axes.
        calibration: the calibration set.
        training: the split that the calibration set was drawn from, for passes that train.
        training_minutes: the CPU minutes that each training may take.
        seed: the request's seed, of the calibration draw and of training.
        evaluation: the evaluation set.
        check: the part of the evaluation set that slow checks use.
        check_places: the indices of these samples in the evaluation set, of shape (check.count,).
        rewriting: the part of the evaluation set that is run with and without the runtime's graph rewriting.
        threads: threads inside one inference.
        digests: digest of each evaluation sample, of shape (evaluation.count,); see `sampling.digest`.
    """

    source: Path
    format: Format
    signature: Signature
    task: Task
    interface: Interface
    calibration: Samples
    training: Samples
    training_minutes: float
    seed: int
    evaluation: Samples
    check: Samples
    check_places: NDArray[np.int64]
    rewriting: Samples
    threads: int
    digests: NDArray[np.bytes_]

    def interface_of(self, recipe: Recipe) -> Interface:
        """Return what a deployer must know about a recipe's build; a `sized` build takes samples of one shape."""
        form = start_form(recipe, self.format)
        start = Format.ONNX if form is not None and form.passes else self.format
        sized = form is not None and any(hop.sized for hop in route(start, form.base) or ())
        return self.interfaces[1 if sized or engine(recipe.engine).fixed_shapes else 0]

    @property
    def interfaces(self) -> tuple[Interface, Interface]:
        """The interface of builds that keep the model's free axes, and of builds that fix them."""
        return self.interface, self.interface.fixed(self.calibration.shapes)

    def draw(self, calibration: Samples | None) -> str:
        """Return the name of a calibration draw; empty for the run's own calibration set."""
        other = calibration is not None and calibration.sha256 != self.calibration.sha256
        return calibration.sha256[:8] if calibration is not None and other else ""

    @property
    def shapes(self) -> list[tuple[int | None, ...] | None]:
        """The shape of one sample of each output."""
        return [tensor.shape for tensor in self.signature.outputs]

    def path(self, form: Form, directory: RunDirectory) -> Path:
        """Return the file of a form: the user's own file, or one that the run makes."""
        return self.source if form == self.format else directory.form(form)
