"""What to compare: checked before anything runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from bitpick.engines.registry import engine, engines, outside_distributions
from bitpick.errors import ModelError, RecipeError, RequestError
from bitpick.executors.pool import Limits
from bitpick.models.model import Format
from bitpick.models.source import Kind, Source
from bitpick.recipe import Recipe
from bitpick.schema.groups import Builds, Work
from bitpick.schema.judging import Judging
from bitpick.schema.margin import margin_of
from bitpick.schema.run import HostRecord, ModelRecord, RequestRecord, Run
from bitpick.schema.settings import Settings
from bitpick.targets.host import Host
from bitpick.targets.target import Target, target
from bitpick.tasks.registry import checked
from bitpick.tasks.task import Task
from bitpick.version import __version__, installed_version

_LIBRARIES = ("numpy", "onnx", "onnxruntime")
# What a preset asks for beside its recipes; the command line goes before it.
PRESET_MIN_ACCURACY = {"reference": 0.85}


def make_request(
    model: Path | Source,
    data: str,
    settings: Settings | None = None,
    data_options: Mapping[str, Any] | None = None,
    accept_baseline: bool = False,
    **flat: Any,
) -> tuple[RequestRecord, Format]:
    """Check a request and give it its digest, of all that the builds and what is measured of them depend on.

    Args:
        model: the model.
        data: a data set, as users write it.
        settings: what is asked for; by default what everybody gets.
        data_options: how the data set is read, see `DataOptions.said`.
        accept_baseline: go on with a float model that makes no sense of the data.
        flat: options that differ from these settings, by their names.

    Returns:
        The request and the model's format.

    Raises:
        ModelError: no such model.
        RecipeError: no such preset, engine or recipe, or a recipe that its engine does not have.
        RequestError: another option has a value that it cannot have.
    """
    asked = (settings or Settings()).but(**flat)
    engine_names, targets = asked.builds.engines, asked.targets.targets
    for name in engine_names:
        engine(name)
    named = _recipes(asked.builds)
    if asked.claims.margin is not None:
        margin_of(asked.claims.margin)
    judging = checked(Judging(**asked.metric.recorded()))
    chosen = _targets(targets)
    source = Source.of(model)
    model_format = source.format()
    if source.kind() is Kind.QUANTIZED_ONNX:
        refuse_quantized(source.name)
    fields = {
        **{name: value for name, value in asked.recorded("builds").items() if name not in Judging.model_fields},
        "model_sha256": source.sha256(),
        "data": data,
        "data_options": dict(data_options or {}),
        "recipes": list(dict.fromkeys(recipe.id for recipe in named)),
        "recipe_fields": {recipe.id: recipe.model_dump(mode="json") for recipe in named if recipe.scoped},
        "engines": list(dict.fromkeys(engine_names)),
        "targets": list(dict.fromkeys(targets)),
        "target_fields": {name: asdict(each) for name, each in chosen.items()},
        "judging": judging.model_dump(mode="json"),
    }
    state_dict = str(source.state_dict) if source.state_dict else None
    made_by = {"model": source.name, "keras_builder": source.keras_builder, "state_dict": state_dict}
    verdict = {**asked.recorded("verdict"), "margin": asked.claims.margin or ""}
    told = {"sha256": _digest(fields), "accept_baseline": accept_baseline, **made_by, **fields, **verdict}
    return RequestRecord.model_validate(told), model_format


def _digest(fields: Mapping[str, Any]) -> str:
    """The digest of what the builds depend on, as a request has it, by this version of bitpick."""
    # The order of recipes, engines and targets changes that of the rows and nothing in them; a target is its fields.
    unordered = {
        "recipes": sorted(fields["recipes"]),
        "engines": sorted(fields["engines"]),
        "targets": bool(fields["targets"]),
    }
    said = [__version__, {**fields, **unordered}]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _recipes(builds: Builds) -> list[Recipe]:
    """The recipes that are named.

    Raises:
        RecipeError: there is none of that name, or its engine does not have it, or is left out.
    """
    named = [Recipe.named(text) for text in builds.recipes]
    for recipe in named:
        check_recipe(recipe)
        if builds.engines and recipe.engine not in builds.engines:
            raise RecipeError(
                f"the recipe {recipe.id} is for the engine {recipe.engine}, which --engine leaves out",
                expected=f"recipes of {', '.join(builds.engines)}",
                fix=f"leave out --engine, or add --engine {recipe.engine}",
            )
    return named


def new_run(request: RequestRecord, model_format: Format, host: Host, threads: int, command: str) -> Run:
    """The record of a run that has only been asked for."""
    packages = sorted({*_LIBRARIES, *(p for e in engines().values() for p in e.packages)})
    versions = {p: v for p in packages if (v := installed_version(p)) is not None} | outside_distributions()
    return Run(
        state="running",
        command=command,
        version=__version__,
        request=request,
        model=ModelRecord(source=request.model, format=model_format, sha256=request.model_sha256),
        host=HostRecord(
            cpu=host.cpu,
            isa=list(host.isa),
            cores=host.cores,
            threads=threads,
            platform=host.platform,
            python=host.python,
            versions=versions,
        ),
    )


def refuse_quantized(name: str) -> NoReturn:
    """Refuse a model that was quantized already.

    Raises:
        ModelError: always.
    """
    raise ModelError(
        f"the model {name} is quantized already",
        expected="the trained float32 model",
        fix=f"give the float model that it was made from; with labels, bitpick evaluate {name} measures this one",
    )


def settled(request: RequestRecord, task: Task) -> RequestRecord:
    """A request with what was left to the task: the margin, and the least accuracy that a preset asks for.

    Raises:
        RequestError: something was asked for that there is not in this task.
    """
    measure, least = task.measure, request.min_accuracy
    if measure.name == "accuracy" and least is None:
        least = PRESET_MIN_ACCURACY.get(request.preset)
    if measure.unit != "fraction" or not measure.higher_is_better:
        _require(least is None, f"builds are judged by {measure.label} here", "no --min-accuracy")
    return request.model_copy(update={"margin": request.margin or task.default_margin, "min_accuracy": least})


def job_limits(work: Work) -> Limits:
    """What a single job may use."""
    return Limits(work.timeout, None if work.memory_limit is None else int(work.memory_limit * 1e9))


def _require(holds: bool, what: str, expected: str) -> None:
    if not holds:
        raise RequestError(what, expected=expected)


def _targets(words: Sequence[str]) -> dict[str, Target]:
    """The targets that words name, by their names, without this host.

    Raises:
        RequestError: there is no such target, or two have one name.
    """
    found: dict[str, Target] = {}
    for each in (target(word) for word in words if word != "host"):
        if found.setdefault(each.name, each) != each:
            raise RequestError(f"two targets have the name {each.name}", fix="give one of them another name")
    return found


def check_recipe(recipe: Recipe) -> None:
    """Refuse a recipe that its engine does not have.

    Raises:
        RecipeError: no such engine, or outside its capabilities.
    """
    if refusal := engine(recipe.engine).refusal(recipe):
        raise RecipeError(f"{recipe.id}: {refusal}", fix="list each engine's recipes with: bitpick engines")
