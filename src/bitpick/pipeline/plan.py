"""From what is asked for to a graph of jobs: conversions and their checks, calibrations, builds, evaluations."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from bitpick.artifacts.watch import is_sealed
from bitpick.conversion.hop import Hop
from bitpick.conversion.route import route
from bitpick.datasets.dataset import Samples
from bitpick.engines.capability import Offer
from bitpick.engines.engine import Engine
from bitpick.engines.registry import engine
from bitpick.models.model import Format, Model
from bitpick.pipeline import form_job, inspect_job
from bitpick.pipeline.forms import runner_of, start_form
from bitpick.pipeline.inputs import Inputs
from bitpick.pipeline.job import Job, predictions_file
from bitpick.pipeline.store import Store
from bitpick.recipe import Recipe
from bitpick.targets.target import Target
from bitpick.version import __version__, installed_version

VERIFICATION_SAMPLES = 128


def conversions(targets: Sequence[Format], inputs: Inputs, store: Store, given: Sequence[Format] = ()) -> list[Job]:
    """Jobs that bring the model into other formats, each hop verified.

    Args:
        targets: the formats wanted.
        inputs: the run's inputs.
        store: where the files go.
        given: formats that are there, verified, beside the source.

    Returns:
        The jobs. `verify:<format>` is the last for each hop; its subject is the hop's name.
    """
    jobs: dict[str, Job] = {}
    for target in targets:
        for hop in route(inputs.format, target) or ():
            if hop.target not in given:
                jobs |= {job.id: job for job in _hop_jobs(hop, inputs, store, given)}
    return list(jobs.values())


def _hop_jobs(hop: Hop, inputs: Inputs, store: Store, given: Sequence[Format]) -> list[Job]:
    source, target = inputs.path(hop.source, store), inputs.path(hop.target, store)
    made = hop.source not in given and hop.source != inputs.format
    convert = Job(
        f"convert:{hop.target}",
        hop.environment,
        "convert",
        {
            "source": source,
            "source_format": hop.source,
            "target_format": hop.target,
            "out": target,
            "shapes": inputs.calibration.shapes if hop.sized else None,
        },
        needs=(f"convert:{hop.source}",) if made else (),
        subject=hop.name,
        module=form_job.FUNCTIONS,
    )
    sides = [run_form(hop.target, inputs, store, needs=(convert.id,))]
    if made or not store.outputs(hop.source).exists():
        sides.append(run_form(hop.source, inputs, store, needs=(f"convert:{hop.source}",) if made else ()))
    verify = Job(
        f"verify:{hop.target}",
        sides[0].environment,
        "verify",
        {
            "source_format": hop.source,
            "target_format": hop.target,
            "reference": store.outputs(hop.source),
            "found": store.outputs(hop.target),
            "graph": inputs.path(hop.target if hop.target == Format.RAW_ONNX else Format.ONNX, store),
            "samples": inputs.calibration.head(VERIFICATION_SAMPLES),
            "classes": inputs.task.kind in ("classification", "agreement"),
        },
        needs=tuple(side.id for side in sides),
        subject=hop.name,
        module=form_job.FUNCTIONS,
    )
    return [convert, *sides, verify]


def run_form(form: Format, inputs: Inputs, store: Store, needs: tuple[str, ...] = ()) -> Job:
    """The job that runs a form of the model on the samples that hops are verified on."""
    runner, recipe = runner_of(form)
    return Job(
        f"outputs:{form}",
        runner.environment,
        "run_form",
        {
            "source": inputs.path(form, store),
            "recipe": recipe,
            "samples": inputs.calibration.head(VERIFICATION_SAMPLES),
            "threads": inputs.threads,
            "shapes": inputs.shapes,
            "out": store.outputs(form),
        },
        needs=needs,
        subject=form,
        module=form_job.FUNCTIONS,
    )


def rows(offers: Sequence[Offer], model: Model, inputs: Inputs, store: Store, given: Collection[Format]) -> list[Job]:
    """Jobs that calibrate, build, inspect and evaluate what can be built. `evaluate:<row id>` is the last for each row.

    Args:
        offers: the recipes asked for.
        model: the model.
        inputs: the run's inputs.
        store: where the files go.
        given: the formats that are there, verified, the source among them.
    """
    jobs: dict[str, Job] = {}
    for offer in offers:
        recipe = offer.recipe
        if offer.unsupported or start_form(recipe, model.format) is None:
            continue
        folder = store.build(recipe.id)
        made = _built(recipe, recipe.id, folder, model, inputs, store, given)
        inspect = Job(
            f"inspect:{recipe.id}",
            engine(recipe.engine).environment,
            "inspect",
            {
                "recipe": recipe,
                "folder": folder,
                "samples": inputs.check,
                "threads": inputs.threads,
                "shapes": inputs.shapes,
            },
            needs=(made[-1].id,),
            subject=recipe.id,
            module=inspect_job.FUNCTIONS,
        )
        looks = [inspect, *_rewritten(recipe, folder, inputs, inspect.id)]
        evaluate = _evaluated(recipe, recipe.id, folder, folder / predictions_file("host"), inputs, looks[-1].id)
        for job in (*made, *looks, evaluate):
            jobs.setdefault(job.id, job)  # recipes can share a calibration
    return list(jobs.values())


def _rewritten(recipe: Recipe, folder: Path, inputs: Inputs, after: str) -> list[Job]:
    """The job that runs a build without its runtime's rewriting too, where that can be."""
    each = engine(recipe.engine)
    if not each.optimizes or recipe.kind == "baseline":
        return []
    payload = {
        "recipe": recipe,
        "folder": folder,
        "samples": inputs.rewriting,
        "threads": inputs.threads,
        "task": inputs.task,
        "shapes": inputs.shapes,
    }
    return [
        Job(
            f"check_rewriting:{recipe.id}",
            each.environment,
            "check_rewriting",
            payload,
            needs=(after,),
            subject=recipe.id,
            module=inspect_job.FUNCTIONS,
        )
    ]


def draw(
    recipes: Sequence[Recipe], seed: int, model: Model, inputs: Inputs, store: Store, given: Collection[Format]
) -> list[Job]:
    """Jobs that build recipes from another calibration draw, and evaluate these builds.

    Args:
        recipes: recipes of which there is a row that is ok: what they execute is known.
        seed: of the draw.
        model: the model.
        inputs: the run's inputs, with this draw as the calibration set.
        store: where the files go.
        given: the formats that are there, verified, the source among them.
    """
    jobs: dict[str, Job] = {}
    for recipe in recipes:
        place, subject = store.draw(seed, recipe.id), f"{recipe.id}, draw {seed}"
        made = _built(recipe, subject, place / "build", model, inputs, store, given)
        predicted = place / predictions_file("host")
        evaluate = _evaluated(recipe, subject, place / "build", predicted, inputs, made[-1].id)
        for job in (*made, evaluate):
            jobs.setdefault(job.id, job)
    return list(jobs.values())


def _built(
    recipe: Recipe, subject: str, folder: Path, model: Model, inputs: Inputs, store: Store, given: Collection[Format]
) -> list[Job]:
    """Jobs that make a build from the calibration set; the last one makes it."""
    each, form = engine(recipe.engine), start_form(recipe, model.format)
    assert form is not None
    source = inputs.path(form, store)
    needs = () if form in given else (f"verify:{form}",)
    jobs, ranges = [], None
    if (key := each.calibration_key(recipe)) is not None:
        made_from = _ranges_key(each, key, form, model, inputs.calibration)
        ranges = store.ranges(made_from)
        if is_sealed(ranges, made_from):
            store.watch.add([ranges])
        else:
            calibrate = Job(
                f"calibrate:{each.name}:{key}",
                each.environment,
                "calibrate",
                {
                    "source": source,
                    "recipe": recipe,
                    "samples": inputs.calibration,
                    "out": ranges,
                    "key": made_from,
                },
                needs=needs,
                subject=subject,
            )
            jobs.append(calibrate)
            needs = (calibrate.id,)
    build = Job(
        f"build:{subject}",
        each.environment,
        "build",
        {
            "source": source,
            "recipe": recipe,
            "samples": inputs.calibration,
            "ranges": ranges,
            "interface": inputs.interface_of(recipe),
            "folder": folder,
            "root": store.root,
        },
        needs=needs,
        subject=subject,
    )
    return [*jobs, build]


def _evaluated(recipe: Recipe, subject: str, folder: Path, predictions: Path, inputs: Inputs, after: str) -> Job:
    return Job(
        f"evaluate:{subject}",
        engine(recipe.engine).environment,
        "evaluate",
        {
            "recipe": recipe,
            "folder": folder,
            "samples": inputs.evaluation,
            "threads": inputs.threads,
            "task": inputs.task,
            "shapes": inputs.shapes,
            "predictions": predictions,
        },
        needs=(after,),
        subject=subject,
    )


def on_target(target: Target, recipes: Sequence[Recipe], inputs: Inputs, store: Store) -> list[Job]:
    """Jobs that evaluate builds on another CPU, on the samples for slow checks."""
    return [
        Job(
            f"evaluate:{recipe.id}@{target.name}",
            f"{engine(recipe.engine).environment}@{target.name}",
            "evaluate",
            {
                "recipe": recipe,
                "folder": store.build(recipe.id),
                "samples": inputs.check,
                "threads": inputs.threads,
                "task": inputs.task,
                "shapes": inputs.shapes,
                "predictions": store.build(recipe.id) / predictions_file(target.name),
            },
            subject=f"{recipe.id}@{target.name}",
        )
        for recipe in recipes
    ]


def _ranges_key(each: Engine, key: str, form: Format, model: Model, samples: Samples) -> str:
    """What a file of ranges depends on: method, graph, samples, and the code that made the graph and the ranges."""
    versions = [f"{p} {installed_version(p)}" for p in each.packages]
    parts = [each.name, key, form, model.sha256, samples.sha256, __version__, *versions]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def without(job: Job, done: Collection[str]) -> Job:
    """The job without needs that are done."""
    return replace(job, needs=tuple(need for need in job.needs if need not in done))
