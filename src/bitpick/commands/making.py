"""Commands that make and measure builds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bitpick.commands import printing
from bitpick.commands.app import (
    AcceptBaseline,
    CalibrationSize,
    Data,
    Json,
    KerasBuilder,
    LowerIsBetter,
    MemoryLimit,
    Metric,
    ModelPath,
    Out,
    Overwrite,
    Seed,
    StateDict,
    Task,
    Timeout,
    TrustModel,
    Unit,
    command,
)
from bitpick.commands.data_options import DataSaid, reads_data


@command
@reads_data
def compare(
    model: Annotated[
        Path | None,
        typer.Argument(help="A model of any framework, or module:function; without one, the bundled ResNet8."),
    ] = None,
    data: Data = "cifar10",
    preset: Annotated[str, typer.Option(help="Which recipes: reference, basic, standard or full.")] = "standard",
    recipe: Annotated[
        list[str] | None, typer.Option(help="A recipe id or YAML file, instead of the preset's; repeat for more.")
    ] = None,
    engine: Annotated[list[str] | None, typer.Option(help="Only this engine; repeat for more.")] = None,
    out: Out = None,
    calibration_size: CalibrationSize = 1000,
    seed: Seed = 0,
    calibration_seeds: Annotated[
        int, typer.Option(help="Make the builds that matter from so many calibration draws, to judge their recipes.")
    ] = 1,
    target: Annotated[
        list[str] | None,
        typer.Option(help="Measure for this CPU too: x86-avx2, a YAML file, or host for none other; repeat for more."),
    ] = None,
    target_samples: Annotated[int, typer.Option(help="How many evaluation samples a target gets.")] = 1000,
    task: Task = None,
    metric: Metric = None,
    unit: Unit = None,
    lower_is_better: LowerIsBetter = None,
    margin: Annotated[
        str | None,
        typer.Option(
            help="The largest drop that does no harm: 1% of what the float32 gets, or 0.5 points, or 0.5 of a unit; "
            "by default 1%, and 5% of an error."
        ),
    ] = None,
    alpha: Annotated[float, typer.Option(help="One-sided level of showing that a build loses less.")] = 0.05,
    selection: Annotated[
        str,
        typer.Option(
            help="simultaneous: all builds tested at once; cross-fit: chosen on one half, judged on the other."
        ),
    ] = "simultaneous",
    max_drop: Annotated[
        float | None,
        typer.Option(
            help="Recommend no build that loses more, in points; of other metrics in percent of the float32's."
        ),
    ] = None,
    max_size: Annotated[float | None, typer.Option(help="Recommend no build that is larger, in kB.")] = None,
    max_latency_ratio: Annotated[
        float | None, typer.Option(help="Recommend no build that takes a larger share of the time of the reference.")
    ] = None,
    bench_seconds: Annotated[float, typer.Option(help="How long speed may be measured, about.")] = 120.0,
    no_bench: Annotated[bool, typer.Option("--no-bench", help="Measure no speed.")] = False,
    flag_drop: Annotated[
        float, typer.Option(help="Flag rows that lose more than this, in points, or percent of what the float32 gets.")
    ] = 5.0,
    min_accuracy: Annotated[
        float | None, typer.Option(help="Flag rows with less accuracy than this, from 0 to 1.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(help="How many jobs at once; by default one a core.")] = None,
    timeout: Timeout = None,
    memory_limit: MemoryLimit = None,
    overwrite: Overwrite = False,
    accept_baseline: AcceptBaseline = False,
    trust_model: TrustModel = False,
    keras_builder: KerasBuilder = None,
    state_dict: StateDict = None,
    json: Json = False,
    data_options: DataSaid = None,
) -> None:
    """Make and measure every build worth shipping, and name the one to ship."""
    from bitpick import api
    from bitpick.models.source import Source
    from bitpick.reports import terminal

    with terminal.LiveRows(printing.stderr()) as listener:
        done = api.compare(
            model and Source(str(model), trust_model, keras_builder, state_dict),
            data,
            data_options=data_options,
            preset=preset,
            recipes=recipe or (),
            engines=engine or (),
            out=out,
            calibration_size=calibration_size,
            seed=seed,
            calibration_seeds=calibration_seeds,
            targets=target or (),
            target_samples=target_samples,
            task=task,
            metric=metric,
            unit=unit,
            lower_is_better=lower_is_better,
            margin=margin,
            alpha=alpha,
            selection=selection,
            max_drop=max_drop,
            max_size=max_size,
            max_latency_ratio=max_latency_ratio,
            bench_seconds=0.0 if no_bench else bench_seconds,
            flag_drop=flag_drop,
            min_accuracy=min_accuracy,
            jobs=jobs,
            timeout=timeout,
            memory_limit=memory_limit,
            overwrite=overwrite,
            accept_baseline=accept_baseline,
            listener=listener,
            progress=printing.progress(),
        )
    printing.show(done, json)


@command
@reads_data
def convert(
    model: ModelPath,
    to: Annotated[str, typer.Option(help="onnx, pytorch or litert.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write: .onnx, .pt (a GraphModule) or .tflite.")],
    data: Data = "cifar10",
    trust_model: TrustModel = False,
    keras_builder: KerasBuilder = None,
    state_dict: StateDict = None,
    json: Json = False,
    data_options: DataSaid = None,
) -> None:
    """Convert a model, and verify each hop on real samples."""
    from bitpick import api
    from bitpick.models.source import Source
    from bitpick.reports import terminal

    with terminal.LiveRows(printing.stderr(), notes=True) as listener:
        source = Source(str(model), trust_model, keras_builder, state_dict)
        hops = api.convert(
            source, to, out, data, data_options=data_options, listener=listener, progress=printing.progress()
        )
    if json:
        printing.print_json({"path": str(out), "hops": [hop.model_dump(exclude_none=True) for hop in hops]})
    else:
        printing.stdout().print(terminal.hops(hops, str(out)))


@command
@reads_data
def quantize(
    model: ModelPath,
    recipe: Annotated[str, typer.Option(help="A recipe id or YAML file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The directory for the build.")],
    data: Data = "cifar10",
    calibration_size: CalibrationSize = 1000,
    seed: Seed = 0,
    accept_baseline: AcceptBaseline = False,
    trust_model: TrustModel = False,
    keras_builder: KerasBuilder = None,
    state_dict: StateDict = None,
    json: Json = False,
    data_options: DataSaid = None,
) -> None:
    """Make one build."""
    from bitpick import api
    from bitpick.models.source import Source
    from bitpick.recipe import Recipe
    from bitpick.reports import terminal

    with terminal.LiveRows(printing.stderr(), notes=True) as listener:
        files = api.quantize(
            Source(str(model), trust_model, keras_builder, state_dict),
            recipe,
            out,
            data,
            data_options=data_options,
            calibration_size=calibration_size,
            seed=seed,
            accept_baseline=accept_baseline,
            listener=listener,
            progress=printing.progress(),
        )
    if json:
        printing.print_json({"recipe": Recipe.named(recipe).id, "files": [file.model_dump() for file in files]})
    else:
        for file in files:
            typer.echo(f"{out / file.path}  {file.bytes:,} bytes")


@command
@reads_data
def evaluate(
    model: Annotated[Path, typer.Argument(help="A model, or the directory of a build.")],
    data: Data = "cifar10",
    task: Task = None,
    metric: Metric = None,
    unit: Unit = None,
    lower_is_better: LowerIsBetter = None,
    trust_model: TrustModel = False,
    keras_builder: KerasBuilder = None,
    state_dict: StateDict = None,
    json: Json = False,
    data_options: DataSaid = None,
) -> None:
    """Evaluate a model or a build: its metric with an interval, and of classes each one."""
    from bitpick import api
    from bitpick.models.source import Source
    from bitpick.reports import terminal

    with terminal.LiveRows(printing.stderr(), notes=True) as listener:
        source = Source(str(model), trust_model, keras_builder, state_dict)
        row = api.evaluate(
            source,
            data,
            task=task,
            metric=metric,
            unit=unit,
            lower_is_better=lower_is_better,
            data_options=data_options,
            listener=listener,
            progress=printing.progress(),
        )
    if json:
        printing.print_json(row.model_dump(exclude_none=True))
    else:
        printing.stdout().print(terminal.one_row(row))
