"""Plan trials as jobs and run them, several at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from bitpick.errors import BitpickError
from bitpick.executors.executor import Outcome
from bitpick.models.model import Model, form_of
from bitpick.passes.registry import mix_of
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
"""The outcomes of a trial's jobs, by function: `build`, `inspect`, `check_rewriting`, `evaluate`."""
Answer = Measured | BitpickError
OnAnswer = Callable[[Trial, Answer], None]
OnEnded = Callable[[Job, Result], Result]
PlanBuild = Callable[[Trial], list[Job]]


class Trials:
    """Runs trials.

    Args:
        runner: runs their jobs.
        parallel: how many jobs run at once.
        listener: told when a job starts.
        on_ended: called with each job and its result; returns the result to go on with.
    """

    def __init__(self, runner: Runner, parallel: int, listener: Listener, on_ended: OnEnded) -> None:
        self._runner = runner
        self._parallel = parallel
        self._listener = listener
        self._on_ended = on_ended

    def run(
        self,
        trials: Sequence[Trial],
        inputs: Inputs,
        on_answer: OnAnswer,
        before: Sequence[Job] = (),
        plan_build: PlanBuild | None = None,
    ) -> None:
        """Run trials, several at a time.

        Args:
            trials: the trials, by preference.
            inputs: the run's inputs.
            on_answer: called in this thread with each trial and its measurements, or with the error that ended it.
            before: jobs that the trials need, such as conversions.
            plan_build: returns the jobs that make a trial's build; None if all builds exist.
        """
        by_name = {trial.name: trial for trial in trials}
        done: dict[str, dict[str, Outcome]] = {name: {} for name in by_name}
        planned = {job.id: job for job in before}
        last = {}
        for trial in trials:
            jobs = plan.measuring_jobs(
                trial, inputs, [] if trial.calibration is None or plan_build is None else plan_build(trial)
            )
            planned |= {job.id: job for job in jobs if job.id not in planned}  # recipes may share a calibration
            last[trial.name] = jobs[-1].id

        def finished(job: Job, result: Result) -> Result:
            result = self._on_ended(job, result)
            trial = by_name.get(job.subject)
            if trial is not None:
                if not isinstance(result, BitpickError):
                    done[trial.name][job.function] = result
                if job.id == last[trial.name]:  # the last job gets the error of any earlier one
                    on_answer(trial, result if isinstance(result, BitpickError) else done[trial.name])
            return result

        schedule.run(list(planned.values()), self._runner, self._parallel, self._listener, finished)


class ModelTrials:
    """Runs trials of a run's model.

    Args:
        shop: the run's workshop.
        model: the model.
        inputs: the run's inputs.
    """

    def __init__(self, shop: Workshop, model: Model, inputs: Inputs) -> None:
        self._shop = shop
        self._model = model
        self._inputs = inputs
        self._trials = Trials(shop.runner, shop.parallel, shop.listener, partial(hops.note_outcome, shop, inputs))

    def run(self, trials: Sequence[Trial], on_answer: OnAnswer) -> None:
        """Run trials after the conversions that they need; see `Trials.run`."""
        existing = [self._model.format, *map(form_of, self._shop.run.model.forms)]
        builds = [(trial.recipe, self._inputs.draw(trial.calibration)) for trial in trials if trial.calibration]
        start_forms = {start_form(recipe, self._model.format, draw): None for recipe, draw in builds}
        forms = [form for form in start_forms if form is not None and form not in existing]
        draws = {self._inputs.draw(trial.calibration): trial.calibration for trial in trials if trial.calibration}
        mixes = {mix_of(recipe): recipe for recipe, _ in builds}
        directory = self._shop.directory
        conversions = plan.conversions(forms, self._inputs, directory, existing, draws, mixes)

        def plan_build(trial: Trial) -> list[Job]:
            return plan.build_jobs(trial, self._model, self._inputs, directory, existing)

        self._trials.run(trials, self._inputs, on_answer, conversions, plan_build)
