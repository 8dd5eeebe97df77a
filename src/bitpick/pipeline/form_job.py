"""Convert forms of a model, and check the conversions, in worker processes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import validate_call

from bitpick.artifacts.durable import save_array
from bitpick.conversion import float64, litert_file, onnx_file
from bitpick.conversion import verify as verification
from bitpick.conversion.route import route
from bitpick.datasets.activations import Activations
from bitpick.datasets.dataset import Samples
from bitpick.engines.engine import Session, SessionSettings
from bitpick.engines.registry import engine
from bitpick.errors import Unsupported, system_cause
from bitpick.executors import progress
from bitpick.executors.executor import resolve
from bitpick.measures import outputs
from bitpick.models.model import Format
from bitpick.models.onnx_traits import traits
from bitpick.passes.graph_pass import Applied, GraphPass, Training
from bitpick.passes.registry import passes
from bitpick.pipeline.arrays import read_outputs, save, unnamed
from bitpick.pipeline.job import Shapes
from bitpick.pipeline.layer_job import Mix, grid_of
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
        shapes: shape of one sample of each input, for a `sized` hop; None leaves free axes free.

    Returns:
        Notes on what the hop assumed or changed.
    """
    hops = route(source_format, target_format)
    assert hops is not None
    assert len(hops) == 1
    options = {"shapes": shapes} if hops[0].sized else {}
    notes: list[str] | None = resolve(hops[0].convert)(str(source), str(out), **options)
    return notes or []


@validate_call
def apply_pass(
    source: Path, name: str, out: Path, samples: Samples | None = None, grid: str | Mix | None = None
) -> dict[str, Any]:
    """Apply a pass to a graph.

    Args:
        source: the clean graph, possibly prepared by other passes.
        name: the pass.
        out: the file to write.
        samples: the samples that it needs; None if it needs none.
        grid: the grid of the weights, see `grid_of`; None if it works on none.

    Returns:
        `notes` on what the pass did, `samples`: how many it had, `layers`: what tuning did to each, see `Tuned`, and
        `training`: how it was trained, see `Trained`; None if it was not.

    Raises:
        Unsupported: the pass changes nothing in this graph.
    """
    needed = [each for each in (samples, grid and grid_of(grid)) if each is not None]
    return _noted(name, resolve(passes()[name].apply)(str(source), str(out), *needed), samples)


@validate_call
def train(
    source: Path, name: str, out: Path, sets: tuple[Samples, Samples], grid: str | Mix, minutes: float, seed: int,
    checkpoint: Path,
) -> dict[str, Any]:  # fmt: skip
    """Apply a pass that trains.

    Args:
        source: the clean graph, possibly prepared by other passes.
        name: the pass.
        out: the file to write.
        sets: the training split, and the evaluation set, which is left out.
        grid: the grid of the weights, see `grid_of`.
        minutes: the CPU minutes that it may take.
        seed: of everything that is drawn at random.
        checkpoint: the file to continue from after a kill.

    Returns:
        See `apply_pass`.

    Raises:
        Unsupported: the pass changes nothing in this graph.
    """
    samples, evaluation = sets
    training = Training(minutes, seed, evaluation, checkpoint, progress.report)
    needed = samples, grid_of(grid), training
    noted = _noted(name, resolve(passes()[name].apply)(str(source), str(out), *needed), samples)
    checkpoint.unlink(missing_ok=True)
    return noted


def _noted(name: str, applied: Applied, samples: Samples | None) -> dict[str, Any]:
    """Return what a pass did, for the run's record."""
    if not applied.changed:
        raise Unsupported(
            f"{name} changes nothing in this model: {applied.why_not}", fix=f"leave +{name} out of the recipe"
        )
    note = f"{name} changed {len(applied.changed)} layer{'' if len(applied.changed) == 1 else 's'}"
    return {
        "notes": [note],
        "layers": [asdict(each) for each in applied.tuned],
        "samples": 0 if samples is None else samples.count,
        "training": applied.trained and asdict(applied.trained),
    }


@validate_call
def applicable(source: Path, recipe: Recipe) -> list[str]:  # noqa: ARG001 - the same for every engine
    """Return the passes that can prepare a graph: those that tune, and those that rewrite something in it."""
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "prepared.onnx")
        return [name for name, each in passes().items() if not each.preserves or _changes(each, source, out)]


def _changes(each: GraphPass, source: Path, out: str) -> bool:
    """Return whether a pass has something to do in a graph. One that fails here would fail in its rows, too."""
    try:
        return bool(resolve(each.apply)(str(source), out).changed)
    except Exception as error:  # a pass that fails must not fail the run
        if system_cause(error):
            raise
        return False


@validate_call
def measure_tuning(
    sides: tuple[str, str],
    sources: tuple[Path, Path],
    recipe: Recipe,
    samples: Samples,
    threads: int,
    task: AnyTask,
    shapes: Shapes,
) -> dict[str, Any]:
    """Evaluate both sides of a pass that changes the function, in float32.

    Args:
        sides: the form that the pass read, and the form that it wrote.
        sources: their files.
        recipe: the recipe that runs them.
        samples: samples of the evaluation set.
        threads: threads inside one inference.
        task: how builds are judged.
        shapes: shape of one sample of each output; None is not checked.

    Returns:
        The fields of a `Tuning` that this measures.
    """
    values = []
    for source in sources:
        with _float_session(source, recipe, samples, threads) as session:
            answers, _ = outputs.answers_and_outputs(session, samples, shapes, task, None)
        values.append(task.metric(answers, outputs.targets_of(samples)).value)
    return {"form": sides[1], "evaluated": samples.count, "before": values[0], "after": values[1]}


@validate_call
def run_form(source: Path, recipe: Recipe, samples: Samples, threads: int, shapes: Shapes, out: Path) -> None:
    """Run a form of the model as an engine's float32 build and save the outputs as `.npz`, to verify a hop."""
    with _float_session(source, recipe, samples, threads) as session:
        all_outputs = outputs.all_outputs(session, samples, shapes, out.parent)
    save(out, {f"output{i}": each for i, each in enumerate(all_outputs)})


@validate_call
def check_independence(
    source: Path, recipe: Recipe, samples: Samples, threads: int, names: list[str], model: str
) -> None:
    """Refuse a model whose answers depend on the batch; see `outputs.check_independence`."""
    with _float_session(source, recipe, samples, threads) as session:
        outputs.check_independence(session, samples, names, model)


@validate_call
def answer(
    source: Path, recipe: Recipe, samples: Samples, threads: int, task: AnyTask, shapes: Shapes, out: Path
) -> None:
    """Save the answers of a form of the model as `.npy`; they are the targets if there are no labels."""
    with _float_session(source, recipe, samples, threads) as session:
        answers, _ = outputs.answers_and_outputs(session, samples, shapes, task, out.parent)
    save_array(out, answers)


@contextmanager
def _float_session(source: Path, recipe: Recipe, samples: Samples, threads: int) -> Iterator[Session]:
    """Open a form of the model as an engine's float32 build."""
    runner = engine(recipe.engine)
    with tempfile.TemporaryDirectory() as folder:
        build = runner.build(source, recipe, samples, None, Path(folder))
        with runner.open(build, SessionSettings(threads)) as session:
            yield session


@validate_call
def trace(function: str, source: Path, target: Path, inputs: Path, out: Path) -> list[str]:
    """Save the outputs of each node on one side of a hop as `.npz`; return the names in graph order."""
    computed: dict[str, Any] = resolve(function)(str(source), str(target), str(inputs))
    save(out, unnamed(computed.values()))
    return list(computed)


@validate_call
def verify(
    sides: tuple[str, str],
    reference: Path,
    computed: Path,
    graph: Path,
    samples: Samples,
    classes: bool,
) -> HopRecord:
    """Compare the outputs of both sides of a hop for the same samples. The record says whether the hop passed.

    Args:
        sides: the hop's source form and target form.
        reference: file of the source's outputs; see `run_form`.
        computed: file of the target's outputs.
        graph: an ONNX file of the same network, which is run in float64 if the sides differ.
        samples: the samples.
        classes: whether the first output holds class scores.
    """

    def exact(indices: NDArray[np.int64]) -> Arrays:
        return tuple(float64.for_samples(graph, samples.at(indices), samples.at_once(float64.PIECE, kept=True)))

    return verification.compare(sides, read_outputs(reference), read_outputs(computed), exact, classes)


@validate_call
def describe(source: Path) -> dict[str, Any]:
    """Return the inputs and outputs of an ONNX or LiteRT file; see `onnx_file.describe`."""
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
    """Return the memory that an ONNX or LiteRT file takes for a sample; None if it cannot be run.

    Args:
        source: the file.
        samples: the first one is run; all have the same shape.
    """
    sample = next(samples.head(1).batches(1))
    try:
        if source.suffix == Format.LITERT.suffix:
            return litert_file.activations(source, sample)
        return onnx_file.activations(source, sample)
    except Exception as error:  # batches are then just smaller than they could be
        if system_cause(error):
            raise
        return None


@validate_call
def count(source: Path, recipe: Recipe, samples: Samples) -> dict[str, int | None]:
    """Count the parameters of a clean graph or LiteRT file, and its multiply-accumulates for one sample.

    `macs` is None if some could not be counted.

    Args:
        source: the form.
        recipe: the recipe that runs the form unchanged in its engine.
        samples: the first one is run, so that free sizes take the data's values.
    """
    is_litert = source.suffix == Format.LITERT.suffix
    parameters = (litert_file if is_litert else onnx_file).parameters(str(source))
    runner = engine(recipe.engine)
    try:
        with tempfile.TemporaryDirectory() as folder:
            build = runner.build(source, recipe, samples, None, Path(folder))
            operators = runner.inspect(build, next(samples.head(1).batches(1))).operators
    except Exception as error:  # a failed count must not fail the run
        if system_cause(error):
            raise
        return {"parameters": parameters, "macs": None}
    counted = not any(operator.uncounted for operator in operators)
    return {"parameters": parameters, "macs": sum(operator.macs for operator in operators) if counted else None}
