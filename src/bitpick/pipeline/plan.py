"""From what is asked for to a graph of jobs: conversions and their checks, calibrations, builds, evaluations."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bitpick.artifacts.store import key_of
from bitpick.conversion.hop import Hop
from bitpick.conversion.route import route
from bitpick.datasets.dataset import Samples
from bitpick.engines.registry import engine
from bitpick.models.model import Format, Model
from bitpick.pipeline import build_job, form_job, inspect_job
from bitpick.pipeline.directory import RunDirectory
from bitpick.pipeline.forms import runner_of, start_form
from bitpick.pipeline.inputs import Inputs
from bitpick.pipeline.job import Job

if TYPE_CHECKING:
    from bitpick.pipeline.trial import Trial

VERIFICATION_SAMPLES = 128


def conversions(
    targets: Sequence[Format], inputs: Inputs, directory: RunDirectory, given: Sequence[Format] = ()
) -> list[Job]:
    """Jobs that bring the model into other formats, each hop verified.

    Args:
        targets: the formats wanted.
        inputs: the run's inputs.
        directory: where the files go.
        given: formats that are there, verified, beside the source.

    Returns:
        The jobs. `verify:<format>` is the last for each hop; its subject is the hop's name.
    """
    jobs: dict[str, Job] = {}
    for target in targets:
        for hop in route(inputs.format, target) or ():
            if hop.target not in given:
                jobs |= {job.id: job for job in _hop_jobs(hop, inputs, directory, given)}
    return list(jobs.values())


def convert(hop: Hop, source: Path, out: Path, samples: Samples | None, needs: tuple[str, ...] = ()) -> Job:
    """The job that does a hop.

    Args:
        hop: the hop.
        source: the file that it reads.
        out: the file that it writes.
        samples: have the shapes that a hop that is `sized` fixes; None is for others.
        needs: jobs that make the source.
    """
    shapes = samples.shapes if samples is not None and hop.sized else None
    payload = {
        "source": source, "source_format": hop.source, "target_format": hop.target, "out": out, "shapes": shapes
    }  # fmt: skip
    made = {"makes": ("out",), "needs": needs, "subject": hop.name}
    return Job(f"convert:{hop.target}", hop.environment, form_job.FUNCTIONS, "convert", payload, **made)  # type: ignore[arg-type]


def _hop_jobs(hop: Hop, inputs: Inputs, directory: RunDirectory, given: Sequence[Format]) -> list[Job]:
    source, target = inputs.path(hop.source, directory), inputs.path(hop.target, directory)
    made = hop.source not in given and hop.source != inputs.format
    before = (f"convert:{hop.source}",) if made else ()
    conversion = convert(hop, source, target, inputs.calibration, before)
    sides = [
        run_form(hop.target, inputs, directory, needs=(conversion.id,)),
        run_form(hop.source, inputs, directory, needs=before),
    ]
    verify = Job(
        f"verify:{hop.target}",
        sides[0].environment,
        form_job.FUNCTIONS,
        "verify",
        {
            "source_format": hop.source,
            "target_format": hop.target,
            "reference": directory.outputs(hop.source),
            "found": directory.outputs(hop.target),
            "graph": inputs.path(hop.target if hop.target == Format.RAW_ONNX else Format.ONNX, directory),
            "samples": inputs.calibration.head(VERIFICATION_SAMPLES),
            "classes": inputs.task.kind in ("classification", "agreement"),
        },
        needs=tuple(side.id for side in sides),
        subject=hop.name,
    )
    return [conversion, *sides, verify]


def run_form(form: Format, inputs: Inputs, directory: RunDirectory, needs: tuple[str, ...] = ()) -> Job:
    """The job that runs a form of the model on the samples that hops are verified on."""
    runner, recipe = runner_of(form)
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


def measured(trial: Trial, inputs: Inputs, made: Sequence[Job]) -> list[Job]:
    """Jobs that make a build, inspect and evaluate it. The last one comes after all others.

    Args:
        trial: what is asked for.
        inputs: the run's inputs.
        made: those that make it, see `built`; none where it is there.
    """
    jobs = list(made)
    for job in [*_looks(trial, inputs), *_evaluated(trial, inputs)]:
        jobs.append(replace(job, needs=tuple(each.id for each in jobs[-1:])))
    return jobs


def built(trial: Trial, model: Model, inputs: Inputs, directory: RunDirectory, given: Collection[Format]) -> list[Job]:
    """Jobs that make a build from a calibration set; the last one makes it.

    Args:
        trial: what is asked for; a conversion leads to the form that its recipe starts from.
        model: the model.
        inputs: the run's inputs.
        directory: where the files go.
        given: the formats that are there, verified, the source among them.
    """
    recipe, samples = trial.recipe, trial.calibration
    assert samples is not None
    each, form = engine(recipe.engine), start_form(recipe, model.format)
    assert form is not None
    needs = () if form in given else (f"verify:{form}",)
    payload = {"source": inputs.path(form, directory), "recipe": recipe, "samples": samples}
    jobs, ranges = [], None
    if (key := each.calibration_key(recipe)) is not None:
        name = key_of([each.name, key, form, samples.sha256])[:16]
        ranges = directory.ranges(name)
        calibrate = Job(
            f"calibrate:{name}",
            each.environment,
            build_job.FUNCTIONS,
            "calibrate",
            payload | {"out": ranges},
            makes=("out",),
            needs=needs,
            wanted=False,
            stands={"recipe": key},
        )
        jobs.append(calibrate)
        needs = (calibrate.id,)
    build = Job(
        f"build:{trial.name}",
        each.environment,
        build_job.FUNCTIONS,
        "build",
        payload | {"ranges": ranges, "interface": inputs.interface_of(recipe), "folder": trial.folder},
        makes=("folder",),
        needs=needs,
        subject=trial.name,
        wanted=trial.ships,
    )
    return [*jobs, build]


def _looks(trial: Trial, inputs: Inputs) -> list[Job]:
    """The jobs that read what a runtime makes of a build, and run it without its runtime's rewriting, if it can."""
    if trial.look == "nothing":
        return []
    each = engine(trial.recipe.engine)
    payload = {
        "recipe": trial.recipe,
        "folder": trial.folder,
        "threads": inputs.threads,
        "shapes": inputs.shapes,
    }
    whole = trial.look != "coverage"
    asked = {"samples": inputs.check, "asked_for": trial.look == "whole", "whole": whole}
    jobs = [_look(trial, "inspect", payload | asked)]
    if whole and each.optimizes and trial.recipe.kind != "baseline":
        jobs.append(_look(trial, "check_rewriting", payload | {"samples": inputs.rewriting, "task": inputs.task}))
    return jobs


def _look(trial: Trial, function: str, payload: dict[str, object]) -> Job:
    environment = engine(trial.recipe.engine).environment
    name = f"{function}:{trial.name}"
    return Job(name, environment, inspect_job.FUNCTIONS, function, payload, subject=trial.name)


def _evaluated(trial: Trial, inputs: Inputs) -> list[Job]:
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
