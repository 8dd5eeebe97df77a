"""Commands on what is there: builds, runs, engines, data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bitpick.commands import printing
from bitpick.commands.app import Data, Json, TrustModel, command
from bitpick.commands.data_options import DataSaid, reads_data


@command
@reads_data
def bench(
    builds: Annotated[list[Path], typer.Argument(help="Builds or models; the first is the reference.")],
    data: Data = "cifar10",
    batch: Annotated[int, typer.Option(help="Samples in one run.")] = 1,
    threads: Annotated[int, typer.Option(help="Threads inside one inference.")] = 1,
    processes: Annotated[int, typer.Option(help="How many times everything is opened anew.")] = 10,
    pairs: Annotated[int, typer.Option(help="Pairs of blocks in each process.")] = 20,
    trust_model: TrustModel = False,
    json: Json = False,
    data_options: DataSaid = None,
) -> None:
    """Time builds beside the first of them, and say what the times show."""
    from bitpick import api
    from bitpick.models.source import Source
    from bitpick.reports import terminal

    with terminal.LiveRows(printing.stderr(), notes=True) as listener:
        done = api.bench(
            *(Source(str(each), trust_model) for each in builds),
            data=data,
            data_options=data_options,
            batch=batch,
            threads=threads,
            processes=processes,
            pairs=pairs,
            listener=listener,
            progress=printing.progress(),
        )
    if json:
        printing.print_json(done.model_dump(exclude_none=True))
    else:
        printing.stdout().print(terminal.bench(done))


@command
def report(run: Annotated[Path, typer.Argument(help="A run directory.")], json: Json = False) -> None:
    """Write a run's reports again, from its run.json."""
    from bitpick import api

    printing.show(api.report(run), json)


@command
def gate(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    row: Annotated[list[str] | None, typer.Option(help="The row; by default the recommended one. Repeat.")] = None,
    max_drop: Annotated[
        float | None, typer.Option(help="The largest drop, in points; of other metrics in percent of the float32's.")
    ] = None,
    max_size: Annotated[float | None, typer.Option(help="The largest size, in kB.")] = None,
    max_latency_ratio: Annotated[float | None, typer.Option(help="The largest share of the reference's time.")] = None,
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
        max_latency_ratio=max_latency_ratio,
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


@command
def samples(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="A new or empty directory for the samples.")],
    count: Annotated[int, typer.Option(help="How many, evenly spaced over the evaluation set.")] = 200,
    json: Json = False,
) -> None:
    """Write evaluation samples of a run, for its builds to be run on a device."""
    from bitpick import api

    found = api.samples(run, out, count)
    if json:
        printing.print_json({"folder": str(out), "files": [path.name for path in found]})
    else:
        typer.echo(f"{len(found):,} samples in {out}: copy them and a build to the device, and run its run.py there")


@command
def merge(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    results: Annotated[list[Path], typer.Argument(help="What run.py wrote on the device, one file a build.")],
    target: Annotated[str, typer.Option(help="A name for the device.")],
    overwrite: Annotated[bool, typer.Option(help="Replace what was imported of these builds before.")] = False,
    json: Json = False,
) -> None:
    """Add what builds gave on a device to their run, as rows that are judged like any other."""
    from bitpick import api

    printing.show(api.merge(run, results, target, overwrite=overwrite), json)


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
    data_options: DataSaid = None,
) -> None:
    """Fetch a data set, or read one, into the cache."""
    from bitpick import api

    found = api.data(data or name, data_options=data_options, progress=printing.progress())
    told = {
        "name": found.name,
        "calibration": found.calibration.count,
        "evaluation": found.evaluation.count,
        "folder": str(next(iter(found.evaluation.paths.values())).parent),
    }
    if json:
        printing.print_json(told | {"classes": list(found.classes), "notes": list(found.notes)})
    else:
        typer.echo(
            "{name}: {calibration:,} calibration and {evaluation:,} evaluation samples in {folder}".format(**told)
        )
        for note in found.notes:
            typer.echo(f"data: {note}")
