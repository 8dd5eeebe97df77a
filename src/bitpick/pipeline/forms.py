"""The forms of a model: what runs each of them, which one a recipe starts from, what a file takes and gives."""

from __future__ import annotations

from pathlib import Path

from bitpick.conversion.route import route
from bitpick.datasets.activations import Activations
from bitpick.datasets.dataset import Samples
from bitpick.engines.engine import Engine
from bitpick.engines.registry import engine, engines
from bitpick.errors import ModelError
from bitpick.models.model import Form, Format, Signature, Tensor, prepared
from bitpick.passes.registry import passes_of
from bitpick.pipeline.form_job import FUNCTIONS
from bitpick.pipeline.job import Job
from bitpick.pipeline.running import Runner
from bitpick.recipe import Recipe
from bitpick.version import installed_version


def runner_of(form: Format) -> tuple[Engine, Recipe]:
    """The engine, and its recipe, that runs a form in float32.

    Raises:
        ModelError: no installed engine runs this form.
    """
    for each in engines().values():
        recipe = each.float_recipe(form)
        if recipe is not None and each.missing() is None:
            return each, recipe
    reasons = [each.missing() for each in engines().values() if each.float_recipe(form) is not None]
    raise ModelError(
        f"no engine that is installed runs {form} models", fix="; or ".join(reason for reason in reasons if reason)
    )


def start_form(recipe: Recipe, source: Format) -> Form | None:
    """The form that a recipe starts from: the first it accepts that a route leads to; None where none does.

    Passes prepare the clean graph, so that a recipe with some starts from what that leads to.
    """
    accepted, wanted = engine(recipe.engine).form(recipe), passes_of(recipe)
    if wanted and route(source, Format.ONNX) is None:
        return None
    start = Format.ONNX if wanted else source
    return next((prepared(form, wanted) for form in accepted if route(start, form) is not None), None)


def unreachable(recipe: Recipe, source: Format) -> str | None:
    """Why a recipe cannot start from a model of this format; None where it can."""
    if start_form(recipe, source) is not None:
        return None
    wanted, start = " or ".join(engine(recipe.engine).form(recipe)), "the clean graph" if passes_of(recipe) else source
    return f"it starts from {wanted}, and no conversion goes there from {start}"


def signature_of(raw: Path, runner: Runner, environment: str) -> Signature:
    """What an ONNX or LiteRT file takes and gives."""
    told = runner.run(Job("describe", environment, FUNCTIONS, "describe", {"source": raw})).value

    def tensors(side: str) -> tuple[Tensor, ...]:
        return tuple(
            Tensor(name, None if shape is None else tuple(shape[1:]), dtype) for name, shape, dtype in told[side]
        )

    return Signature(tensors("inputs"), tensors("outputs"))


def measured(samples: Samples, raw: Path, runner: Runner, environment: str) -> Samples:
    """Samples that know how much memory a model takes for one of them.

    Args:
        samples: what the model takes.
        raw: the model, an ONNX or LiteRT file.
        runner: runs it.
        environment: where.
    """
    payload = {"source": raw, "samples": samples.head(1)}
    found = runner.run(Job("activations", environment, FUNCTIONS, "activations", payload)).value
    return samples.model_copy(update={"activations": found and Activations.model_validate(found)})


def check_installed(source: Format) -> None:
    """Refuse a model whose conversion needs what is not installed.

    Raises:
        ModelError: a package is missing; the message says how to install it.
    """
    for hop in route(source, Format.ONNX) or ():
        absent = [p for p in hop.packages if installed_version(p) is None]
        if absent:
            raise ModelError(
                f"the conversion {hop.name} needs {', '.join(absent)}, which is not installed",
                fix=f"pip install 'bitpick[{hop.environment}]', or give the model as .onnx",
            )
