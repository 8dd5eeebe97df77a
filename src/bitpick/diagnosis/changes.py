"""Recipes that are built and evaluated for what they show, and not kept as rows: what each predicted is kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitpick.artifacts.watch import is_sealed, seal
from bitpick.diagnosis import job as jobs
from bitpick.engines.capability import Offer
from bitpick.engines.registry import engine
from bitpick.errors import BitpickError, RequestError
from bitpick.executors.executor import Executor
from bitpick.models.model import Format, Model
from bitpick.pipeline import plan, schedule
from bitpick.pipeline.inputs import Inputs
from bitpick.pipeline.job import Job, predictions_file
from bitpick.pipeline.listener import Listener
from bitpick.pipeline.schedule import Result
from bitpick.pipeline.store import Store, outputs
from bitpick.recipe import Recipe, baseline
from bitpick.schema.diagnosis import Change
from bitpick.schema.evidence import Measure
from bitpick.statistics import holm, mcnemar_midp, tango_interval
from bitpick.tasks.classification import Classification, discordant
from bitpick.tasks.task import Task

Answer = Change | BitpickError
Predictions = NDArray[np.int32]
_LEVEL = 0.05


class Changes:
    """Measures recipes on a part of the evaluation set, beside the float32 and beside each other.

    Args:
        store: the run directory.
        executor: runs the jobs.
        listener: is told how it goes.
        model: the model.
        inputs: the run's inputs; their `check` part is what is evaluated on.
        floats: what the float32 predicts on the whole evaluation set, classes of shape (n,).
    """

    def __init__(
        self,
        store: Store,
        executor: Executor,
        listener: Listener,
        model: Model,
        inputs: Inputs,
        floats: Predictions,
    ) -> None:
        self.targets = inputs.check.targets()
        self._floats = floats[inputs.check_places]
        self._store = store
        self._executor = executor
        self._listener = listener
        self._model = model
        self._inputs = inputs
        self._places = store.root / "diagnosis" / "places.npy"
        self._places.parent.mkdir(exist_ok=True)
        np.save(self._places, inputs.check_places)

    def measure(self, recipes: Sequence[Recipe], told: Callable[[Recipe, Answer], None]) -> None:
        """Build and evaluate what an earlier run has not; `told` gets each answer, an error where it failed."""
        planned: dict[str, Job] = {}
        by_id = {recipe.id: recipe for recipe in recipes}
        for recipe in by_id.values():
            if (kept := self.read(recipe)) is not None:
                told(recipe, kept)
            else:
                planned |= {each.id: each for each in self._jobs(recipe)}

        def finished(done: Job, result: Result) -> Result:
            self._store.watch.check()
            self._listener.ended(done)
            if done.function == "change":
                recipe = by_id[done.subject]
                if not isinstance(result, BitpickError):
                    seal(self._file(recipe), self._key(recipe))
                answer = result if isinstance(result, BitpickError) else self.read(recipe)
                assert answer is not None
                told(recipe, answer)
            return result

        schedule.run(list(planned.values()), self._executor, 1, self._listener.started, finished)

    def read(self, recipe: Recipe) -> Change | None:
        """What is known of a recipe; None where nothing is."""
        if not is_sealed(self._file(recipe), self._key(recipe)):
            return None
        with np.load(self._file(recipe)) as f:
            decibels, macs = float(f["sqnr_db"]), float(f["integer_macs"])
            return self.change(recipe, f["predictions"], None if math.isnan(decibels) else decibels, macs)

    def change(self, recipe: Recipe, predicted: Predictions, decibels: float | None, macs: float | None) -> Change:
        """Predictions of shape (n,) beside the float32's."""
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
        """Which of these, that were measured, are shown to lose accuracy: tested at once, by Holm, at 5%."""
        pairs = [discordant(self._floats, self.predictions(recipe), self.targets) for recipe in recipes]
        adjusted = holm([mcnemar_midp(lost, won) for lost, won in pairs])
        return [lost > won and p <= _LEVEL for (lost, won), p in zip(pairs, adjusted, strict=True)]

    def predictions(self, recipe: Recipe) -> Predictions:
        """What a recipe that was measured predicted: classes of shape (n,)."""
        with np.load(self._file(recipe)) as file:
            found: Predictions = file["predictions"]
        return found

    def _file(self, recipe: Recipe) -> Path:
        return self._store.root / "diagnosis" / f"{recipe.file_name}.npz"

    def _key(self, recipe: Recipe) -> str:
        """What the predictions of a recipe depend on, beside the libraries: runs of other versions share no folder."""
        return f"{recipe.id} {self._inputs.calibration.sha256} {self._inputs.check.sha256} {self._model.sha256}"

    def _jobs(self, recipe: Recipe) -> list[Job]:
        """The jobs of a row, of which the last three, in one, leave no build behind."""
        given = [self._model.format, *(form for form in Format if form in self._store.run.model.forms)]
        planned = plan.rows([Offer(recipe, frozenset())], self._model, self._inputs, self._store, given)
        build = next(each for each in planned if each.function == "build")
        payload = {
            **{name: build.payload[name] for name in ("source", "recipe", "samples", "ranges")},
            "evaluation": self._inputs.check,
            "reference": self._store.build(baseline(recipe.engine).id) / predictions_file("host"),
            "places": self._places,
            "threads": self._inputs.threads,
            "task": self._inputs.task,
            "shapes": self._inputs.shapes,
            "out": self._file(recipe),
        }
        change = Job(
            f"change:{recipe.id}",
            engine(recipe.engine).environment,
            "change",
            payload,
            build.needs,
            recipe.id,
            jobs.FUNCTIONS,
        )
        return [*(each for each in planned if each.function == "calibrate"), change]


def check(task: Task) -> None:
    """Refuse a task whose samples are neither right nor wrong: what one layer does is counted in them.

    Raises:
        RequestError: it is such a task.
    """
    if not isinstance(task, Classification):
        raise RequestError(
            f"a diagnosis counts predictions that change, and the task {task.kind} predicts no classes",
            mend="compare recipes with exclude in a recipe file: bitpick compare --recipe FILE",
        )


def scores(folder: Path, task: Task) -> NDArray[np.float32]:
    """A score for each class as a build gave them, see `check`: shape (n, classes), float32."""
    assert isinstance(task, Classification)
    return task.scores(outputs(folder)[task.output])


def gain(before: Predictions, after: Predictions, targets: NDArray[np.int64]) -> tuple[float, tuple[float, float]]:
    """What is right more often after than before, as a fraction, with Tango's interval at 95%."""
    won, lost = discordant(after, before, targets)
    return (won - lost) / len(targets), tango_interval(won, lost, len(targets))
