"""Gate a run in CI: check its rows against rules, and against an earlier run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from bitpick.errors import RequestError, did_you_mean
from bitpick.recipe import baseline
from bitpick.schema.run import Row, Run
from bitpick.schema.speed import CLOCKS
from bitpick.selection.judge import scale

_SIZE_GROWTH = 1.01  # a library's name or version in a file may grow it a little


@dataclass(frozen=True)
class Rules:
    """The limits that a row must keep; None sets no limit.

    Attributes:
        max_drop: the largest drop against the row's float32, as a fraction; relative if the metric is not a fraction.
        max_size: the largest size, in bytes.
        max_latency_ratio: the largest time as a share of the reference's.
        min_coverage: the smallest share of multiply-accumulates on integers.
        max_class_drop: the largest drop of any one class, as a fraction.
        noninferior: whether the drop must be shown to be under the run's margin.
    """

    max_drop: float | None = None
    max_size: int | None = None
    max_latency_ratio: float | None = None
    min_coverage: float | None = None
    max_class_drop: float | None = None
    noninferior: bool = False


@dataclass(frozen=True)
class Check:
    """The result of applying a rule to a row."""

    row: str
    rule: str
    passed: bool
    text: str


def gate(run: Run, rules: Rules, row_ids: Sequence[str] = (), against: Run | None = None) -> list[Check]:
    """Apply rules to rows.

    Args:
        run: a finished run.
        rules: the rules.
        row_ids: the rows; if empty, the recommended row.
        against: an earlier run, whose rows with the same ids must not be better. A row fails if the interval of its
            drop lies wholly above the earlier drop, if the interval of its latency ratio lies wholly above the earlier
            interval, or if its size grew by more than 1%.

    Raises:
        RequestError: one of the runs is not complete, they were evaluated on different samples, or the run has no such
            row.
    """
    if run.state != "complete":
        reason = f": {run.error.what}" if run.error else ""
        fix = (run.error.fix if run.error else None) or "run the same command again: it continues from there"
        state = "failed" if run.state == "failed" else f"is {run.state}"
        raise RequestError(f"the run {state}{reason}", expected="a complete run", fix=fix)
    if against is not None:
        _comparable(run, against)
    chosen = list(row_ids) or ([run.recommendation.id] if run.recommendation and run.recommendation.id else [])
    if not chosen:
        return [Check("-", "recommended", False, "the run recommends no build")]
    checks: list[Check] = []
    for row_id in chosen:
        row = run.row(row_id)
        if row is None:
            raise RequestError(f"the run has no row {row_id}", fix=did_you_mean(row_id, [r.id for r in run.rows]))
        if row.metric is None:
            checks.append(Check(row_id, "measured", False, f"{row.status}: {row.reason}"))
            continue
        checks += _rules(row, run, rules)
        if against is not None:
            checks += _against(row, against.row(row_id))
    return checks or [Check(row_id, "measured", True, "was measured; no rule was given") for row_id in chosen]


def _comparable(run: Run, earlier: Run) -> None:
    """Refuse an earlier run that cannot be compared with this one.

    Raises:
        RequestError: it is not complete, or was evaluated on other samples or by another metric.
    """
    if earlier.state != "complete":
        raise RequestError(
            f"the earlier run is {earlier.state}",
            expected="a complete run",
            fix="run its command again, or name another",
        )
    ours, theirs = (side.data.evaluation.sha256 if side.data is not None else None for side in (run, earlier))
    if ours != theirs:
        raise RequestError(
            "the earlier run was evaluated on other samples",
            expected="the same evaluation set in both",
            fix="make the earlier run again on these samples",
        )
    ours, theirs = (next((row.metric.label for row in side.rows if row.metric), None) for side in (run, earlier))
    if ours != theirs and theirs is not None:
        raise RequestError(f"the earlier run was judged by {theirs}", expected=f"{ours} in both")


def _rules(row: Row, run: Run, rules: Rules) -> Iterator[Check]:
    versus = row.versus_baseline
    if rules.max_drop is not None:
        allowed = rules.max_drop * scale(row)
        passed = versus is not None and versus.drop <= allowed
        yield Check(row.id, "drop", passed, f"loses {_drop_text(row)}, of {_amount(row, allowed)} allowed")
    if rules.noninferior:
        margin = "an unknown share" if versus is None else _amount(row, versus.margin)
        shown = versus is not None and bool(versus.noninferior)
        untested = versus is None or versus.noninferior is None
        result = "was not tested" if untested else "is shown" if shown else "is not shown"
        yield Check(row.id, "noninferior", shown, f"{result} to lose less than {margin}")
    if rules.max_size is not None:
        size = row.size_bytes or 0
        passed = row.size_bytes is not None and size <= rules.max_size
        yield Check(row.id, "size", passed, f"has {size / 1000:.1f} kB, of {rules.max_size / 1000:.1f} kB allowed")
    if rules.max_latency_ratio is not None:
        yield _latency(row, rules.max_latency_ratio)
    if rules.min_coverage is not None:
        yield _coverage(row, rules.min_coverage)
    if rules.max_class_drop is not None:
        yield _class_drop(row, run.row(baseline(row.engine).id), rules.max_class_drop)


def _coverage(row: Row, required: float) -> Check:
    coverage = row.coverage
    if coverage is None:
        return Check(row.id, "coverage", False, "has no coverage: the run does not say what it computes on integers")
    text = f"computes {100 * coverage.macs:.1f}% on integers, of {100 * required:.1f}% asked for"
    if coverage.uncounted:
        text += f"; that leaves out {', '.join(coverage.uncounted)}, whose work could not be counted"
    return Check(row.id, "coverage", coverage.macs >= required and not coverage.uncounted, text)


def _latency(row: Row, allowed: float) -> Check:
    latency = row.latency
    if latency is None or latency.ratio_reference is None:
        return Check(row.id, "latency", False, "has no time that was measured beside the reference's")
    if latency.ratio_reference_interval is None:
        return Check(row.id, "latency", False, "has a time that the measuring machine could not resolve")
    low, high = latency.ratio_reference_interval
    time = f"{latency.ratio_reference:.2f} ({low:.2f} to {high:.2f}) times as long as {latency.reference}"
    return Check(row.id, "latency", high <= allowed, f"takes {time}, of {allowed:g} allowed ({CLOCKS[latency.clock]})")


def _class_drop(row: Row, float_row: Row | None, allowed: float) -> Check:
    if row.target != "host":
        return Check(row.id, "class_drop", False, "was evaluated on other samples than its float32")
    if row.accuracy is None:
        return Check(row.id, "class_drop", False, "predicts no classes that labels name")
    if float_row is None or float_row.accuracy is None:
        return Check(row.id, "class_drop", False, "has no float32 build to be compared with")
    drops = {name: float_row.accuracy.per_class[name] - value for name, value in row.accuracy.per_class.items()}
    worst = max(drops, key=lambda name: drops[name])
    text = f"loses {_points(drops[worst])} on {worst}, of {_points(allowed)} allowed for a class"
    return Check(row.id, "class_drop", drops[worst] <= allowed, text)


def _against(row: Row, earlier: Row | None) -> Iterator[Check]:
    if earlier is None or earlier.versus_baseline is None or row.versus_baseline is None:
        yield Check(row.id, "against", False, "is not in the earlier run, or was not measured there")
        return
    earlier_drop, low = earlier.versus_baseline.drop, row.versus_baseline.drop_interval[0]
    text = f"loses {_drop_text(row)}, and lost {_amount(row, earlier_drop)} in the earlier run"
    yield Check(row.id, "against", low <= earlier_drop, text)
    if row.size_bytes and earlier.size_bytes:
        text = f"has {row.size_bytes / 1000:.1f} kB, and had {earlier.size_bytes / 1000:.1f} kB in the earlier run"
        yield Check(row.id, "against_size", row.size_bytes <= _SIZE_GROWTH * earlier.size_bytes, text)
    yield from _against_latency(row, earlier)


def _against_latency(row: Row, earlier: Row) -> Iterator[Check]:
    if earlier.latency is None or earlier.latency.ratio_reference_interval is None:
        return
    earlier_interval, reference = earlier.latency.ratio_reference_interval, earlier.latency.reference
    interval = row.latency.ratio_reference_interval if row.latency and row.latency.reference == reference else None
    if interval is None:
        text = f"has no time beside {reference}, which it had in the earlier run"
        yield Check(row.id, "against_latency", False, text)
        return
    text = "takes {:.2f} to {:.2f} of the reference's time".format(*interval)
    text += ", and took {:.2f} to {:.2f} in the earlier run".format(*earlier_interval)
    yield Check(row.id, "against_latency", interval[0] <= earlier_interval[1], text)


def junit(checks: Sequence[Check]) -> str:
    """Return the checks as JUnit XML, one test case each."""
    failures = sum(not check.passed for check in checks)
    suite = ET.Element("testsuite", name="bitpick gate", tests=str(len(checks)), failures=str(failures))
    for check in checks:
        case = ET.SubElement(suite, "testcase", classname=check.row, name=check.rule)
        if not check.passed:
            ET.SubElement(case, "failure", message=check.text)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _points(fraction: float) -> str:
    return f"{100 * fraction + 0.0:.2f} points"


def _drop_text(row: Row) -> str:
    return "an unknown share" if row.versus_baseline is None else _amount(row, row.versus_baseline.drop)


def _amount(row: Row, drop: float) -> str:
    assert row.metric is not None
    return row.metric.changed(drop)
