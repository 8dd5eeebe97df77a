"""Plan the jobs that find out which layer of an engine is which layer of the clean graph."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from bitpick.conversion.route import route
from bitpick.engines.registry import engine
from bitpick.models.model import Form, Format, prepared
from bitpick.passes.graph_pass import Step
from bitpick.passes.registry import mix_of, passes, passes_of
from bitpick.passes.weight_grid import WeightGrid
from bitpick.pipeline import layer_job
from bitpick.pipeline.directory import RunDirectory
from bitpick.pipeline.forms import convert, start_form
from bitpick.pipeline.inputs import Inputs
from bitpick.pipeline.job import Job
from bitpick.pipeline.layer_job import Mix
from bitpick.recipe import Recipe

_NAMES = "names"  # marks forms that are only made for the names of their layers


def mix_jobs(
    recipe: Recipe, grid: WeightGrid, step: Form, inputs: Inputs, directory: RunDirectory, existing: Collection[Form]
) -> tuple[list[Job], Mix]:
    """Return the jobs that a pass needs which treats single layers differently, and what it gets from them.

    Args:
        recipe: the recipe with this mix.
        grid: the grid of most of its weights.
        step: the clean graph as the pass, or one before it, leaves it.
        inputs: the run's inputs.
        directory: the run directory, for the files.
        existing: the forms that exist.
    """
    clean = prepared(Format.ONNX, tuple(text for text in step.passes if Step.parse(text).grid is None))
    jobs = match_jobs(recipe, clean, inputs, directory, existing)
    # What has nothing to do with layers must not make another pass of it.
    plain: dict[str, object] = {
        "options": {},
        "settings": {},
        "name": mix_of(recipe),
        "calibration": recipe.calibration and "minmax",
    }
    return jobs, Mix(grid=str(grid), recipe=recipe.model_copy(update=plain), matches=jobs[-1].payload["out"])


def named_form(recipe: Recipe, source: Format) -> Form | None:
    """Return the form whose layers have the names that a recipe's patterns are about; None if there is no such form.

    Args:
        recipe: the recipe.
        source: the format of the user's model.
    """
    if not passes_of(recipe):
        return start_form(recipe, source)
    rewriting = [name for name in passes_of(recipe) if not passes()[name].gridded]
    base = _base(recipe)
    return None if base is None else prepared(base, (*rewriting, _NAMES))


def _base(recipe: Recipe) -> Format | None:
    """Return the format that a recipe with passes starts from; None if no conversion leads there."""
    return next((form for form in engine(recipe.engine).form(recipe) if route(Format.ONNX, form) is not None), None)


def match_jobs(
    recipe: Recipe, clean: Form, inputs: Inputs, directory: RunDirectory, existing: Collection[Form]
) -> list[Job]:
    """Return the jobs that find out what an engine calls the layers of a clean graph; the last one says it.

    Args:
        recipe: a recipe of the engine, with passes.
        clean: the clean graph, which passes may have rewritten.
        inputs: the run's inputs.
        directory: the run directory, for the files.
        existing: the forms that exist.
    """
    needs: tuple[str, ...] = () if clean in existing or clean == inputs.format else (f"convert:{clean}",)
    jobs, path = [], inputs.path(clean, directory)
    base = _base(recipe)
    assert base is not None
    for hop in route(Format.ONNX, base) or ():
        form = prepared(hop.target, (*clean.passes, _NAMES))
        job = convert(hop, path, directory.form(form), inputs.calibration, needs)
        jobs.append(replace(job, id=f"convert:{form}", wanted=False))
        path, needs = directory.form(form), (f"convert:{form}",)
    out = directory.matches(recipe.engine, prepared(Format.ONNX, (*clean.passes, _NAMES)))
    return [*jobs, match_job(recipe.engine, path, inputs.path(clean, directory), out, needs)]


def match_job(name: str, source: Path, clean: Path, out: Path, needs: tuple[str, ...]) -> Job:
    """Return the job that finds out which layer is which, see `layer_job.match`.

    Args:
        name: the engine.
        source: its form of a graph.
        clean: the clean graph that the form was made from.
        out: the file to write.
        needs: ids of the jobs that make the form.
    """
    payload = {"source": source, "clean": clean, "name": name, "out": out}
    environment, function = engine(name).environment, "match"
    job = Job(f"match:{out.stem}", environment, layer_job.FUNCTIONS, function, payload, ("out",), needs, out.stem)
    return replace(job, wanted=False)
