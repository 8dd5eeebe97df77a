"""The forms of a model: which engine runs each, which one a recipe starts from, and a file's signature."""

from __future__ import annotations

from pathlib import Path

from bitpick.conversion.hop import Hop
from bitpick.conversion.route import route
from bitpick.datasets.activations import Activations
from bitpick.datasets.dataset import Samples
from bitpick.engines.engine import Engine
from bitpick.engines.registry import engine, engines
from bitpick.errors import ModelError
from bitpick.models.model import Form, Format, Signature, Tensor, prepared
from bitpick.passes.registry import passes_of, steps_of
from bitpick.pipeline.form_job import FUNCTIONS
from bitpick.pipeline.job import Job
from bitpick.pipeline.running import Runner
from bitpick.recipe import Recipe
from bitpick.version import installed_version


def runner_of(form: Format) -> tuple[Engine, Recipe]:
    """Return the engine that runs a form in float32, and the recipe it uses.

    Raises:
        ModelError: no installed engine runs this form.
    """
    for candidate in engines().values():
        recipe = candidate.float_recipe(form)
        if recipe is not None and candidate.missing() is None:
            return candidate, recipe
    reasons = [candidate.missing() for candidate in engines().values() if candidate.float_recipe(form) is not None]
    raise ModelError(
        f"no engine that is installed runs {form} models", fix="; or ".join(reason for reason in reasons if reason)
    )


def start_form(recipe: Recipe, source: Format, draw: str = "") -> Form | None:
    """Return the form that a recipe starts from: the first accepted form with a route to it; None if there is none.

    Passes work on the clean graph, so a recipe with passes starts from a form that the clean graph converts to.

    Args:
        recipe: the recipe.
        source: the format of the user's model.
        draw: the calibration draw, see `Inputs.draw`; passes that tune on samples give another form for each.
    """
    builder = engine(recipe.engine)
    steps = steps_of(recipe, builder.weight_grid(recipe), draw)
    if steps and route(source, Format.ONNX) is None:
        return None
    start = Format.ONNX if steps else source
    return next((prepared(form, steps) for form in builder.form(recipe) if route(start, form) is not None), None)


def unreachable(recipe: Recipe, source: Format) -> str | None:
    """Return why a recipe cannot start from a model of this format; None if it can."""
    if start_form(recipe, source) is not None:
        return None
    wanted, start = " or ".join(engine(recipe.engine).form(recipe)), "the clean graph" if passes_of(recipe) else source
    return f"it starts from {wanted}, and no conversion goes there from {start}"


def convert(hop: Hop, source: Path, out: Path, samples: Samples | None, needs: tuple[str, ...] = ()) -> Job:
    """Return the job that runs a hop.

    Args:
        hop: the hop.
        source: the file that it reads.
        out: the file that it writes.
        samples: samples whose shapes a `sized` hop fixes; may be None for other hops.
        needs: ids of the jobs that make the source.
    """
    shapes = samples.shapes if samples is not None and hop.sized else None
    payload = {
        "source": source, "source_format": hop.source, "target_format": hop.target, "out": out, "shapes": shapes
    }  # fmt: skip
    options = {"makes": ("out",), "needs": needs, "subject": hop.name}
    return Job(f"convert:{hop.target}", hop.environment, FUNCTIONS, "convert", payload, **options)  # type: ignore[arg-type]


def signature_of(raw: Path, runner: Runner, environment: str) -> Signature:
    """Return the inputs and outputs of an ONNX or LiteRT file."""
    description = runner.run(Job("describe", environment, FUNCTIONS, "describe", {"source": raw})).value

    def tensors(side: str) -> tuple[Tensor, ...]:
        return tuple(
            Tensor(name, None if shape is None else tuple(shape[1:]), dtype) for name, shape, dtype in description[side]
        )

    return Signature(tensors("inputs"), tensors("outputs"))


def with_activations(samples: Samples, raw: Path, runner: Runner, environment: str) -> Samples:
    """Return samples with the memory that a model takes for one of them, in `activations`.

    Args:
        samples: the model's input samples.
        raw: the model, an ONNX or LiteRT file.
        runner: runs the model.
        environment: the environment to run it in.
    """
    payload = {"source": raw, "samples": samples.head(1)}
    activations = runner.run(Job("activations", environment, FUNCTIONS, "activations", payload)).value
    return samples.model_copy(update={"activations": activations and Activations.model_validate(activations)})


def check_installed(source: Format) -> None:
    """Refuse a model if its conversion needs a package that is not installed.

    Raises:
        ModelError: a package is missing; the message says how to install it.
    """
    for hop in route(source, Format.ONNX) or ():
        absent = [package for package in hop.packages if installed_version(package) is None]
        if absent:
            raise ModelError(
                f"the conversion {hop.name} needs {', '.join(absent)}, which is not installed",
                fix=f"pip install 'bitpick[{hop.environment}]', or give the model as .onnx",
            )
