"""What to compare: checked before anything runs."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn, get_args

from bitpick.engines.registry import engine, engines, outside_distributions
from bitpick.errors import ModelError, RecipeError, RequestError
from bitpick.executors.pool import Limits
from bitpick.models.model import Format
from bitpick.models.source import Kind, Source
from bitpick.recipe import PRESETS, Recipe, did_you_mean
from bitpick.schema.judging import Judging
from bitpick.schema.margin import margin_of
from bitpick.schema.run import HostRecord, ModelRecord, RequestRecord, Run, Selection
from bitpick.targets.host import Host
from bitpick.targets.target import Target, target
from bitpick.tasks.registry import checked
from bitpick.tasks.task import Task
from bitpick.version import __version__, installed_version

_LIBRARIES = ("numpy", "onnx", "onnxruntime")
DEFAULT_PRESET = "standard"
DEFAULT_ALPHA = 0.05
DEFAULT_FLAG_DROP = 0.05
DEFAULT_BENCH_SECONDS = 120.0  # covers every row of the default preset
# What a preset asks for beside its recipes; the command line goes before it.
PRESET_MIN_ACCURACY = {"reference": 0.85}


def make_request(
    model: Path | Source,
    data: str,
    preset: str = DEFAULT_PRESET,
    recipes: Sequence[str | Recipe] = (),
    engine_names: Sequence[str] = (),
    calibration_size: int = 1000,
    seed: int = 0,
    calibration_seeds: int = 1,
    targets: Sequence[str] = (),
    target_samples: int = 1000,
    judging: Judging | None = None,
    margin: str | None = None,
    alpha: float = DEFAULT_ALPHA,
    selection: str = "simultaneous",
    max_drop: float | None = None,
    max_size: int | None = None,
    max_latency_ratio: float | None = None,
    bench_seconds: float = DEFAULT_BENCH_SECONDS,
    flag_drop: float = DEFAULT_FLAG_DROP,
    min_accuracy: float | None = None,
    data_options: Mapping[str, Any] | None = None,
    accept_baseline: bool = False,
) -> tuple[RequestRecord, Format]:
    """Check a request and give it its digest.

    Args:
        model: the model.
        data: a data set, as users write it.
        preset: one of `PRESETS`.
        recipes: recipe ids, or YAML files, that replace the preset's.
        engine_names: engines to narrow the preset to.
        calibration_size: number of calibration samples.
        seed: of their draw.
        calibration_seeds: from how many draws, of this seed and those after it, the builds that matter are made.
        targets: CPUs to measure for beside this one, by name or YAML file; none leaves the choice to bitpick, `host` is
            none.
        target_samples: how many evaluation samples they get.
        judging: how builds are to be judged, where the user says so.
        margin: the largest drop that does no harm: `1%` of the baseline's metric, or points, as `0.5`, or a number in
            the metric's unit; None is the task's own.
        alpha: the one-sided level at which rows are shown to be good enough.
        selection: `simultaneous` or `cross-fit`, see `Recommendation`.
        max_drop: rows that lose more than this are not recommended; see `RequestRecord`.
        max_size: rows of more bytes are not recommended.
        max_latency_ratio: rows whose time is more than this share of the reference's are not recommended.
        bench_seconds: how long speed may be measured; 0 is not at all.
        flag_drop: rows that lose more than this, as `max_drop` is meant, are flagged.
        min_accuracy: rows with less accuracy than this, as a fraction, are flagged.
        data_options: how the data set is read, see `DataOptions.said`.
        accept_baseline: go on with a float model that makes no sense of the data.

    Returns:
        The request and the model's format.

    Raises:
        ModelError: no such model.
        RecipeError: no such preset, engine or recipe, or a recipe that its engine does not have.
    """
    if preset not in PRESETS:
        raise RecipeError(
            f"there is no preset {preset!r}",
            expected=f"one of {', '.join(PRESETS)}",
            mend=did_you_mean(preset, PRESETS),
        )
    for name in engine_names:
        engine(name)
    named = [Recipe.named(text) for text in recipes]
    for recipe in named:
        check_recipe(recipe)
    _check_selection(selection)
    for recipe in named:
        if engine_names and recipe.engine not in engine_names:
            raise RecipeError(
                f"the recipe {recipe.id} is for the engine {recipe.engine}, which --engine leaves out",
                expected=f"recipes of {', '.join(engine_names)}",
                mend=f"leave out --engine, or add --engine {recipe.engine}",
            )
    if margin is not None:
        margin_of(margin)
    judging = checked(judging or Judging())
    _require(seed >= 0, f"the seed {seed} is negative", "a whole number from 0")
    seeds = f"the number of calibration seeds {calibration_seeds} is out of range"
    _require(calibration_seeds >= 1, seeds, "at least 1, the one draw that every build is made from")
    _require(0 < alpha <= 0.5, f"the level {alpha:g} is out of range", "above 0, at most 0.5")
    _require(target_samples >= 1, f"the number of target samples {target_samples} is out of range", "at least 1")
    _require(0 <= bench_seconds < math.inf, f"the seconds for timing {bench_seconds:g} are out of range", "0 or more")
    if max_latency_ratio is not None:
        _require(
            0 < max_latency_ratio < math.inf, f"the latency ratio {max_latency_ratio:g} is out of range", "above 0"
        )
        _require(bench_seconds > 0, "a limit on latency ratios needs measured times", "no --no-bench beside it")
    chosen = _targets(targets)
    source = Source.of(model)
    model_format = source.format()
    if source.kind() is Kind.QUANTIZED_ONNX:
        refuse_quantized(source.name)
    fields = {
        "model_sha256": source.sha256(),
        "data": data,
        "data_options": dict(data_options or {}),
        "preset": preset,
        "recipes": list(dict.fromkeys(recipe.id for recipe in named)),
        "recipe_fields": {recipe.id: recipe.model_dump(mode="json") for recipe in named if recipe.scoped},
        "engines": list(dict.fromkeys(engine_names)),
        "calibration_size": calibration_size,
        "seed": seed,
        "calibration_seeds": calibration_seeds,
        "targets": list(dict.fromkeys(targets)),
        "target_fields": {name: asdict(each) for name, each in chosen.items()},
        "target_samples": target_samples,
        "judging": judging.model_dump(mode="json"),
        "margin": margin or "",
        "alpha": alpha,
        "selection": selection,
        "max_drop": max_drop,
        "max_size": max_size,
        "max_latency_ratio": max_latency_ratio,
        "bench_seconds": bench_seconds,
        "flag_drop": flag_drop,
        "min_accuracy": min_accuracy,
    }
    # The order of recipes, engines and targets changes that of the rows and nothing in them; a target is its fields.
    unordered = fields | {
        "recipes": sorted({recipe.id for recipe in named}),
        "engines": sorted(set(engine_names)),
        "targets": bool(targets),
    }
    digest = hashlib.sha256(json.dumps([__version__, unordered], sort_keys=True).encode()).hexdigest()
    state_dict = str(source.state_dict) if source.state_dict else None
    made_by = {"model": source.name, "keras_builder": source.keras_builder, "state_dict": state_dict}
    told = {"sha256": digest, "accept_baseline": accept_baseline, **made_by, **fields}
    return RequestRecord.model_validate(told), model_format


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
        mend=f"give the float model that it was made from; with labels, bitpick evaluate {name} measures this one",
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


def job_limits(timeout: float | None, memory_limit: float | None) -> Limits:
    """What a single job may use.

    Args:
        timeout: seconds; None is no limit.
        memory_limit: gigabytes of 10^9 bytes; None is no limit.

    Raises:
        RequestError: one of them is not above 0.
    """
    for name, limit in (("timeout", timeout), ("memory limit", memory_limit)):
        if limit is not None:
            _require(limit > 0, f"the {name} {limit:g} is out of range", "a number above 0")
    return Limits(timeout, None if memory_limit is None else int(memory_limit * 1e9))


def _require(holds: bool, what: str, expected: str) -> None:
    if not holds:
        raise RequestError(what, expected=expected)


def _check_selection(selection: str) -> None:
    """Refuse a selection that is none.

    Raises:
        RequestError: there is no such selection.
    """
    if selection not in (known := get_args(Selection)):
        raise RequestError(
            f"there is no selection {selection!r}",
            expected=" or ".join(known),
            mend=did_you_mean(selection, known),
        )


def _targets(words: Sequence[str]) -> dict[str, Target]:
    """The targets that words name, by their names, without this host.

    Raises:
        RequestError: there is no such target, or two have one name.
    """
    found: dict[str, Target] = {}
    for each in (target(word) for word in words if word != "host"):
        if found.setdefault(each.name, each) != each:
            raise RequestError(f"two targets have the name {each.name}", mend="give one of them another name")
    return found


def check_recipe(recipe: Recipe) -> None:
    """Refuse a recipe that its engine does not have.

    Raises:
        RecipeError: no such engine, or outside its capabilities.
    """
    if refusal := engine(recipe.engine).refusal(recipe):
        raise RecipeError(f"{recipe.id}: {refusal}", mend="list each engine's recipes with: bitpick engines")
