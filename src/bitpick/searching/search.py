"""Search for the recipes that a run compares: try many on few samples, the promising ones on more.

The search looks at one half of the evaluation set, and the run's rows are judged on the other half. However often the
search looks, it cannot flatter them.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from bitpick.datasets.sampling import at_places, part
from bitpick.engines.capability import Offer
from bitpick.engines.registry import engine, engines
from bitpick.errors import BitpickError, RequestError, RunError
from bitpick.measures.optimization import checked
from bitpick.measures.outputs import targets_of
from bitpick.models.model import Model
from bitpick.pipeline.arrays import read_array
from bitpick.pipeline.inputs import Inputs
from bitpick.pipeline.trial import Trial
from bitpick.pipeline.trials import Answer, ModelTrials
from bitpick.pipeline.workshop import Workshop
from bitpick.recipe import Recipe, baseline
from bitpick.schema.margin import margin_of
from bitpick.schema.other_groups import Hunt
from bitpick.schema.search import Look, SearchRecord
from bitpick.searching.race import Goal, Limits, Standing, front, going_on
from bitpick.searching.ranking import rank
from bitpick.searching.sampler import Sampler
from bitpick.searching.space import Space
from bitpick.tasks.task import Answers

FEWEST = 40  # evaluation samples
FIRST, GROWTH = 500, 4  # samples of the first stage, and how many times as many each later one has
TOGETHER = 8  # recipes tried at once
PATIENCE = 3  # rounds without a better recipe after which the search ends
MOST = 6  # recipes in the front
_ASKING = 0.6  # share of the time for trying new recipes; the rest is for judging the promising ones


@dataclass
class _Tried:
    """A recipe that was tried, with its answers so far."""

    recipe: Recipe
    size: int = 0
    cpu_seconds: float = 0.0
    answers: list[Answers] = field(default_factory=list)
    ended: str | None = None


class Search:
    """A search.

    Args:
        hunt: what the best build has, and how long the search may take; building and judging the front comes on top.
        clock: tells the time in seconds.
    """

    def __init__(self, hunt: Hunt, clock: Callable[[], float] = time.monotonic) -> None:
        self._goal = cast("Goal", hunt.goal)
        self._seconds = 60 * hunt.minutes
        self._clock = clock

    def choose(self, shop: Workshop, inputs: Inputs, model: Model) -> tuple[Inputs, list[Offer]]:
        """Search, and return the inputs of a comparison on the other half of the evaluation set, and its recipes.

        Raises:
            RequestError: there are too few evaluation samples.
            RunError: no float32 build could be run, or no recipe that was tried is within the limits.
        """
        began = self._clock()
        if inputs.evaluation.count < FEWEST:
            raise RequestError(
                f"{inputs.evaluation.count} evaluation samples are too few for a search: half of them judge it",
                expected=f"at least {FEWEST}",
                fix="give more evaluation samples, or compare recipes instead",
            )
        places = np.random.default_rng(shop.run.request.seed).permutation(inputs.evaluation.count)
        searched, confirmed = np.array_split(places, 2)
        names = shop.run.request.engines or list(engines())
        race = _Race(shop, inputs, model, searched, self._goal)
        plain = Space.of(race.run_floats(names), model, shop.host)
        shop.listener.phase("searching")
        ranking = rank(shop, inputs, plain)
        space = plain.ranked(ranking)
        self._try(race, Sampler(space, shop.run.request.seed), began)
        while race.promote() and self._clock() - began < self._seconds:
            pass
        chosen = race.front()
        race.discard()
        record = SearchRecord(
            goal=self._goal,
            space=sum(1 for _ in space),
            searched=len(searched),
            confirmed=len(confirmed),
            looks=race.looks(),
            front=tuple(recipe.id for recipe in chosen),
            seconds=self._clock() - began,
            cpu_seconds=ranking.cpu_seconds + race.cpu_seconds,
        )
        shop.directory.update(search=record)
        shop.directory.save()
        if not chosen:
            reasons = dict.fromkeys(look.ended for look in record.looks if look.ended)
            raise RunError(f"the search found no recipe within the limits: {next(iter(reasons), 'none was tried')}")
        floats = [baseline(name) for name in dict.fromkeys(recipe.engine for recipe in chosen)]
        offers = [Offer(recipe, frozenset()) for recipe in (*floats, *chosen)]
        return _confirming(inputs, np.sort(confirmed), shop.directory.root / "search"), offers

    def _try(self, race: _Race, sampler: Sampler, began: float) -> None:
        """Try new recipes, some at least, until time is up or no better ones come."""
        best, idle = None, 0
        while idle < PATIENCE and (recipes := sampler.ask(TOGETHER)):
            race.enter(recipes)
            for recipe in recipes:
                standing = race.standing(recipe)
                if standing is None:
                    sampler.tell_failed(recipe)
                else:
                    sampler.tell(recipe, standing.drop, standing.cost(self._goal))
            leader = race.leader()
            idle = idle + 1 if leader == best else 0
            best = leader
            if self._clock() - began > _ASKING * self._seconds:
                return


class _Race:
    """The recipes of a search and their answers, on stages of more and more samples."""

    def __init__(self, shop: Workshop, inputs: Inputs, model: Model, places: NDArray[np.int64], goal: Goal) -> None:
        self._shop, self._inputs, self._goal = shop, inputs, goal
        self._folder = shop.directory.root / "search"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._trials = ModelTrials(shop, model, inputs)
        self._stages = [
            at_places(inputs.evaluation, each, self._folder / f"stage{stage}.npy")
            for stage, each in enumerate(_stages(places))
        ]
        targets = [targets_of(samples) for samples in self._stages]
        self._targets = [np.concatenate(targets[: stage + 1]) for stage in range(len(targets))]
        self._floats: dict[str, _Tried] = {}
        self._tried: dict[str, _Tried] = {}

    @property
    def cpu_seconds(self) -> float:
        """The processor time of all that was run."""
        return sum(each.cpu_seconds for each in (*self._floats.values(), *self._tried.values()))

    def run_floats(self, names: Sequence[str]) -> list[str]:
        """Run the float32 builds of engines on all stages, and return the names of those for which that worked.

        Raises:
            RunError: it worked for none.
        """
        usable = [name for name in names if engine(name).missing() is None and engine(name).deprecated is None]
        floats = [_Tried(baseline(name)) for name in usable]
        for stage in range(len(self._stages)):
            self._run([each for each in floats if each.ended is None], stage)
        self._floats = {each.recipe.engine: each for each in floats if each.ended is None}
        if not self._floats:
            reasons = dict.fromkeys(each.ended for each in floats)
            raise RunError(f"no engine can run the float model: {next(iter(reasons), 'none is installed')}")
        return list(self._floats)

    def enter(self, recipes: Sequence[Recipe]) -> None:
        """Build recipes, and run them on the first stage."""
        entered = [_Tried(recipe) for recipe in recipes]
        self._tried |= {each.recipe.id: each for each in entered}
        self._run(entered, 0)

    def promote(self) -> bool:
        """Run the most promising recipes of the furthest stage on the next one; return whether there is another one."""
        stage = max((len(each.answers) for each in self._tried.values()), default=0)
        if stage in (0, len(self._stages)):
            return False
        here = [each for each in self._tried.values() if each.ended is None and len(each.answers) == stage]
        standings = [standing for each in here if (standing := self.standing(each.recipe)) is not None]
        going = {each.recipe.id for each in going_on(standings, self._goal, self._limits)}
        for each in here:
            if each.recipe.id not in going:
                each.ended = f"not among the most promising after {self._seen(each):,} samples"
        self._run([each for each in here if each.recipe.id in going], stage)
        return stage + 1 < len(self._stages)

    def _run(self, tried: Sequence[_Tried], stage: int) -> None:
        by_name = {f"{each.recipe.id}, stage {stage}": each for each in tried}

        def on_answer(trial: Trial, answer: Answer) -> None:
            each = by_name[trial.name]
            if isinstance(answer, BitpickError):
                each.ended = answer.line
                return
            assert trial.predictions is not None
            each.cpu_seconds += sum(outcome.cpu_seconds for outcome in answer.values())
            if "build" in answer:
                each.size = sum(file["bytes"] for file in answer["build"].value["files"])
            each.answers.append(read_array(trial.predictions, "predictions"))

        self._trials.run([self._trial(each, stage, name) for name, each in by_name.items()], on_answer)

    def _trial(self, each: _Tried, stage: int, name: str) -> Trial:
        folder = self._folder / each.recipe.file_name
        return Trial(
            each.recipe,
            folder,
            calibration=self._inputs.calibration if stage == 0 else None,
            evaluation=self._stages[stage],
            predictions=folder / f"stage{stage}.npz",
            look="coverage" if stage == 0 and each.recipe.kind == "quantized" else "nothing",
            subject=name,
        )

    def _seen(self, each: _Tried) -> int:
        return sum(len(answers) for answers in each.answers)

    def standing(self, recipe: Recipe) -> Standing | None:
        """Return what is known of a recipe; None if it failed on the first stage."""
        each, floats = self._tried[recipe.id], self._floats[recipe.engine]
        stage = len(each.answers)
        if not each.answers:
            return None
        versus = self._inputs.task.versus(
            np.concatenate(floats.answers[:stage]), np.concatenate(each.answers), self._targets[stage - 1]
        )
        seconds = each.cpu_seconds / self._seen(each)
        return Standing(recipe, stage, each.size, seconds, versus.drop, *versus.drop_interval)

    @property
    def _limits(self) -> Limits:
        """The limits of the request; without a largest drop, the margin is the limit."""
        request, task = self._shop.run.request, self._inputs.task
        floats = next(iter(self._floats.values()))
        metric = task.metric(np.concatenate(floats.answers), self._targets[len(floats.answers) - 1])
        drop = margin_of(request.margin, metric, task.margin_base)
        if request.max_drop is not None:
            drop = min(drop, request.max_drop * metric.scale)
        return Limits(drop, float("inf") if request.max_size is None else request.max_size)

    def leader(self) -> str | None:
        """Return the id of the most promising recipe so far."""
        standings = [standing for each in self._tried.values() if (standing := self.standing(each.recipe)) is not None]
        best = front(standings, self._goal, self._limits, 1)
        return best[0].recipe.id if best else None

    def front(self) -> list[Recipe]:
        """Return the best recipes, of those that were judged on the most samples."""
        furthest = max((len(each.answers) for each in self._tried.values()), default=0)
        last = [each for each in self._tried.values() if len(each.answers) == furthest and each.ended is None]
        standings = [standing for each in last if (standing := self.standing(each.recipe)) is not None]
        return [each.recipe for each in front(standings, self._goal, self._limits, MOST)]

    def discard(self) -> None:
        """Delete the builds that were tried; what the run compares is made in its own place."""
        for each in (*self._floats.values(), *self._tried.values()):
            shutil.rmtree(self._folder / each.recipe.file_name, ignore_errors=True)

    def looks(self) -> tuple[Look, ...]:
        """Return the record of every recipe that was tried."""
        return tuple(self._look(each) for each in self._tried.values())

    def _look(self, each: _Tried) -> Look:
        standing = self.standing(each.recipe)
        if standing is None:
            return Look(recipe=each.recipe.id, ended=each.ended)
        return Look(
            recipe=each.recipe.id,
            samples=self._seen(each),
            drop=standing.drop,
            drop_interval=(standing.low, standing.high),
            size_bytes=standing.size,
            microseconds=1e6 * standing.time,
            ended=each.ended,
        )


def _stages(places: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the samples that each stage adds: the second one brings their number to four times that of the first."""
    ends, end = [], FIRST
    while end * GROWTH <= 2 * len(places) and end < len(places):
        ends.append(end)
        end *= GROWTH
    return np.split(places, ends)


def _confirming(inputs: Inputs, places: NDArray[np.int64], folder: Path) -> Inputs:
    """Return the inputs of a comparison on a part of the evaluation set."""
    evaluation = at_places(inputs.evaluation, places, folder / "confirming.npy")
    check, check_places = part(evaluation, inputs.check.count, folder / "check.npy")
    rewriting, _ = part(evaluation, checked(evaluation.count), folder / "rewriting.npy")
    return replace(
        inputs,
        evaluation=evaluation,
        check=check,
        check_places=check_places,
        rewriting=rewriting,
        digests=inputs.digests[places],
    )
