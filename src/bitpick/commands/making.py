"""Commands that make and measure builds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bitpick.commands import printing
from bitpick.commands.app import (
    AcceptBaseline,
    Data,
    Json,
    KerasBuilder,
    ModelPath,
    Out,
    Overwrite,
    StateDict,
    TrustModel,
    command,
)
from bitpick.commands.data_options import DataSaid, reads_data
from bitpick.commands.settings_options import Said, takes


@command
@takes()
@reads_data
def compare(
    model: Annotated[
        Path | None,
        typer.Argument(help="A model of any framework, or module:function; without one, the bundled ResNet8."),
    ] = None,
    data: Data = "cifar10",
    no_bench: Annotated[bool, typer.Option("--no-bench", help="Measure no speed.")] = False,
    out: Out = None,
    overwrite: Overwrite = False,
    accept_baseline: AcceptBaseline = False,
    trust_model: TrustModel = False,
    keras_builder: KerasBuilder = None,
    state_dict: StateDict = None,
    json: Json = False,
    settings: Said = None,
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
            out=out,
            overwrite=overwrite,
            accept_baseline=accept_baseline,
            listener=listener,
            progress=printing.progress(),
            **settings | ({"bench_seconds": 0.0} if no_bench else {}),
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
@takes("calibration_size", "seed")
@reads_data
def quantize(
    model: ModelPath,
    recipe: Annotated[str, typer.Option(help="A recipe id or YAML file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The directory for the build.")],
    data: Data = "cifar10",
    accept_baseline: AcceptBaseline = False,
    trust_model: TrustModel = False,
    keras_builder: KerasBuilder = None,
    state_dict: StateDict = None,
    json: Json = False,
    settings: Said = None,
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
            accept_baseline=accept_baseline,
            listener=listener,
            progress=printing.progress(),
            **settings,
        )
    if json:
        printing.print_json({"recipe": Recipe.named(recipe).id, "files": [file.model_dump() for file in files]})
    else:
        for file in files:
            typer.echo(f"{out / file.path}  {file.bytes:,} bytes")


@command
@takes("task", "metric", "unit", "lower_is_better")
@reads_data
def evaluate(
    model: Annotated[Path, typer.Argument(help="A model, or the directory of a build.")],
    data: Data = "cifar10",
    trust_model: TrustModel = False,
    keras_builder: KerasBuilder = None,
    state_dict: StateDict = None,
    json: Json = False,
    settings: Said = None,
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
            data_options=data_options,
            listener=listener,
            progress=printing.progress(),
            **settings,
        )
    if json:
        printing.print_json(row.model_dump(exclude_none=True))
    else:
        printing.stdout().print(terminal.one_row(row))
