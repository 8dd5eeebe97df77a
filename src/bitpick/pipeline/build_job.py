"""Calibrate, make, run and evaluate builds in worker processes.

Arguments reach these functions as JSON; anything large is passed as a file path.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import validate_call

from bitpick.datasets.activations import Activations
from bitpick.datasets.dataset import Samples
from bitpick.deployment import shipped
from bitpick.engines.capability import refused_setting
from bitpick.engines.engine import Build, SessionSettings
from bitpick.engines.registry import engine
from bitpick.errors import ModelError
from bitpick.measures import outputs, size
from bitpick.models.interface import Interface
from bitpick.models.model import sha256_of
from bitpick.paths import check_links, inside
from bitpick.pipeline.arrays import save
from bitpick.pipeline.job import Shapes
from bitpick.recipe import Recipe
from bitpick.schema.evidence import Accuracy, Metric
from bitpick.schema.run import File
from bitpick.tasks.registry import AnyTask

FUNCTIONS = __name__
RECIPE_FILE = "recipe.yaml"


def predictions_file(target: str) -> str:
    """Return the name of the file beside a build with its predictions on a target; `host` is this machine."""
    return "predictions.npz" if target == "host" else f"predictions@{target}.npz"


@validate_call
def calibrate(source: Path, recipe: Recipe, samples: Samples, out: Path) -> None:
    """Collect activation ranges, which several recipes may share."""
    engine(recipe.engine).calibrate(source, recipe, samples, out)


@dataclass(frozen=True)
class Built:
    """What `build` reports.

    Attributes:
        files: the build's files; paths are relative to its folder.
        settings: session settings.
        notes: what the user should know about the build.
    """

    files: list[File]
    settings: dict[str, str]
    notes: list[str]


@validate_call
def build(
    source: Path,
    recipe: Recipe,
    samples: Samples,
    ranges: Path | None,
    folder: Path,
    interface: Interface | None = None,
) -> Built:
    """Make a build in a new folder and write the recipe beside it."""
    import yaml

    folder.mkdir(parents=True)
    result = engine(recipe.engine).build(source, recipe, samples, ranges, folder)
    manifest: dict[str, Any] = {"files": {name: sha256_of(folder / name) for name in result.files}}
    if result.settings:
        manifest["session"] = dict(result.settings)
    if interface is not None:
        manifest["interface"] = interface.model_dump(mode="json", exclude_defaults=True)
        shipped.write(engine(recipe.engine), result, interface)
    if samples.activations is not None:
        manifest["activations"] = samples.activations.model_dump()
    # The runtime opens the first file, so the order matters.
    text = recipe.to_yaml() + yaml.safe_dump(manifest, sort_keys=False)
    (folder / RECIPE_FILE).write_text(text, encoding="utf-8")
    return Built(size.files(Build(recipe, folder, result.files), folder), dict(result.settings), list(result.notes))


def open_build(folder: Path) -> Build:
    """Return the build in a folder that `build` made.

    Raises:
        ModelError: the folder holds no build, its files changed since they were built, or it has a session setting that
            builds must not have.
        OutputError: the folder holds a link to something outside it.
    """
    import yaml

    check_links(folder)
    try:
        fields = yaml.safe_load((folder / RECIPE_FILE).read_text(encoding="utf-8"))
        digests = fields.pop("files")
        files = tuple(digests)
        settings = dict(fields.pop("session", {}))
        interface, activations = fields.pop("interface", None), fields.pop("activations", None)
        fields.pop("id")
        if not files:
            raise ValueError("it names no file")
        if absent := [name for name in files if not inside(folder, name).is_file()]:
            raise ValueError(f"{', '.join(absent)} is not there")
        known_interface = None if interface is None else Interface.model_validate(interface)
        known_activations = None if activations is None else Activations.model_validate(activations)
        build = Build(
            Recipe.model_validate(fields), folder, files, settings, known_interface, activations=known_activations
        )
        known_digests = digests if isinstance(digests, dict) else {}  # earlier versions stored a list of names
        changed = [name for name, digest in known_digests.items() if sha256_of(folder / name) != digest]
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise ModelError(f"{folder} holds no build: {error}", expected=f"a folder with a {RECIPE_FILE}") from error
    runner = engine(build.recipe.engine)
    if settings and (refusal := refused_setting(runner.name, settings, runner.configures | runner.own_settings)):
        raise ModelError(
            f"the build {folder} is not opened: {refusal}",
            fix=f"take that setting out of its {RECIPE_FILE}, or make the build again",
        )
    if changed:
        raise ModelError(
            f"{', '.join(changed)} in the build {folder} changed since it was built",
            expected=f"files with the digests in its {RECIPE_FILE}",
            fix="make the build again, or measure the changed file as a model of its own",
        )
    return build


@dataclass(frozen=True)
class Evaluated:
    """What `evaluate` reports: fields of a row."""

    predictions_sha256: str | None
    samples: int
    metric: Metric
    metrics: list[Metric] | None
    accuracy: Accuracy | None


@validate_call
def evaluate(
    recipe: Recipe,
    folder: Path,
    samples: Samples,
    threads: int,
    task: AnyTask,
    shapes: Shapes,
    predictions: Path | None,
) -> Evaluated:
    """Evaluate a build from its files, and save its answers and outputs in the file `predictions`, if named.

    Args:
        recipe: the build's recipe.
        folder: the build's folder.
        samples: the evaluation set.
        threads: threads inside one inference.
        task: how the build is judged.
        shapes: shape of one sample of each output; None is not checked.
        predictions: file for `predictions` (the answers) and `output0`, `output1`, ….
    """
    build = open_build(folder)
    assert build.recipe == recipe
    with engine(recipe.engine).open(build, SessionSettings(threads)) as session:
        scratch = None if predictions is None else predictions.parent
        answers, all_outputs = outputs.answers_and_outputs(session, samples, shapes, task, scratch)
    if predictions is not None:
        save(predictions, {"predictions": answers} | {f"output{i}": each for i, each in enumerate(all_outputs)})
    targets = outputs.targets_of(samples)
    return Evaluated(
        predictions_sha256=None if predictions is None else sha256_of(predictions),
        samples=samples.count,
        metric=task.metric(answers, targets),
        metrics=task.metrics(answers, all_outputs, targets) or None,
        accuracy=task.accuracy(answers, all_outputs, targets),
    )


@validate_call
def run(recipe: Recipe, folder: Path, samples: Samples, threads: int, shapes: Shapes, out: Path) -> None:
    """Run a build on samples and save its outputs (`output0`, `output1`, …) in the file `out`; see `evaluate`."""
    with engine(recipe.engine).open(open_build(folder), SessionSettings(threads)) as session:
        all_outputs = outputs.all_outputs(session, samples, shapes, out.parent)
    save(out, {f"output{i}": each for i, each in enumerate(all_outputs)})


@validate_call
def check_independence(
    recipe: Recipe, folder: Path, samples: Samples, threads: int, names: list[str], model: str
) -> None:
    """Refuse a build whose answers depend on the batch; see `outputs.check_independence`."""
    with engine(recipe.engine).open(open_build(folder), SessionSettings(threads)) as session:
        outputs.check_independence(session, samples, names, model, outputs.QUANTIZED_LIMIT)
