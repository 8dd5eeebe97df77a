"""The command line: arguments → api → print. No logic."""

from __future__ import annotations

import functools
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from bitpick import printing

app = typer.Typer(
    help="Which quantized build of my model should I ship?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on standard output, and nothing else there.")
]
Data = Annotated[str, typer.Option("--data", help="cifar10, or a folder that holds a copy of it.")]
Out = Annotated[
    Path | None, typer.Option("--out", "-o", help="The run directory; the same request continues in its own.")
]


def _command(function: Callable[..., None]) -> Callable[..., None]:
    """Make a function a command, whose errors and interrupts end as one message and an exit code."""

    @functools.wraps(function)
    def guarded(*arguments: Any, **options: Any) -> None:
        from bitpick.errors import BitpickError

        try:
            function(*arguments, **options)
        except BitpickError as error:
            typer.echo(f"bitpick: {error}", err=True)
            raise SystemExit(error.exit_code) from None
        except KeyboardInterrupt:
            typer.echo("bitpick: interrupted", err=True)
            raise SystemExit(130) from None

    app.command()(guarded)
    return guarded


def _version(wanted: bool) -> None:
    if wanted:
        from bitpick import __version__

        typer.echo(f"bitpick {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@_command
def compare(
    model: Annotated[
        Path | None, typer.Argument(help="A Keras (.keras, .h5) or ONNX model; without one, the bundled ResNet8.")
    ] = None,
    data: Data = "cifar10",
    preset: Annotated[str, typer.Option(help="Which recipes: reference, basic, standard or full.")] = "standard",
    recipe: Annotated[
        list[str] | None, typer.Option(help="A recipe id or YAML file, instead of the preset's; repeat for more.")
    ] = None,
    engine: Annotated[list[str] | None, typer.Option(help="Only this engine; repeat for more.")] = None,
    out: Out = None,
    calibration_size: Annotated[int, typer.Option(help="Number of calibration samples.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the calibration draw.")] = 0,
    target: Annotated[
        list[str] | None,
        typer.Option(help="Measure for this CPU too: x86-avx2, a YAML file, or host for none other; repeat for more."),
    ] = None,
    target_samples: Annotated[int, typer.Option(help="How many evaluation samples a target gets.")] = 1000,
    margin: Annotated[
        str, typer.Option(help="The largest drop that does no harm: 1% of the float32's accuracy, or 0.5 points.")
    ] = "1%",
    alpha: Annotated[float, typer.Option(help="One-sided level of showing that a build loses less.")] = 0.05,
    max_drop: Annotated[float | None, typer.Option(help="Recommend no build that loses more, in points.")] = None,
    max_size: Annotated[float | None, typer.Option(help="Recommend no build that is larger, in kB.")] = None,
    flag_drop: Annotated[float, typer.Option(help="Flag rows that lose more than this, in percentage points.")] = 5.0,
    min_accuracy: Annotated[
        float | None, typer.Option(help="Flag rows with less accuracy than this, from 0 to 1.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(help="How many jobs at once; by default one a core.")] = None,
    timeout: Annotated[float | None, typer.Option(help="End a job after so many seconds; its row fails.")] = None,
    memory_limit: Annotated[float | None, typer.Option(help="End a job past so many gigabytes; its row fails.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace another request's run in --out.")] = False,
    json: Json = False,
) -> None:
    """Make and measure every build worth shipping, and name the one to ship."""
    from bitpick import api
    from bitpick.report import terminal

    with terminal.LiveRows(printing.stderr()) as listener:
        done = api.compare(
            model,
            data,
            preset=preset,
            recipes=recipe or (),
            engines=engine or (),
            out=out,
            calibration_size=calibration_size,
            seed=seed,
            targets=target or (),
            target_samples=target_samples,
            margin=margin,
            alpha=alpha,
            max_drop=max_drop,
            max_size=max_size,
            flag_drop=flag_drop,
            min_accuracy=min_accuracy,
            jobs=jobs,
            timeout=timeout,
            memory_limit=memory_limit,
            overwrite=overwrite,
            listener=listener,
            progress=printing.progress(),
        )
    printing.show(done, json)


@_command
def convert(
    model: Annotated[Path, typer.Argument(help="A Keras (.keras, .h5) or ONNX model.")],
    to: Annotated[str, typer.Option(help="onnx, pytorch or litert.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write: .onnx, .pt (a GraphModule) or .tflite.")],
    data: Data = "cifar10",
    json: Json = False,
) -> None:
    """Convert a model, and verify each hop on real samples."""
    from bitpick import api
    from bitpick.report import terminal

    with terminal.LiveRows(printing.stderr()) as listener:
        hops = api.convert(model, to, out, data, listener=listener, progress=printing.progress())
    if json:
        printing.print_json({"path": str(out), "hops": [hop.model_dump() for hop in hops]})
    else:
        printing.stdout().print(terminal.hops(hops, str(out)))


@_command
def quantize(
    model: Annotated[Path, typer.Argument(help="A Keras (.keras, .h5) or ONNX model.")],
    recipe: Annotated[str, typer.Option(help="A recipe id or YAML file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The directory for the build.")],
    data: Data = "cifar10",
    calibration_size: Annotated[int, typer.Option(help="Number of calibration samples.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the calibration draw.")] = 0,
    json: Json = False,
) -> None:
    """Make one build."""
    from bitpick import api
    from bitpick.report import terminal

    with terminal.LiveRows(printing.stderr()) as listener:
        files = api.quantize(
            model,
            recipe,
            out,
            data,
            calibration_size=calibration_size,
            seed=seed,
            listener=listener,
            progress=printing.progress(),
        )
    if json:
        printing.print_json({"recipe": recipe, "files": [file.model_dump() for file in files]})
    else:
        for file in files:
            typer.echo(f"{out / file.path}  {file.bytes:,} bytes")


@_command
def evaluate(
    model: Annotated[Path, typer.Argument(help="A model, or the directory of a build.")],
    data: Data = "cifar10",
    json: Json = False,
) -> None:
    """Evaluate a model or a build: accuracy with its interval, and per class."""
    from bitpick import api
    from bitpick.report import terminal

    with terminal.LiveRows(printing.stderr()) as listener:
        row = api.evaluate(model, data, listener=listener, progress=printing.progress())
    if json:
        printing.print_json(row.model_dump(exclude_none=True))
    else:
        printing.stdout().print(terminal.one_row(row))


@_command
def report(run: Annotated[Path, typer.Argument(help="A run directory.")], json: Json = False) -> None:
    """Write a run's reports again, from its run.json."""
    from bitpick import api

    printing.show(api.report(run), json)


@_command
def gate(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    row: Annotated[list[str] | None, typer.Option(help="The row; by default the recommended one. Repeat.")] = None,
    max_drop: Annotated[float | None, typer.Option(help="The largest drop, in percentage points.")] = None,
    max_size: Annotated[float | None, typer.Option(help="The largest size, in kB.")] = None,
    min_coverage: Annotated[float | None, typer.Option(help="The smallest integer share, from 0 to 1.")] = None,
    max_class_drop: Annotated[float | None, typer.Option(help="The largest drop of any class, in points.")] = None,
    noninferior: Annotated[bool, typer.Option(help="The drop must be shown to be under the run's margin.")] = False,
    against: Annotated[Path | None, typer.Option(help="An earlier run, which must not have been better.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit's XML to this file.")] = None,
    json: Json = False,
) -> None:
    """Pass or fail, for CI: exit 1 where a row breaks a rule, with one line a rule."""
    from dataclasses import asdict

    from bitpick import api

    checks = api.gate(
        run,
        rows=row or (),
        max_drop=max_drop,
        max_size=max_size,
        min_coverage=min_coverage,
        max_class_drop=max_class_drop,
        noninferior=noninferior,
        against=against,
        junit=junit,
    )
    if json:
        printing.print_json([asdict(check) for check in checks])
    else:
        for check in checks:
            typer.echo(f"{'ok  ' if check.passed else 'FAIL'} {check.row}: {check.text} ({check.rule})")
    if not all(check.passed for check in checks):
        raise SystemExit(1)


@_command
def engines(json: Json = False) -> None:
    """What each engine can do on this machine, and why not the rest."""
    from bitpick import api
    from bitpick.report import terminal

    table = api.engine_table()
    if json:
        printing.print_json(table)
    else:
        printing.stdout().print(terminal.engines(table))


@_command
def data(
    name: Annotated[str, typer.Argument(help="cifar10")] = "cifar10",
    source: Annotated[Path | None, typer.Option("--data", help="A folder with your own copy.")] = None,
    json: Json = False,
) -> None:
    """Fetch a data set into the cache."""
    from bitpick import api

    found = api.data(source or name, progress=printing.progress())
    told = {
        "name": found.name,
        "calibration": len(found.calibration.labels),
        "evaluation": len(found.evaluation.labels),
        "folder": str(found.evaluation.inputs_path.parent),
    }
    if json:
        printing.print_json(told)
    else:
        typer.echo(
            "{name}: {calibration:,} calibration and {evaluation:,} evaluation samples in {folder}".format(**told)
        )


def _interrupt(*_: object) -> NoReturn:
    """The first signal ends the run in order, which takes a moment; a second one does not disturb that."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def main() -> None:
    """The entry point."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, _interrupt)
    app()
