"""Rank the layers of a model by what rounding their weights costs, under the names that engines have for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from pydantic import TypeAdapter

from bitpick.engines.registry import engine
from bitpick.errors import BitpickError
from bitpick.executors.executor import Outcome
from bitpick.models.model import Format, form_of, prepared
from bitpick.passes.registry import passes, passes_of
from bitpick.pipeline import hops, layer_plan, plan, schedule, sensitivity_job
from bitpick.pipeline.forms import runner_of
from bitpick.pipeline.inputs import Inputs
from bitpick.pipeline.job import Job
from bitpick.pipeline.layer_job import Matches
from bitpick.pipeline.layer_plan import named_form
from bitpick.pipeline.schedule import Result
from bitpick.pipeline.sensitivity_job import Sensitivity
from bitpick.pipeline.workshop import Workshop
from bitpick.recipe import Recipe, matches, pattern_of

SAMPLES = 32  # to run the network on for each layer
Key = tuple[str, str]
"""An engine, and the form whose layers have the names that its recipes use."""


@dataclass(frozen=True)
class Ranking:
    """The layers of a model, and what engines call them.

    Attributes:
        source: the format of the user's model.
        sensitivities: of the layers.
        names: the name that no other layer has, by the layer's name in the clean graph.
        cpu_seconds: the processor time of finding out.
    """

    source: Format = Format.ONNX
    sensitivities: tuple[Sensitivity, ...] = ()
    names: Mapping[Key, Mapping[str, str]] = field(default_factory=dict)
    cpu_seconds: float = 0.0

    def knows(self, name: str) -> bool:
        """Return whether it has names of an engine's layers."""
        return any(each == name for each, _ in self.names)

    def layers(self, recipe: Recipe) -> list[tuple[str, bool]]:
        """Return the layers that a recipe can treat differently: those that cost most for their size first.

        Returns:
            The engine's name of each, and whether its weights have as few bits as the recipe says.
        """
        names = self.names.get((recipe.engine, str(named_form(recipe, self.source))), {})
        place = 0 if recipe.weight_dtype == "s4" else 1
        order = sorted(self.sensitivities, key=lambda each: (-each.errors[place] / each.weights, each.layer))
        grid = engine(recipe.engine).weight_grid(recipe)
        found = []
        for each in order:
            own = None if grid is None else grid.of(each.layer, each.convolution, each.depthwise)
            if each.layer in names:
                found.append((names[each.layer], grid is None or own is None or own.levels == grid.levels))
        return found


def rank(shop: Workshop, inputs: Inputs, recipes: Iterable[Recipe]) -> Ranking:
    """Rank the layers of a model.

    Args:
        shop: the run's workshop.
        inputs: the run's inputs.
        recipes: those whose layers need names.

    Returns:
        The ranking. What could not be found out is missing, and noted.
    """
    wanted: dict[Key, Job] = {}
    jobs: dict[str, Job] = {}
    for recipe in recipes:
        key = recipe.engine, str(named_form(recipe, inputs.format))
        if engine(recipe.engine).mixes and key not in wanted:
            needed = _naming(recipe, shop, inputs)
            wanted[key] = replace(needed[-1], wanted=True)
            jobs |= {job.id: job for job in (*needed, wanted[key])}
    if not wanted:
        return Ranking()
    payload = {"source": inputs.path(Format.ONNX, shop.directory), "samples": inputs.calibration.head(SAMPLES)}
    environment = runner_of(Format.ONNX)[0].environment
    measure = Job("sensitivities", environment, sensitivity_job.FUNCTIONS, "sensitivities", payload)
    results: dict[str, Result] = {}

    def finished(job: Job, result: Result) -> Result:
        results[job.id] = hops.note_outcome(shop, inputs, job, result)
        return results[job.id]

    schedule.run([measure, *jobs.values()], shop.runner, shop.parallel, shop.listener, finished)
    return _ranking(shop, inputs, results, measure, wanted)


def _ranking(
    shop: Workshop, inputs: Inputs, results: Mapping[str, Result], measure: Job, wanted: Mapping[Key, Job]
) -> Ranking:
    measured, names = results[measure.id], {}
    for key, job in wanted.items():
        failed = next((each for each in (measured, results[job.id]) if isinstance(each, BitpickError)), None)
        if failed is not None:
            shop.note(f"the search treats no single layers of {key[0]} differently: {failed.line}")
        else:
            path = job.payload["out"]
            names[key] = _names(Matches.model_validate_json(path.read_text(encoding="utf-8")))
    found = () if isinstance(measured, BitpickError) else measured.value
    seconds = sum(each.cpu_seconds for each in results.values() if isinstance(each, Outcome))
    return Ranking(inputs.format, TypeAdapter(tuple[Sensitivity, ...]).validate_python(found), names, seconds)


def _naming(recipe: Recipe, shop: Workshop, inputs: Inputs) -> list[Job]:
    """Return the jobs that find out what an engine calls the layers of a recipe; the last one says it."""
    existing = [inputs.format, *map(form_of, shop.run.model.forms)]
    directory, form = shop.directory, named_form(recipe, inputs.format)
    assert form is not None
    if passes_of(recipe):
        clean = prepared(Format.ONNX, [name for name in passes_of(recipe) if not passes()[name].gridded])
        rewriting = plan.conversions([clean], inputs, directory, existing)
        return [*rewriting, *layer_plan.match_jobs(recipe, clean, inputs, directory, existing)]
    made = plan.conversions([form], inputs, directory, existing)
    needs = tuple(job.id for job in made[-1:])
    paths = inputs.path(form, directory), inputs.path(Format.ONNX, directory)
    return [*made, layer_plan.match_job(recipe.engine, *paths, directory.matches(recipe.engine, form), needs)]


def _names(found: Matches) -> dict[str, str]:
    """Return the engine's name of each layer, if there is one that no other layer has."""
    everything = [names for alike in found.layers.values() for names in alike] + found.others
    names = {}
    for layer, alike in found.layers.items():
        if len(alike) == 1 and alike[0]:
            pattern = pattern_of(alike[0][0])
            bearers = [each for each in everything if any(matches(pattern, name) for name in each)]
            if bearers == [alike[0]]:
                names[layer] = alike[0][0]
    return names
