"""Build and evaluate recipes only to learn from them; their predictions are kept, but no rows."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitpick.errors import BitpickError, RequestError
from bitpick.measures.fidelity import fidelity
from bitpick.pipeline.build_job import predictions_file
from bitpick.pipeline.directory import outputs, predictions
from bitpick.pipeline.inputs import Inputs
from bitpick.pipeline.trial import Trial
from bitpick.pipeline.trials import Answer as TrialAnswer
from bitpick.pipeline.trials import Measured, ModelTrials
from bitpick.pipeline.workshop import Workshop
from bitpick.recipe import Recipe
from bitpick.schema.diagnosis import Change
from bitpick.schema.evidence import Measure
from bitpick.statistics import holm, mcnemar_midp, tango_interval
from bitpick.tasks.classification import Classification, discordant
from bitpick.tasks.task import Task

Answer = Change | BitpickError
Predictions = NDArray[np.int32]
_LEVEL = 0.05


class Changes:
    """Measures recipes on a part of the evaluation set, beside the float32 and each other.

    Args:
        shop: the run's workshop.
        trials: runs trials.
        inputs: the run's inputs; recipes are evaluated on their `check` part.
        floats: the float32's predictions on the whole evaluation set, classes of shape (n,).
        reference: the folder of the float32 build, with its outputs for that set.
    """

    def __init__(
        self, shop: Workshop, trials: ModelTrials, inputs: Inputs, floats: Predictions, reference: Path
    ) -> None:
        self.targets = inputs.check.targets()
        self._floats = floats[inputs.check_places]
        self._scores = scores(reference, inputs.task)[inputs.check_places]
        self._shop = shop
        self._trials = trials
        self._inputs = inputs
        self._predicted: dict[str, Predictions] = {}

    def measure(self, recipes: Sequence[Recipe], on_answer: Callable[[Recipe, Answer], None]) -> None:
        """Build and evaluate recipes; pass each change, or the error, to `on_answer`. No build is kept."""

        def on_trial(trial: Trial, answer: TrialAnswer) -> None:
            on_answer(trial.recipe, answer if isinstance(answer, BitpickError) else self._change(trial, answer))
            shutil.rmtree(trial.folder, ignore_errors=True)

        self._trials.run(
            [self._trial(recipe) for recipe in {recipe.id: recipe for recipe in recipes}.values()], on_trial
        )

    def _trial(self, recipe: Recipe) -> Trial:
        folder = self._shop.directory.root / "diagnosis" / recipe.file_name
        return Trial(
            recipe,
            folder / "build",
            calibration=self._inputs.calibration,
            evaluation=self._inputs.check,
            predictions=folder / predictions_file("host"),
            look="coverage",
            ships=False,
            subject=f"{recipe.id}, a change",
        )

    def _change(self, trial: Trial, measurements: Measured) -> Change:
        folder = trial.folder.parent
        self._predicted[trial.recipe.id] = predicted = predictions(folder)
        decibels = fidelity(self._scores, scores(folder, self._inputs.task)).sqnr_db
        macs = measurements["inspect"].value["coverage"]["macs"]
        return self.change(trial.recipe, predicted, decibels, macs)

    def change(self, recipe: Recipe, predicted: Predictions, decibels: float | None, macs: float | None) -> Change:
        """Return how predictions of shape (n,) compare with the float32's."""
        lost, won = discordant(self._floats, predicted, self.targets)
        return Change(
            recipe=recipe.id,
            correct=int((predicted == self.targets).sum()),
            drop=(lost - won) / len(self.targets),
            drop_interval=Measure(name="accuracy").possible(
                float((self._floats == self.targets).mean()), tango_interval(lost, won, len(self.targets))
            ),
            flips=int((predicted != self._floats).sum()),
            sqnr_db=decibels,
            integer_macs=macs,
        )

    def shown_to_lose(self, recipes: Sequence[Recipe]) -> list[bool]:
        """Return which measured recipes are shown to lose accuracy: all tested at once, by Holm, at 5%."""
        pairs = [discordant(self._floats, self.predictions(recipe), self.targets) for recipe in recipes]
        adjusted = holm([mcnemar_midp(lost, won) for lost, won in pairs])
        return [lost > won and p <= _LEVEL for (lost, won), p in zip(pairs, adjusted, strict=True)]

    def predictions(self, recipe: Recipe) -> Predictions:
        """Return the predictions of a measured recipe: classes of shape (n,)."""
        return self._predicted[recipe.id]


def check(task: Task) -> None:
    """Refuse a task without right and wrong predictions, because a diagnosis counts them.

    Raises:
        RequestError: the task predicts no classes.
    """
    if not isinstance(task, Classification):
        raise RequestError(
            f"a diagnosis counts predictions that change, and the task {task.kind} predicts no classes",
            fix="compare recipes with exclude in a recipe file: bitpick compare --recipe FILE",
        )


def scores(folder: Path, task: Task) -> NDArray[np.float32]:
    """Return a build's class scores, of shape (n, classes), float32; see `check`."""
    assert isinstance(task, Classification)
    return task.scores(outputs(folder)[task.output])


def gain(before: Predictions, after: Predictions, targets: NDArray[np.int64]) -> tuple[float, tuple[float, float]]:
    """Return the gain in accuracy from before to after, as a fraction, with Tango's 95% interval."""
    won, lost = discordant(after, before, targets)
    return (won - lost) / len(targets), tango_interval(won, lost, len(targets))
