"""Commands on existing things: builds, runs, engines, data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bitpick.commands import printing
from bitpick.commands.app import Data, Json, command
from bitpick.commands.data_options import reads_data
from bitpick.commands.model_options import opens_builds
from bitpick.commands.settings_options import takes
from bitpick.commands.signatures import Options
from bitpick.schema.other_groups import GateRules

TrustRun = Annotated[bool, typer.Option("--trust-run", help="Use code and files elsewhere that the run names.")]


@command
@reads_data
@opens_builds(after="pairs")
def bench(
    builds: Annotated[list[Path], typer.Argument(help="Builds or models; the first is the reference.")],
    data: Data = "cifar10",
    batch: Annotated[int, typer.Option(help="Samples in one run.")] = 1,
    threads: Annotated[int, typer.Option(help="Threads inside one inference.")] = 1,
    processes: Annotated[int, typer.Option(help="How many times everything is opened anew.")] = 10,
    pairs: Annotated[int, typer.Option(help="Pairs of blocks in each process.")] = 20,
    json: Json = False,
    options: Options = None,
) -> None:
    """Time builds beside the first of them, and say what the times show."""
    from bitpick import api
    from bitpick.reports import terminal

    with terminal.LiveRows(printing.stderr(), notes=True) as listener:
        record = api.bench(
            *builds,
            data=data,
            batch=batch,
            threads=threads,
            processes=processes,
            pairs=pairs,
            listener=listener,
            progress=printing.progress(),
            **options,
        )
    if json:
        printing.print_json(record.model_dump(exclude_none=True))
    else:
        printing.stdout().print(terminal.bench(record))


@command
def report(run: Annotated[Path, typer.Argument(help="A run directory.")], json: Json = False) -> None:
    """Write a run's reports again, from its run.json."""
    from bitpick import api

    printing.show(api.report(run), json)


@command
@takes(groups=(GateRules,), after="row")
def gate(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    row: Annotated[list[str] | None, typer.Option(help="The row; by default the recommended one. Repeat.")] = None,
    against: Annotated[Path | None, typer.Option(help="An earlier run, which must not have been better.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit's XML to this file.")] = None,
    json: Json = False,
    options: Options = None,
) -> None:
    """Pass or fail, for CI: exit 1 where a row breaks a rule, with one line a rule."""
    from dataclasses import asdict

    from bitpick import api

    checks = api.gate(run, rows=row or (), against=against, junit=junit, **options)
    if json:
        printing.print_json([asdict(check) for check in checks])
    else:
        for check in checks:
            printing.echo(f"{'ok  ' if check.passed else 'FAIL'} {check.row}: {check.text} ({check.rule})")
    if not all(check.passed for check in checks):
        raise typer.Exit(1)


@command
def samples(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="A new or empty directory for the samples.")],
    count: Annotated[int, typer.Option(help="How many, evenly spaced over the evaluation set.")] = 200,
    trust_run: TrustRun = False,
    json: Json = False,
) -> None:
    """Write evaluation samples of a run, for its builds to be run on a device."""
    from bitpick import api

    files = api.samples(run, out, count, trust_run=trust_run)
    if json:
        printing.print_json({"folder": str(out), "files": [path.name for path in files]})
    else:
        printing.echo(f"{len(files):,} samples in {out}: copy them and a build to the device, and run its run.py there")


@command
def merge(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    results: Annotated[list[Path], typer.Argument(help="What run.py wrote on the device, one file a build.")],
    target: Annotated[str, typer.Option(help="A name for the device.")],
    overwrite: Annotated[bool, typer.Option(help="Replace what was imported of these builds before.")] = False,
    trust_run: TrustRun = False,
    json: Json = False,
) -> None:
    """Add what builds gave on a device to their run, as rows that are judged like any other."""
    from bitpick import api

    printing.show(api.merge(run, results, target, overwrite=overwrite, trust_run=trust_run), json)


@command
def engines(json: Json = False) -> None:
    """What each engine can do on this machine, and why not the rest."""
    from bitpick import api
    from bitpick.reports import terminal

    table = api.engine_table()
    if json:
        printing.print_json(table)
    else:
        printing.stdout().print(terminal.engines(table))


@command
@reads_data
def data(
    name: Annotated[str, typer.Argument(help="cifar10, or the path of a data set.")] = "cifar10",
    data: Annotated[Path | None, typer.Option("--data", help="A folder with your own copy.")] = None,
    json: Json = False,
    options: Options = None,
) -> None:
    """Fetch a data set, or read one, into the cache."""
    from bitpick import api

    data_set = api.data(data or name, progress=printing.progress(), **options)
    summary = {
        "name": data_set.name,
        "calibration": data_set.calibration.count,
        "evaluation": data_set.evaluation.count,
        "folder": str(next(iter(data_set.evaluation.paths.values())).parent),
    }
    if json:
        printing.print_json(summary | {"classes": list(data_set.classes), "notes": list(data_set.notes)})
    else:
        printing.echo(
            "{name}: {calibration:,} calibration and {evaluation:,} evaluation samples in {folder}".format(**summary)
        )
        for note in data_set.notes:
            printing.echo(f"data: {note}")
