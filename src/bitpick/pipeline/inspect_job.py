"""Inspect, in a worker process, what a runtime really executes for a build."""

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
    """Report what the runtime really executes for a build.

    Args:
        recipe: the build's recipe.
        folder: the build's folder.
        samples: samples, of which the first few are run.
        threads: threads inside one inference.
        shapes: shape of one sample of each output; None is not checked.
        asked_for: whether the build was made from the recipe; False if the recipe only says how to run a foreign file.
        whole: whether to check, too, that the answers do not depend on the number of threads.

    Raises:
        EngineError: the runtime executes nothing that the recipe asks for, or answers depend on the number of threads.
    """
    runner, build = engine(recipe.engine), open_build(folder)
    executed = runner.inspect(build, next(samples.head(1).batches(1)))
    if asked_for:
        coverage.check(recipe, executed)
    if whole and recipe.kind != "baseline":
        _check_threads(build, samples.head(thread_counts.SAMPLES), max(2, threads), shapes)
    return Inspected(
        fingerprint=coverage.fingerprint(executed),
        coverage=None if recipe.kind == "baseline" and asked_for else coverage.coverage(executed),
        flags=coverage.flags(recipe, executed, runner.weight_dtype(recipe), runner.signed_activations)
        if asked_for
        else [],
        findings=findings.findings(recipe, runner, executed, runner.constants(build), size.total(build)) or None,
        weight_bytes=findings.weight_bytes(executed),
    )


def _check_threads(build: Build, samples: Samples, threads: int, shapes: Shapes) -> None:
    """Refuse a build whose answers depend on the number of threads; see `measures.threads`."""

    def outputs_on(count: int) -> Arrays:
        with engine(build.recipe.engine).open(build, SessionSettings(count)) as session:
            return outputs.all_outputs(session, samples, shapes)

    output_records = build.interface.outputs if build.interface is not None else ()
    names = [record.name for record in output_records] or [f"output {index + 1}" for index in range(len(shapes))]
    thread_counts.check(outputs_on(1), outputs_on(threads), threads, names)


@validate_call
def check_rewriting(
    recipe: Recipe, folder: Path, samples: Samples, threads: int, task: AnyTask, shapes: Shapes
) -> Unoptimized:
    """Report whether the runtime's graph rewriting changes a build's answers.

    Args:
        recipe: the build's recipe, whose engine can run a graph without rewriting it.
        folder: the build's folder.
        samples: the samples to run both ways.
        threads: threads inside one inference.
        task: decides when answers differ.
        shapes: shape of one sample of each output; None is not checked.
    """
    runner, build = engine(recipe.engine), open_build(folder)

    def answers(optimize: bool) -> Answers:
        with runner.open(build, SessionSettings(threads, optimize)) as session:
            return outputs.answers_and_outputs(session, samples, shapes, task)[0]

    return optimization.unoptimized(task, answers(True), answers(False), outputs.targets_of(samples))
