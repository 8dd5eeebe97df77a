"""What is looked at in a build before it is evaluated, in a worker process: what its runtime makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import validate_call

from bitpick.datasets.dataset import Samples
from bitpick.engines.engine import Build, SessionSettings
from bitpick.engines.registry import engine
from bitpick.measures import coverage, findings, optimization, outputs, size
from bitpick.measures import threads as thread_counts
from bitpick.pipeline.build_job import open_build
from bitpick.pipeline.job import Shapes
from bitpick.preprocessing import Arrays
from bitpick.recipe import Recipe
from bitpick.schema.evidence import Finding, Unoptimized
from bitpick.schema.fingerprint import Coverage, Fingerprint
from bitpick.schema.run import Flag
from bitpick.tasks.registry import AnyTask
from bitpick.tasks.task import Answers

FUNCTIONS = __name__


@dataclass(frozen=True)
class Inspected:
    """What `inspect` reports: fields of a row."""

    fingerprint: Fingerprint
    coverage: Coverage | None
    flags: list[Flag]
    findings: list[Finding] | None
    weight_bytes: int


@validate_call
def inspect(
    recipe: Recipe,
    folder: Path,
    samples: Samples,
    threads: int,
    shapes: Shapes,
    asked_for: bool = True,
    whole: bool = True,
) -> Inspected:
    """Tell what the runtime really executes for a build.

    Args:
        recipe: the build's recipe.
        folder: where it is.
        samples: of which the first few are run.
        threads: threads inside one inference.
        shapes: of one sample of each output; None is not checked.
        asked_for: whether the recipe is what somebody asked for, and not just how to run a file from elsewhere.
        whole: whether to check too that the answers do not depend on the number of threads.

    Raises:
        EngineError: nothing of what the recipe asks for, or other answers on one thread than on several.
    """
    each, made = engine(recipe.engine), open_build(folder)
    executed = each.inspect(made, next(samples.head(1).batches(1)))
    if asked_for:
        coverage.check(recipe, executed)
    if whole and recipe.kind != "baseline":
        _check_threads(made, samples.head(thread_counts.SAMPLES), max(2, threads), shapes)
    return Inspected(
        fingerprint=coverage.fingerprint(executed),
        coverage=None if recipe.kind == "baseline" and asked_for else coverage.coverage(executed),
        flags=coverage.flags(recipe, executed, each.kept_as(recipe), each.signs) if asked_for else [],
        findings=findings.findings(recipe, each, executed, each.constants(made), size.total(made)) or None,
        weight_bytes=findings.weight_bytes(executed),
    )


def _check_threads(made: Build, samples: Samples, threads: int, shapes: Shapes) -> None:
    """Refuse a build whose answers depend on the number of threads; see `measures.threads`."""

    def given(count: int) -> Arrays:
        with engine(made.recipe.engine).open(made, SessionSettings(count)) as session:
            return outputs.all_outputs(session, samples, shapes)

    ends = made.interface.outputs if made.interface is not None else ()
    names = [end.name for end in ends] or [f"output {place + 1}" for place in range(len(shapes))]
    thread_counts.check(given(1), given(threads), threads, names)


@validate_call
def check_rewriting(
    recipe: Recipe, folder: Path, samples: Samples, threads: int, task: AnyTask, shapes: Shapes
) -> Unoptimized:
    """Tell whether what the runtime does to a build's graph as it opens it changes answers.

    Args:
        recipe: the build's recipe, of an engine that can leave a graph alone.
        folder: where it is.
        samples: the samples to run both ways.
        threads: threads inside one inference.
        task: says when answers differ.
        shapes: of one sample of each output; None is not checked.
    """
    each, made = engine(recipe.engine), open_build(folder)

    def answered(optimize: bool) -> Answers:
        with each.open(made, SessionSettings(threads, optimize)) as session:
            return outputs.answers_and_outputs(session, samples, shapes, task)[0]

    return optimization.unoptimized(task, answered(True), answered(False), outputs.targets_of(samples))
