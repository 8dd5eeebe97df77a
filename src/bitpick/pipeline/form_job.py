"""What is done to the forms of a model, each in a worker process: conversions, and the checks of them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import validate_call

from bitpick.conversion import float64, litert_file, onnx_file
from bitpick.conversion import verify as verification
from bitpick.conversion.route import route
from bitpick.datasets.activations import Activations
from bitpick.datasets.dataset import Samples
from bitpick.engines.engine import Session, SessionSettings
from bitpick.engines.registry import engine
from bitpick.errors import Unsupported
from bitpick.executors.executor import resolve
from bitpick.measures import outputs
from bitpick.models.model import Format
from bitpick.models.onnx_traits import traits
from bitpick.passes.graph_pass import Applied
from bitpick.passes.registry import passes
from bitpick.pipeline.arrays import read_outputs, save
from bitpick.pipeline.job import Shapes
from bitpick.preprocessing import Arrays
from bitpick.recipe import Recipe
from bitpick.schema.hop import Hop as HopRecord
from bitpick.tasks.registry import AnyTask

FUNCTIONS = __name__


@validate_call
def convert(
    source: Path,
    source_format: Format,
    target_format: Format,
    out: Path,
    shapes: list[tuple[int, ...]] | None = None,
) -> list[str]:
    """Run one conversion hop.

    Args:
        source: the file to convert.
        source_format: its format.
        target_format: the format to write.
        out: the file to write.
        shapes: of one sample of each input, for a hop that is `sized`; None leaves free axes free.

    Returns:
        What the hop assumed, or changed, in words.
    """
    hops = route(source_format, target_format)
    assert hops is not None
    assert len(hops) == 1
    sized = {"shapes": shapes} if hops[0].sized else {}
    notes: list[str] | None = resolve(hops[0].convert)(str(source), str(out), **sized)
    return notes or []


@validate_call
def apply_pass(source: Path, name: str, out: Path) -> list[str]:
    """Prepare a graph by a pass.

    Args:
        source: the clean graph, or one that other passes prepared.
        name: the pass.
        out: the file to write.

    Returns:
        What it did, in words.

    Raises:
        Unsupported: it has nothing to do in this graph.
    """
    applied: Applied = resolve(passes()[name].apply)(str(source), str(out))
    if not applied.changed:
        raise Unsupported(
            f"{name} changes nothing in this model: {applied.why_not}", fix=f"leave +{name} out of the recipe"
        )
    return [f"{name} changed {len(applied.changed)} layer{'' if len(applied.changed) == 1 else 's'}"]


@validate_call
def run_form(source: Path, recipe: Recipe, samples: Samples, threads: int, shapes: Shapes, out: Path) -> None:
    """Run a form of the model as an engine's float32 build and keep the outputs as `.npz`, to verify a hop."""
    with _float_session(source, recipe, samples, threads) as session:
        found = outputs.all_outputs(session, samples, shapes, out.parent)
    save(out, {f"output{i}": each for i, each in enumerate(found)})


@validate_call
def check_independence(
    source: Path, recipe: Recipe, samples: Samples, threads: int, names: list[str], model: str
) -> None:
    """Refuse a model whose answers depend on the batch, see `outputs.check_independence`."""
    with _float_session(source, recipe, samples, threads) as session:
        outputs.check_independence(session, samples, names, model)


@validate_call
def answer(
    source: Path, recipe: Recipe, samples: Samples, threads: int, task: AnyTask, shapes: Shapes, out: Path
) -> None:
    """Keep what a form of the model answers as `.npy`: it is what is right, where there are no labels."""
    with _float_session(source, recipe, samples, threads) as session:
        found, _ = outputs.answers_and_outputs(session, samples, shapes, task, out.parent)
    np.save(out, found)


@contextmanager
def _float_session(source: Path, recipe: Recipe, samples: Samples, threads: int) -> Iterator[Session]:
    """A form of the model, opened as an engine's float32 build."""
    each = engine(recipe.engine)
    with tempfile.TemporaryDirectory() as folder:
        build = each.build(source, recipe, samples, None, Path(folder))
        with each.open(build, SessionSettings(threads)) as session:
            yield session


@validate_call
def trace(function: str, source: Path, target: Path, inputs: Path, out: Path) -> list[str]:
    """Keep what each node of one side of a hop computes as `.npz`; returns the names, in the graph's order."""
    computed: dict[str, Any] = resolve(function)(str(source), str(target), str(inputs))
    np.savez(out, *computed.values())
    return list(computed)


@validate_call
def verify(
    sides: tuple[str, str],
    reference: Path,
    found: Path,
    graph: Path,
    samples: Samples,
    classes: bool,
) -> HopRecord:
    """Compare what both sides of a hop gave for the same samples. Whether it passed is in the record.

    Args:
        sides: the forms that it leads from and to.
        reference: the outputs of its source, see `run_form`.
        found: those of its target.
        graph: an ONNX file of the same network, which is run in float64 where the sides differ.
        samples: the samples.
        classes: whether the first output has the scores of classes.
    """

    def exact(which: NDArray[np.int64]) -> Arrays:
        return tuple(float64.for_samples(graph, samples.at(which), samples.at_once(float64.PIECE, kept=True)))

    return verification.compare(sides, read_outputs(reference), read_outputs(found), exact, classes)


@validate_call
def describe(source: Path) -> dict[str, Any]:
    """What an ONNX or LiteRT file takes and gives, see `onnx_file.describe`."""
    reader = litert_file if source.suffix == Format.LITERT.suffix else onnx_file
    described: dict[str, Any] = reader.describe(str(source))
    return described


@validate_call
def is_quantized(source: Path) -> bool:
    """Whether an ONNX or LiteRT file was quantized."""
    if source.suffix == Format.LITERT.suffix:
        return litert_file.is_quantized(str(source))
    return bool(traits(source).quantized)


@validate_call
def activations(source: Path, samples: Samples) -> Activations | None:
    """The memory that an ONNX or LiteRT file takes for a sample; None where it cannot be run by itself.

    Args:
        source: the file.
        samples: the first of them is run: all of them have one shape.
    """
    sample = next(samples.head(1).batches(1))
    try:
        if source.suffix == Format.LITERT.suffix:
            return litert_file.activations(source, sample)
        return onnx_file.activations(source, sample)
    except Exception:  # noqa: BLE001 - batches are then smaller than they might be
        return None


@validate_call
def count(source: Path, recipe: Recipe, samples: Samples) -> dict[str, int | None]:
    """Parameters of a clean graph or a LiteRT file, and its multiply-accumulates for one sample.

    `macs` is None where a part of them could not be counted.

    Args:
        source: the form.
        recipe: that which runs it as it is, in its engine.
        samples: the first of them is run, so that every size is what the data make it.
    """
    is_litert = source.suffix == Format.LITERT.suffix
    parameters = (litert_file if is_litert else onnx_file).parameters(str(source))
    each = engine(recipe.engine)
    try:
        with tempfile.TemporaryDirectory() as folder:
            build = each.build(source, recipe, samples, None, Path(folder))
            operators = each.inspect(build, next(samples.head(1).batches(1))).operators
    except Exception:  # noqa: BLE001 - a run does not fail because a count does
        return {"parameters": parameters, "macs": None}
    known = not any(operator.uncounted for operator in operators)
    return {"parameters": parameters, "macs": sum(operator.macs for operator in operators) if known else None}
