"""The application: handling of errors and interrupts, and options that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from bitpick.errors import BitpickError

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
Data = Annotated[str, typer.Option("--data", help="cifar10; pictures, arrays, a table, a data.yaml.")]
OptionalModel = Annotated[
    Path | None,
    typer.Argument(help="A model of any framework, or module:function; without one, the bundled ResNet8."),
]
NoBench = Annotated[bool, typer.Option("--no-bench", help="Measure no speed.")]
ModelPath = Annotated[Path, typer.Argument(help="A model file or folder, or module:function, which returns a module.")]


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Register a function as a command; turn its errors and interrupts into one message and an exit code."""

    @functools.wraps(function)
    def guarded(*arguments: Any, **options: Any) -> None:
        from bitpick.errors import BitpickError

        as_json = bool(options.get("json"))
        try:
            function(*arguments, **options)
        except BitpickError as error:
            _fail(error, as_json)
        except KeyboardInterrupt:
            resumable = function.__name__ in ("compare", "diagnose")
            kept = ": what was done is kept, and the same command continues from there" if resumable else ""
            typer.echo(f"bitpick: interrupted{kept}", err=True)
            raise SystemExit(130) from None
        except (BrokenPipeError, typer.Exit, typer.Abort):
            raise
        except Exception as error:  # noqa: BLE001 - any error ends as one message, not as a traceback
            from bitpick.artifacts import temporary
            from bitpick.errors import unexpected
            from bitpick.pipeline import logs

            wrapped = unexpected(error)
            wrapped.logs = temporary.new_logs()
            logs.keep_trace(error, wrapped.logs)
            _fail(wrapped, as_json)

    app.command()(guarded)
    return guarded


def _fail(error: BitpickError, as_json: bool) -> NoReturn:
    """Print the error, also as JSON if requested, and exit with its code."""
    typer.echo(f"bitpick: {error}", err=True)
    if as_json:
        from bitpick.commands import printing
        from bitpick.schema.failure import Failure

        logs = None if error.logs is None else str(error.logs)
        printing.print_json({"error": Failure.of(error, logs).model_dump(exclude_none=True)})
    raise SystemExit(error.exit_code)


def _version(wanted: bool) -> None:
    if wanted:
        from bitpick.version import __version__

        typer.echo(f"bitpick {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass
