"""The application: handling of errors and interrupts, and options that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from contextlib import suppress
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
            _check_names([*arguments, *options.values()])
            function(*arguments, **options)
        except BitpickError as error:
            _fail(error, as_json)
        except KeyboardInterrupt:
            resumable = function.__name__ in ("compare", "diagnose")
            kept = ": what was done is kept, and the same command continues from there" if resumable else ""
            typer.echo(f"bitpick: interrupted{kept}", err=True)
            raise SystemExit(130) from None
        except (typer.Exit, typer.Abort):
            raise
        except SystemExit as ended:
            if ended.code != 1:
                raise
            _fail(unread(), as_json)  # rich ends the process this way if nobody reads its output
        except BrokenPipeError:
            _fail(unread(), as_json)
        except Exception as error:  # noqa: BLE001 - any error ends as one message, not as a traceback
            from bitpick.errors import UnexpectedError, unexpected

            wrapped = unexpected(error)
            if isinstance(wrapped, UnexpectedError):
                _keep_trace(error, wrapped)
            _fail(wrapped, as_json)

    app.command()(guarded)
    return guarded


def _check_names(values: Iterable[Any]) -> None:
    """Refuse names with bytes that are no UTF-8: run.json and reports could not hold them.

    Raises:
        RequestError: there is such a name.
    """
    for value in values:
        if isinstance(value, (list, tuple)):
            _check_names(value)
        elif isinstance(value, (str, Path)):
            try:
                str(value).encode()
            except UnicodeEncodeError:
                from bitpick.errors import RequestError

                shown = str(value).encode(errors="backslashreplace").decode()
                raise RequestError(
                    f"the name {shown} is not UTF-8", expected="a UTF-8 name", fix="rename that file or folder"
                ) from None


def unread() -> BitpickError:
    """Return the error of a command whose output nobody reads to its end."""
    from bitpick.errors import RunError

    return RunError(
        "standard output was closed before everything was written",
        expected="a program that reads all of it, or a disk with space",
        fix="run the command again: what was computed is kept",
    )


def _keep_trace(error: Exception, wrapped: BitpickError) -> None:
    """Keep the traceback of an exception in a log, unless the disk refuses that, too."""
    from bitpick.artifacts import temporary
    from bitpick.pipeline import logs

    with suppress(OSError):
        wrapped.logs = temporary.new_logs()
        logs.keep_trace(error, wrapped.logs)


def _keep_message(message: str, error: BitpickError) -> str:
    """Keep a long message in a log, unless the disk refuses that, and return where it is, as a line of its own."""
    from bitpick.artifacts import temporary
    from bitpick.pipeline import logs

    with suppress(OSError):
        return f"\nthe whole message is in {logs.keep_message(message, error.logs or temporary.new_logs())}"
    return ""


def _fail(error: BitpickError, as_json: bool) -> NoReturn:
    """Print the error, also as JSON if requested, and exit with its code."""
    from bitpick.commands import printing
    from bitpick.library_errors import LONGEST
    from bitpick.reports import words

    message, place = str(error), ""
    if len(message) > LONGEST:
        place = _keep_message(message, error)
    with suppress(OSError):  # nobody may read standard error
        printing.echo(f"bitpick: {words.shortened(message)}{place}", err=True)
    if as_json:
        from bitpick.schema.failure import Failure

        logs = None if error.logs is None else str(error.logs)
        with suppress(OSError):
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
