"""Trials, done: planned as jobs, and run, many of them side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from bitpick.errors import BitpickError
from bitpick.executors.executor import Outcome
from bitpick.models.model import Model, form_of
from bitpick.pipeline import hops, plan, schedule
from bitpick.pipeline.forms import start_form
from bitpick.pipeline.inputs import Inputs
from bitpick.pipeline.job import Job
from bitpick.pipeline.listener import Listener
from bitpick.pipeline.running import Runner
from bitpick.pipeline.schedule import Result
from bitpick.pipeline.trial import Trial
from bitpick.pipeline.workshop import Workshop

Measured = Mapping[str, Outcome]
"""What the jobs of a trial gave, by their functions: `build`, `inspect`, `check_rewriting`, `evaluate`."""
Answer = Measured | BitpickError
Told = Callable[[Trial, Answer], None]
Noted = Callable[[Job, Result], Result]
Made = Callable[[Trial], list[Job]]


class Trials:
    """Does trials.

    Args:
        runner: runs their jobs.
        parallel: how many at once.
        listener: is told of each as it starts.
        noted: is told of each as it ends, and returns the outcome to go on with.
    """

    def __init__(self, runner: Runner, parallel: int, listener: Listener, noted: Noted) -> None:
        self._runner = runner
        self._parallel = parallel
        self._listener = listener
        self._noted = noted

    def run(
        self, trials: Sequence[Trial], inputs: Inputs, told: Told, before: Sequence[Job] = (), made: Made | None = None
    ) -> None:
        """Do trials, many of them side by side.

        Args:
            trials: which; their order is that in which to prefer them.
            inputs: what a plan is made from.
            told: gets each trial, in this thread, with what its jobs gave, or with the error that ended it.
            before: jobs that they need, such as conversions.
            made: gives the jobs that make a trial's build; None where all builds are there.
        """
        by_name = {trial.name: trial for trial in trials}
        done: dict[str, dict[str, Outcome]] = {name: {} for name in by_name}
        planned = {job.id: job for job in before}
        last = {}
        for trial in trials:
            jobs = plan.measured(trial, inputs, [] if trial.calibration is None or made is None else made(trial))
            planned |= {job.id: job for job in jobs if job.id not in planned}  # recipes can share a calibration
            last[trial.name] = jobs[-1].id

        def finished(job: Job, result: Result) -> Result:
            result = self._noted(job, result)
            trial = by_name.get(job.subject)
            if trial is not None:
                if not isinstance(result, BitpickError):
                    done[trial.name][job.function] = result
                if job.id == last[trial.name]:  # whatever went wrong before has come down to it
                    told(trial, result if isinstance(result, BitpickError) else done[trial.name])
            return result

        schedule.run(list(planned.values()), self._runner, self._parallel, self._listener.started, finished)


class ModelTrials:
    """Does trials of the model of a run.

    Args:
        shop: what to work with.
        model: the model.
        inputs: the run's inputs.
    """

    def __init__(self, shop: Workshop, model: Model, inputs: Inputs) -> None:
        self._shop = shop
        self._model = model
        self._inputs = inputs
        self._trials = Trials(shop.runner, shop.parallel, shop.listener, partial(hops.noted, shop, inputs))

    def run(self, trials: Sequence[Trial], told: Told) -> None:
        """Do trials, see `Trials.run`, with the conversions that they need before."""
        given = [self._model.format, *map(form_of, self._shop.run.model.forms)]
        recipes = [trial.recipe for trial in trials if trial.calibration is not None]
        wanted = {start_form(recipe, self._model.format): None for recipe in recipes}
        forms = [form for form in wanted if form is not None and form not in given]
        directory = self._shop.directory
        conversions = plan.conversions(forms, self._inputs, directory, given)

        def made(trial: Trial) -> list[Job]:
            return plan.built(trial, self._model, self._inputs, directory, given)

        self._trials.run(trials, self._inputs, told, conversions, made)
