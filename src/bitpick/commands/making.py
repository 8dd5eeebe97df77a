"""Commands that make and measure builds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bitpick.commands import printing
from bitpick.commands.app import Data, Json, ModelPath, NoBench, OptionalModel, command
from bitpick.commands.data_options import reads_data
from bitpick.commands.model_options import opens_model
from bitpick.commands.run_options import run_options
from bitpick.commands.settings_options import takes
from bitpick.commands.signatures import Options


@command
@takes()
@reads_data
@run_options("out", "overwrite", "accept_baseline", after="no_bench")
@opens_model(after="no_bench")
def compare(
    model: OptionalModel = None,
    data: Data = "cifar10",
    no_bench: NoBench = False,
    json: Json = False,
    options: Options = None,
) -> None:
    """Make and measure every build worth shipping, and name the one to ship."""
    from bitpick import api
    from bitpick.reports import terminal

    with terminal.LiveRows(printing.stderr()) as listener:
        options |= {"bench_seconds": 0.0} if no_bench else {}
        comparison = api.compare(model, data, listener=listener, progress=printing.progress(), **options)
    printing.show(comparison, json)


@command
@reads_data
@opens_model(after="data")
def convert(
    model: ModelPath,
    to: Annotated[str, typer.Option(help="onnx, pytorch or litert.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write: .onnx, .pt (a GraphModule) or .tflite.")],
    data: Data = "cifar10",
    json: Json = False,
    options: Options = None,
) -> None:
    """Convert a model, and verify each hop on real samples."""
    from bitpick import api
    from bitpick.reports import terminal

    with terminal.LiveRows(printing.stderr(), notes=True) as listener:
        hops = api.convert(model, to, out, data, listener=listener, progress=printing.progress(), **options)
    if json:
        printing.print_json({"path": str(out), "hops": [hop.model_dump(exclude_none=True) for hop in hops]})
    else:
        printing.stdout().print(terminal.hops(hops, str(out)))


@command
@takes("calibration_size", "seed", "training_minutes")
@reads_data
@run_options("accept_baseline", after="data")
@opens_model(after="data")
def quantize(
    model: ModelPath,
    recipe: Annotated[str, typer.Option(help="A recipe id or YAML file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The directory for the build.")],
    data: Data = "cifar10",
    json: Json = False,
    options: Options = None,
) -> None:
    """Make one build."""
    from bitpick import api
    from bitpick.recipe import Recipe
    from bitpick.reports import terminal

    with terminal.LiveRows(printing.stderr(), notes=True) as listener:
        files = api.quantize(model, recipe, out, data, listener=listener, progress=printing.progress(), **options)
    if json:
        printing.print_json({"recipe": Recipe.named(recipe).id, "files": [file.model_dump() for file in files]})
    else:
        for file in files:
            printing.echo(f"{out / file.path}  {file.bytes:,} bytes")


@command
@takes("task", "metric", "unit", "lower_is_better")
@reads_data
@opens_model(after="data")
def evaluate(
    model: Annotated[Path, typer.Argument(help="A model, or the directory of a build.")],
    data: Data = "cifar10",
    json: Json = False,
    options: Options = None,
) -> None:
    """Evaluate a model or a build: its metric with an interval, and of classes each one."""
    from bitpick import api
    from bitpick.reports import terminal

    with terminal.LiveRows(printing.stderr(), notes=True) as listener:
        row = api.evaluate(model, data, listener=listener, progress=printing.progress(), **options)
    if json:
        printing.print_json(row.model_dump(exclude_none=True))
    else:
        printing.stdout().print(terminal.one_row(row))
