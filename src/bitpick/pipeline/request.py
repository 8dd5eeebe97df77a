"""Check a request before anything runs, and make its record."""

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
from bitpick.schema.uses import USES
from bitpick.targets.host import Host
from bitpick.targets.target import Target, target
from bitpick.tasks.registry import checked
from bitpick.tasks.task import Task
from bitpick.version import __version__, installed_version

_LIBRARIES = ("numpy", "onnx", "onnxruntime")
# What a preset asks for besides its recipes; command-line options override it.
PRESET_MIN_ACCURACY = {"reference": 0.85}


def make_request(
    model: Path | Source,
    data: str,
    settings: Settings | None = None,
    data_options: Mapping[str, Any] | None = None,
    accept_baseline: bool = False,
    **flat: Any,
) -> tuple[RequestRecord, Format]:
    """Check a request, and add the digest of everything that builds and measurements depend on.

    Args:
        model: the model.
        data: the data set, as users write it.
        settings: the settings; by default the defaults.
        data_options: how the data set is read; see `DataOptions.said`.
        accept_baseline: go on even if the float model makes no sense of the data.
        flat: options that override the settings, by name.

    Returns:
        The request and the model's format.

    Raises:
        ModelError: the model does not exist.
        RecipeError: there is no such preset, engine or recipe, or the engine does not have the recipe.
        RequestError: another option has an invalid value.
    """
    effective = (settings or Settings()).but(**flat)
    builds, use, targets = effective.builds, effective.limits.use, effective.targets.targets
    engine_names = builds.engines or (USES[use].engines if use is not None and not builds.recipes else ())
    for name in engine_names:
        engine(name)
    named = _recipes(builds)
    if effective.claims.margin is not None:
        margin_of(effective.claims.margin)
    judging = checked(Judging(**effective.metric.recorded()))
    target_by_name = _targets(targets)
    source = Source.of(model)
    model_format = source.format()
    if source.kind() is Kind.QUANTIZED_ONNX:
        refuse_quantized(source.name)
    fields = {
        **{name: value for name, value in effective.recorded("builds").items() if name not in Judging.model_fields},
        "model_sha256": source.sha256(),
        "data": data,
        "data_options": dict(data_options or {}),
        "recipes": list(dict.fromkeys(recipe.id for recipe in named)),
        "recipe_fields": {recipe.id: recipe.model_dump(mode="json") for recipe in named if recipe.scoped},
        "engines": list(dict.fromkeys(engine_names)),
        "targets": list(dict.fromkeys(targets)),
        "target_fields": {name: asdict(each) for name, each in target_by_name.items()},
        "judging": judging.model_dump(mode="json"),
    }
    state_dict = str(source.state_dict) if source.state_dict else None
    source_fields = {"model": source.name, "keras_builder": source.keras_builder, "state_dict": state_dict}
    verdict = {**effective.recorded("verdict"), "margin": effective.claims.margin or ""}
    record = {"sha256": _digest(fields), "accept_baseline": accept_baseline, **source_fields, **fields, **verdict}
    return RequestRecord.model_validate(record), model_format


def _digest(fields: Mapping[str, Any]) -> str:
    """Return the digest of the fields that builds depend on, and of this version of bitpick."""
    # The order of recipes, engines and targets only changes the order of rows; targets count by their fields.
    unordered = {
        "recipes": sorted(fields["recipes"]),
        "engines": sorted(fields["engines"]),
        "targets": bool(fields["targets"]),
    }
    content = [__version__, {**fields, **unordered}]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _recipes(builds: Builds) -> list[Recipe]:
    """Return the recipes that the user named.

    Raises:
        RecipeError: the recipe does not exist, or its engine does not have it or is left out.
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
    """Return the record of a run that has not started."""
    packages = sorted({*_LIBRARIES, *(package for each in engines().values() for package in each.packages)})
    versions = {
        package: version for package in packages if (version := installed_version(package)) is not None
    } | outside_distributions()
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
    """Refuse a model that is already quantized.

    Raises:
        ModelError: always.
    """
    raise ModelError(
        f"the model {name} is quantized already",
        expected="the trained float32 model",
        fix=f"give the float model that it was made from; with labels, bitpick evaluate {name} measures this one",
    )


def settled(request: RequestRecord, task: Task) -> RequestRecord:
    """Return a request with what it left to the task: the margin, and the preset's minimum accuracy.

    Raises:
        RequestError: the request has an option that does not apply to this task.
    """
    measure, min_accuracy = task.measure, request.min_accuracy
    if measure.name == "accuracy" and min_accuracy is None:
        min_accuracy = PRESET_MIN_ACCURACY.get(request.preset)
    if measure.unit != "fraction" or not measure.higher_is_better:
        _require(min_accuracy is None, f"builds are judged by {measure.label} here", "no --min-accuracy")
    return request.model_copy(update={"margin": request.margin or task.default_margin, "min_accuracy": min_accuracy})


def job_limits(work: Work) -> Limits:
    """Return the time and memory that a single job may use."""
    return Limits(work.timeout, None if work.memory_limit is None else int(work.memory_limit * 1e9))


def _require(holds: bool, problem: str, expected: str) -> None:
    if not holds:
        raise RequestError(problem, expected=expected)


def _targets(names: Sequence[str]) -> dict[str, Target]:
    """Return the named targets, except this host, by name.

    Raises:
        RequestError: there is no such target, or two targets have the same name.
    """
    by_name: dict[str, Target] = {}
    for each in (target(name) for name in names if name != "host"):
        if by_name.setdefault(each.name, each) != each:
            raise RequestError(f"two targets have the name {each.name}", fix="give one of them another name")
    return by_name


def check_recipe(recipe: Recipe) -> None:
    """Refuse a recipe that its engine does not have.

    Raises:
        RecipeError: there is no such engine, or the recipe is outside its capabilities.
    """
    if refusal := engine(recipe.engine).refusal(recipe):
        mixing = [name for name, each in engines().items() if recipe.weights and recipe.dtypes in each.mixes]
        raise RecipeError(
            f"{recipe.id}: {refusal}",
            expected=f"weights of single layers with one of {', '.join(mixing)}" if mixing else "",
            fix="list each engine's recipes with: bitpick engines",
        )
