"""Plan the graph of jobs of a request: conversions and their checks, calibrations, builds, evaluations."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from bitpick.artifacts.store import key_of
from bitpick.conversion.hop import Hop
from bitpick.conversion.route import route
from bitpick.datasets.dataset import Samples
from bitpick.engines.registry import engine
from bitpick.models.model import Form, Format, Model, prepared
from bitpick.passes.graph_pass import Step
from bitpick.passes.registry import passes
from bitpick.pipeline import build_job, form_job, inspect_job, layer_plan
from bitpick.pipeline.directory import RunDirectory
from bitpick.pipeline.forms import convert, runner_of, start_form
from bitpick.pipeline.inputs import Inputs
from bitpick.pipeline.job import Job
from bitpick.pipeline.trial import Trial
from bitpick.recipe import Recipe

VERIFICATION_SAMPLES = 128


def conversions(
    targets: Sequence[Form],
    inputs: Inputs,
    directory: RunDirectory,
    existing: Sequence[Form] = (),
    draws: Mapping[str, Samples] = MappingProxyType({}),
    mixes: Mapping[str, Recipe] = MappingProxyType({}),
) -> list[Job]:
    """Return the jobs that convert the model to other forms and verify each step.

    Args:
        targets: the forms wanted.
        inputs: the run's inputs.
        directory: the run directory, for the files.
        existing: forms that exist and are verified, besides the source.
        draws: the samples of further calibration draws, by name, see `Inputs.draw`.
        mixes: the recipes whose passes treat single layers differently, by digest, see `mix_of`.

    Returns:
        The jobs; `verify:<form>` is the last of each step.
    """
    jobs: dict[str, Job] = {}
    for target in targets:
        needs: tuple[str, ...]
        for source, form, hop in _steps(inputs.format, target):
            if form not in existing:
                needs = () if source in existing or source == inputs.format else (f"convert:{source}",)
                if isinstance(hop, str):
                    step = Step.parse(hop)
                    job = _apply(source, form, step, inputs, directory, draws)
                    if step.grid is not None and step.grid.mix:
                        recipe = mixes[step.grid.mix]
                        matching, mix = layer_plan.mix_jobs(recipe, step.grid, source, inputs, directory, existing)
                        jobs |= {each.id: each for each in matching}
                        job = replace(job, payload={**job.payload, "grid": mix})
                        needs += (matching[-1].id,)
                else:
                    paths = inputs.path(source, directory), inputs.path(form, directory)
                    job = convert(hop, *paths, inputs.calibration)
                job = replace(job, id=f"convert:{form}", subject=f"{source} → {form}", needs=needs)
                changes = isinstance(hop, str) and not passes()[Step.parse(hop).name].preserves
                check = _measurement if changes else _verification
                jobs |= {step_job.id: step_job for step_job in check(source, form, job, inputs, directory)}
    return list(jobs.values())


def _steps(source: Format, target: Form) -> list[tuple[Form, Form, Hop | str]]:
    """Return the steps to a form: source, target, and the hop or the name of the pass."""
    if not target.passes:
        return [(hop.source, hop.target, hop) for hop in route(source, target.base) or ()]
    steps = _steps(source, Format.ONNX)
    for count, name in enumerate(target.passes):
        sides = (prepared(Format.ONNX, target.passes[:applied]) for applied in (count, count + 1))
        steps.append((next(sides), next(sides), name))
    for hop in route(Format.ONNX, target.base) or ():
        steps.append((prepared(hop.source, target.passes), prepared(hop.target, target.passes), hop))
    return steps


def _apply(
    source: Form, target: Form, step: Step, inputs: Inputs, directory: RunDirectory, draws: Mapping[str, Samples]
) -> Job:
    """Return the job that applies a pass."""
    applied = passes()[step.name]
    environment = applied.environment or runner_of(Format.ONNX)[0].environment
    payload = {
        "source": inputs.path(source, directory),
        "name": step.name,
        "out": inputs.path(target, directory),
        "grid": step.grid and str(step.grid),
    }
    if applied.needs == "training":
        payload |= {
            "sets": (inputs.training, inputs.evaluation),
            "minutes": inputs.training_minutes,
            "seed": inputs.seed,
            "checkpoint": directory.checkpoint(target),
        }
        return Job("", environment, form_job.FUNCTIONS, "train", payload, ("out",), stand_ins={"checkpoint": ""})
    payload["samples"] = None if applied.needs == "nothing" else draws.get(step.draw, inputs.calibration)
    return Job("", environment, form_job.FUNCTIONS, "apply_pass", payload, ("out",))


def _verification(source: Form, target: Form, step: Job, inputs: Inputs, directory: RunDirectory) -> list[Job]:
    """Return a step's job, and the jobs that compare the outputs of both sides."""
    outputs = [
        run_form(target, inputs, directory, needs=(step.id,)),
        run_form(source, inputs, directory, needs=step.needs),
    ]
    exact = Format.RAW_ONNX if target == Format.RAW_ONNX else Format.ONNX
    verify = Job(
        f"verify:{target}",
        outputs[0].environment,
        form_job.FUNCTIONS,
        "verify",
        {
            "sides": (source, target),
            "reference": directory.outputs(source),
            "computed": directory.outputs(target),
            "graph": inputs.path(exact, directory),
            "samples": inputs.calibration.head(VERIFICATION_SAMPLES),
            "classes": inputs.task.kind in ("classification", "agreement"),
        },
        needs=(step.id, *(each.id for each in outputs)),
        subject=step.subject,
    )
    return [step, *outputs, verify]


def _measurement(source: Form, target: Form, step: Job, inputs: Inputs, directory: RunDirectory) -> list[Job]:
    """Return a step's job, and the job that evaluates both sides of a pass that changes the function."""
    runner, recipe = runner_of(Format.ONNX)
    trained = step.function == "train"  # its rows tell what training gained, so all samples count
    payload = {
        "sides": (source, target),
        "sources": (inputs.path(source, directory), inputs.path(target, directory)),
        "recipe": recipe,
        "samples": inputs.evaluation if trained else inputs.check,
        "threads": inputs.threads,
        "task": inputs.task,
        "shapes": inputs.shapes,
    }
    measure = Job(
        f"verify:{target}", runner.environment, form_job.FUNCTIONS, "measure_tuning", payload,
        needs=(step.id,), subject=step.subject,
    )  # fmt: skip
    return [step, measure]


def run_form(form: Form, inputs: Inputs, directory: RunDirectory, needs: tuple[str, ...] = ()) -> Job:
    """Return the job that runs a form of the model on the samples that hops are verified on."""
    runner, recipe = runner_of(form.base)
    return Job(
        f"outputs:{form}",
        runner.environment,
        form_job.FUNCTIONS,
        "run_form",
        {
            "source": inputs.path(form, directory),
            "recipe": recipe,
            "samples": inputs.calibration.head(VERIFICATION_SAMPLES),
            "threads": inputs.threads,
            "shapes": inputs.shapes,
            "out": directory.outputs(form),
        },
        makes=("out",),
        needs=needs,
        subject=form,
        wanted=False,
    )


def measuring_jobs(trial: Trial, inputs: Inputs, making: Sequence[Job]) -> list[Job]:
    """Return the jobs that make, inspect and evaluate a build, each after the one before.

    Args:
        trial: the trial.
        inputs: the run's inputs.
        making: the jobs that make the build, see `build_jobs`; none if it exists.
    """
    jobs = list(making)
    for job in [*_inspections(trial, inputs), *_evaluations(trial, inputs)]:
        jobs.append(replace(job, needs=tuple(each.id for each in jobs[-1:])))
    return jobs


def build_jobs(
    trial: Trial, model: Model, inputs: Inputs, directory: RunDirectory, existing: Collection[Form]
) -> list[Job]:
    """Return the jobs that make a build from a calibration set; the last one makes the build.

    Args:
        trial: the trial; a conversion must lead to the form that its recipe starts from.
        model: the model.
        inputs: the run's inputs.
        directory: the run directory, for the files.
        existing: the forms that exist and are verified, including the source.
    """
    recipe, samples = trial.recipe, trial.calibration
    assert samples is not None
    builder, form = engine(recipe.engine), start_form(recipe, model.format, inputs.draw(samples))
    assert form is not None
    needs = () if form in existing else (f"verify:{form}",)
    payload = {"source": inputs.path(form, directory), "recipe": recipe, "samples": samples}
    jobs, ranges = [], None
    if (key := builder.calibration_key(recipe)) is not None:
        name = key_of([builder.name, key, form, samples.sha256])[:16]
        ranges = directory.ranges(name)
        calibrate = Job(
            f"calibrate:{name}",
            builder.environment,
            build_job.FUNCTIONS,
            "calibrate",
            payload | {"out": ranges},
            makes=("out",),
            needs=needs,
            wanted=False,
            stand_ins={"recipe": key},
        )
        jobs.append(calibrate)
        needs = (calibrate.id,)
    build = Job(
        f"build:{trial.name}",
        builder.environment,
        build_job.FUNCTIONS,
        "build",
        payload | {"ranges": ranges, "interface": inputs.interface_of(recipe), "folder": trial.folder},
        makes=("folder",),
        needs=needs,
        subject=trial.name,
        wanted=trial.ships,
    )
    return [*jobs, build]


def _inspections(trial: Trial, inputs: Inputs) -> list[Job]:
    """Return the jobs that inspect a build, and run it without the runtime's graph rewriting if the engine can."""
    if trial.look == "nothing":
        return []
    runner = engine(trial.recipe.engine)
    payload = {
        "recipe": trial.recipe,
        "folder": trial.folder,
        "threads": inputs.threads,
        "shapes": inputs.shapes,
    }
    whole = trial.look != "coverage"
    inspection = {"samples": inputs.check, "asked_for": trial.look == "whole", "whole": whole}
    jobs = [_inspection(trial, "inspect", payload | inspection)]
    if whole and runner.optimizes and trial.recipe.kind != "baseline":
        jobs.append(_inspection(trial, "check_rewriting", payload | {"samples": inputs.rewriting, "task": inputs.task}))
    return jobs


def _inspection(trial: Trial, function: str, payload: dict[str, object]) -> Job:
    environment = engine(trial.recipe.engine).environment
    name = f"{function}:{trial.name}"
    return Job(name, environment, inspect_job.FUNCTIONS, function, payload, subject=trial.name)


def _evaluations(trial: Trial, inputs: Inputs) -> list[Job]:
    if trial.evaluation is None:
        return []
    environment = engine(trial.recipe.engine).environment
    return [
        Job(
            f"evaluate:{trial.name}",
            environment if trial.target == "host" else f"{environment}@{trial.target}",
            build_job.FUNCTIONS,
            "evaluate",
            {
                "recipe": trial.recipe,
                "folder": trial.folder,
                "samples": trial.evaluation,
                "threads": inputs.threads,
                "task": inputs.task,
                "shapes": inputs.shapes,
                "predictions": trial.predictions,
            },
            makes=("predictions",) if trial.predictions is not None else (),
            subject=trial.name,
        )
    ]
