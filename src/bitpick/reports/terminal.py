"""Terminal output: rows as they finish, then the table and the recommendation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from bitpick.passes.registry import passes
from bitpick.reports import conversions, measured, speeds, whole, words
from bitpick.schema import missing
from bitpick.schema.hop import Hop
from bitpick.schema.run import Row, Run
from bitpick.schema.speed import BenchRecord

_VERBS = {
    "convert": "converting",
    "run_form": "verifying",
    "verify": "verifying",
    "apply_pass": "preparing",
    "train": "training",
    "measure_tuning": "evaluating",
    "calibrate": "calibrating for",
    "build": "building",
    "evaluate": "evaluating",
    "change": "trying",
    "insides": "looking inside",
}


class JobLike(Protocol):
    """The part of a job that a listener uses."""

    @property
    def id(self) -> str: ...  # noqa: D102
    @property
    def function(self) -> str: ...  # noqa: D102
    @property
    def subject(self) -> str: ...  # noqa: D102


class LiveRows:
    """A listener that shows each finished row, above a line with the work in progress.

    Args:
        console: where to print; rows are shown only on a terminal.
        notes: whether to print notes even if it is not a terminal, for commands that end without a summary.
    """

    def __init__(self, console: Console, notes: bool = False) -> None:
        self._console = console
        self._notes = notes
        self._live = Live(console=console, refresh_per_second=8, transient=True)
        self._phase = ""
        self._running: dict[str, str] = {}
        self._rows: dict[str, Row] = {}

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def phase(self, text: str) -> None:
        """Show that a phase starts."""
        self._phase = text
        self._show()

    def started(self, job: JobLike) -> None:
        """Show that a job starts."""
        self._running[job.id] = _doing(job)
        self._show()

    def progressed(self, job: JobLike, text: str) -> None:
        """Show how far a job is."""
        self._running[job.id] = f"{_doing(job)}: {text}"
        self._show()

    def ended(self, job: JobLike) -> None:
        """Stop showing a job."""
        self._running.pop(job.id, None)
        self._show()

    def row(self, row: Row) -> None:
        """Show a new or an updated row."""
        self._rows[row.id] = row
        self._show()

    def note(self, text: str) -> None:
        """Print a note on a guess or an oddity of the data at once, above the rows."""
        if self._console.is_terminal or self._notes:
            self._console.print(Text(f"data: {text}", style="dim"), soft_wrap=True)

    def _show(self) -> None:
        if self._console.is_terminal:
            activity = "; ".join(list(self._running.values())) or self._phase
            parts: list[RenderableType] = [table(list(self._rows.values()))] if self._rows else []
            self._live.update(
                Group(*parts, Spinner("dots", Text(activity, style="dim", overflow="ellipsis", no_wrap=True)))
            )


def _doing(job: JobLike) -> str:
    return f"{_VERBS.get(job.function, job.function)} {job.subject}"


def table(rows: list[Row]) -> Table:
    """Show rows as a table, without those that are out of reach."""
    rows = [row for row in rows if not row.out_of_reach]
    shown = Table(box=None, pad_edge=False, header_style="bold")
    shown.add_column("build", overflow="fold")
    metric = measured.measure(rows)
    columns = {metric.label: words.result, metric.worsening: words.drop}
    # Two columns that are mostly empty, and too wide for a narrow terminal.
    if any(row.target != "host" for row in rows) or metric.name == "agreement":
        columns["flips" if measured.flip(rows) else "differing"] = words.flips
    if any(words.integer(row) not in ("", "100%") for row in rows):
        columns["integer"] = words.integer
    timed = any(row.latency for row in rows)
    columns |= {"size": words.size} | ({"time": speeds.time_beside} if timed else {"smaller": words.reduction})
    for name in columns:
        shown.add_column(Text(name), justify="right", no_wrap=True)
    shown.add_column("")
    for row in rows:
        flags = ", ".join(flag.code for flag in row.flags)
        note = (
            Text(flags, style="yellow")
            if flags
            else Text("deprecated" if row.deprecated and row.metric else "", style="dim")
        )
        style = "" if row.status == "ok" else "red" if row.status == "failed" else "dim"
        shown.add_row(Text(row.id), *(Text(cell(row)) for cell in columns.values()), note, style=style)
    return shown


def summary(run: Run, folder: str) -> Group:
    """Show the result of a run: table, reasons for missing builds, recommendation, and where the files are."""
    rows = words.ordered(run)
    parts: list[RenderableType] = [table(rows), Text("")]
    parts += [Text(whole.search(run), style="dim")] if run.search else []
    parts += [Text(f"rows: {note}", style="dim") for note in run.notes]
    parts += [Text(f"model: {note}", style="dim") for note in run.model.notes]
    parts += [Text(f"data: {note}", style="dim") for note in run.data.notes] if run.data else []
    parts += _missing(run)
    parts += _notes(run)
    if run.recommendation:
        pick = run.recommendation.id
        parts += [
            Text(""),
            Text.assemble("Ship ", (pick, "bold green")) if pick else Text("No build is recommended", style="bold"),
        ]
        elsewhere = {cpu: row_id for cpu, row_id in run.recommendation.by_target.items() if row_id != pick}
        parts += [Text.assemble(f"On {cpu} ship ", (row_id, "bold green")) for cpu, row_id in elsewhere.items()]
        parts += [Text(f"· {reason}") for reason in run.recommendation.because]
        parts += [Text(words.selection(run.recommendation), style="dim")]
    draw_lines = [(row.id, text) for row in rows if (text := words.over_draws(row))]
    if draw_lines:
        parts += [Text(""), Text("Over calibration draws", style="bold")]
        parts += [Text.assemble("· ", (row_id, "bold"), f": {text}") for row_id, text in draw_lines]
    parts += [Text(""), Text(f"Everything is in {folder}: report.html, report.md, run.json, builds/", style="dim")]
    return Group(*parts)


def _missing(run: Run) -> list[Text]:
    """Show each reason for missing builds once."""
    lines = []
    for each in missing.missing(words.ordered(run)):
        style = "red" if each.status == "failed" else "dim"
        lines.append(Text.assemble((each.subject, "bold"), f": {each.reason}", style=style))
        if len(each.rows) > 1:
            lines.append(Text(f"  {', '.join(row.id for row in each.rows)}", style=style))
    left_out = missing.left_out(run.rows)
    return lines + ([Text(left_out, style="dim")] if left_out else [])


def _rows_by_target(run: Run) -> dict[str, list[Row]]:
    """Group the rows by target, without this host's."""
    rows_by_target: dict[str, list[Row]] = {}
    for row in run.rows:
        if row.target != "host":
            rows_by_target.setdefault(row.target, []).append(row)
    return rows_by_target


def _notes(run: Run) -> list[RenderableType]:
    """Show what does not fit in the table: the meaning of times, why builds are slow or big, layers, examples."""
    lines = []
    metric_direction = measured.direction(measured.measure(run.rows))
    lines += [metric_direction] if metric_direction else []
    lines += [
        f"The output {name}{' ' if name else ''}of {row.id}: {', '.join(each)}."
        for row, name, *parts in measured.outputs(words.ordered(run), run)
        if row.id == (run.recommendation.id if run.recommendation else None)
        and (each := [f"{word} {part}" for word, part in zip(measured.ALIKE, parts, strict=True) if part])
    ]
    reference = next((row.latency.reference for row in run.rows if row.latency), None)
    if reference:
        lines.append(f"Time is that for one sample over {reference}'s: under 1 is faster; ? is not resolvable here.")
        lines += [speeds.row_clocks(run.rows), *speeds.untimed(run)]
    lines += [
        f"Rows @{cpu} are beside the same files here, on {words.most_samples(rows)} samples at most."
        for cpu, rows in _rows_by_target(run).items()
    ]
    findings = whole.findings(run)
    pick = run.recommendation.id if run.recommendation else None
    for finding, rows in findings:
        # The reports have all findings; here, only those of the slow rows and of the row to ship.
        slow = finding.about == "slow"
        concerned = [row.id for row in rows if (row.slower if slow else row.id == pick)]
        if concerned:
            fix = f" To fix it: {words.sentence(finding.mend)}" if finding.mend else ""
            lines.append(f"Why {finding.about}: {words.sentence(finding.text)}{fix} In {', '.join(concerned)}.")
    if findings:
        lines.append("What makes each build slow or big is in the reports, with the names.")
    lines += [words.sentence(advice) for advice in (run.diagnosis.advice if run.diagnosis else [])]
    if run.examples:
        lines.append(f"{len(run.examples)} samples whose prediction changed are shown in report.html.")
    return [Text(""), *(Text(line) for line in lines)] if lines else []


def hops(records: Sequence[Hop], path: str) -> Group:
    """Show the measurements of each hop of a conversion, and where the result is."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    shown.add_column("conversion")
    for name in conversions.columns(records):
        shown.add_column(name, justify="right")
    for hop in records:
        shown.add_row(hop.name, *conversions.cells(hop, records))
    return Group(shown, Text(""), Text(f"Verified, and written to {path}"))


def one_row(row: Row) -> Group:
    """Show a single row: its metric with the interval, further metrics, the executed formats, and each class."""
    metric = row.metric
    assert metric is not None
    counted = f"{row.accuracy.correct:,} of {row.accuracy.total:,} " if row.accuracy else ""
    name = "" if row.accuracy else f"{metric.label} "
    between = f"(95% interval {metric.between(metric.interval)})" if metric.interval else ""
    headline_parts = [f"{name}{metric.shown()}", f"{counted}{between}".strip(), words.size(row)]
    headline = f"{row.id}: " + (", " if counted else " ").join(headline_parts[:2]).rstrip() + f", {headline_parts[2]}"
    parts: list[RenderableType] = [Text(headline, style="bold")]
    parts += [Text(f"{label}: {measured.other(row, label)}") for label in measured.others([row])]
    if row.fingerprint is not None:
        numbers = row.fingerprint
        parts.append(Text(f"weights: {words.weights(numbers)}; activations: {words.grid(numbers.activations)}"))
        parts.append(Text(f"input / output / softmax: {words.ends(numbers)}"))
    if row.coverage is not None and row.kind == "quantized":
        coverage = (
            f"{words.integer(row)} of multiply-accumulates and {words.integer_weights(row)} of weights are integer"
        )
        for what, names in (("in float", row.coverage.float_operators), ("not counted", row.coverage.uncounted)):
            coverage += f"; {what}: {', '.join(names)}" if names else ""
        parts.append(Text(coverage))
    parts += [Text(f"{flag.code}: {flag.text}", style="yellow") for flag in row.flags]
    if row.accuracy is None:
        return Group(*parts)
    shown = Table(box=None, pad_edge=False, header_style="bold")
    shown.add_column("class")
    shown.add_column("accuracy", justify="right")
    for name, value in row.accuracy.per_class.items():
        shown.add_row(Text(name), words.percent(value))
    return Group(*parts, Text(""), shown)


def bench(record: BenchRecord) -> Group:
    """Show a benchmark: each build's times, and its ratio to the reference."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    shown.add_column("build", overflow="fold")
    for name in ("wall time", "90%", "CPU time", "ratio", "95% interval", "in wall time"):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("")
    for row in record.rows:
        beside = ("1", "", "", "reference")
        if row.ratio is not None:
            interval = words.interval(*row.ratio_interval) if row.ratio_interval else ""
            beside = (f"{row.ratio:.2f}", interval, f"{row.ratio_wall:.2f}", row.verdict or "")
        cells = (words.microseconds(row.p50), words.microseconds(row.p90), words.microseconds(row.cpu_time), *beside)
        shown.add_row(Text(row.folder), *map(Text, cells))
    threads = f"{record.threads} thread{'s' if record.threads != 1 else ''}"
    notes = [
        f"Batch {record.batch}, {threads}; {record.processes} processes with {record.pairs} pairs of blocks each.",
        "The ratio is a build's time over the reference's: under 1 is faster.",
        speeds.clocks([(row.folder, row.clock, row.clock_reason) for row in record.rows]),
        speeds.control(record),
    ]
    return Group(shown, Text(""), Text(" ".join(notes), style="dim"))


def engines(table_rows: Sequence[Mapping[str, Any]]) -> Group:
    """Show the capabilities of each engine."""
    parts: list[RenderableType] = []
    for row in table_rows:
        versions = ", ".join(f"{name} {version}" for name, version in row["versions"].items())
        state = Text(row["missing"], style="yellow") if row["missing"] else Text(versions, style="dim")
        parts.append(Text.assemble((row["name"], "bold"), "  ", state))
        if row["deprecated"]:
            parts.append(Text(f"  deprecated: {row['deprecated']}", style="yellow"))
        parts.append(Text(f"  starts from {', '.join(row['starts_from'])}; float32"))
        for block in row["capabilities"]:
            scheme = " × ".join(
                ", ".join(block[key]) for key in ("dtypes", "granularities", "calibrations") if block[key]
            )
            parts.append(Text(f"  {scheme}"))
            parts += [Text(f"    +{name}: {what}", style="dim") for name, what in block["options"].items()]
        if row["recipe_files"]:
            parts.append(Text(f"  in a recipe file: {', '.join(row['recipe_files'])}"))
        parts.append(Text(""))
    parts.append(Text.assemble(("passes", "bold"), "  for every quantized recipe"))
    parts += [Text(f"    +{name}: {each.help}", style="dim") for name, each in passes().items()]
    return Group(*parts)
