"""Phrases about rows, for recommendations."""

from __future__ import annotations

from collections.abc import Sequence

from bitpick.recipe import baseline
from bitpick.schema.evidence import Measure, Metric
from bitpick.schema.run import RequestRecord, Row
from bitpick.schema.speed import CLOCKS, verdict
from bitpick.statistics import at_most


def speeds(row: Row) -> list[str]:
    """Return how fast a row is, with numbers; empty if it was not timed."""
    latency = row.latency
    if latency is None:
        return []
    own_time = f"Speed: {1e6 * latency.time:.0f} µs of {CLOCKS[latency.clock]} for one sample on one thread"
    comparisons: list[str] = []
    for other, ratio, interval, wall_ratio in (
        (latency.reference, latency.ratio_reference, latency.ratio_reference_interval, latency.ratio_reference_wall),
        ("its own float32", latency.ratio_own, latency.ratio_own_interval, latency.ratio_own_wall),
    ):
        if ratio is None or (comparisons and latency.reference == baseline(row.engine).id):
            continue
        precision = f"95% interval {interval[0]:.2f} to {interval[1]:.2f}" if interval else verdict(interval)
        precision += f"; {wall_ratio:.2f} in wall time" if wall_ratio is not None and latency.clock != "wall" else ""
        comparisons.append(f"{ratio:.2f} times that of {other} ({precision})")
    return [f"{own_time}, {' and '.join(comparisons)}." if comparisons else f"{own_time}."]


def loosely_timed(rows: Sequence[Row], loose: float) -> list[str]:
    """Return a note on rows with imprecise times, which count only if shown to differ, and why they are imprecise."""
    if not rows:
        return []
    reasons = dict.fromkeys(row.latency.clock_reason for row in rows if row.latency is not None)
    because = f" (from wall time: {', '.join(filter(None, reasons))})" if any(reasons) else ""
    problem = f"This machine did not tell the times of {', '.join(row.id for row in rows)} to within"
    rule = "between such builds only a time that is shown to be shorter counts"
    fix = "run again on a quieter machine, or give --bench-seconds more"
    return [f"{problem} {100 * (loose - 1):.0f}%{because}: {rule}; {fix}."]


def larger(row: Row) -> list[str]:
    """Return a note that a row is larger than its float32, and whether it is faster; empty if it is not larger."""
    if row.size_ratio is None or row.size_ratio <= 1:
        return []
    fact = f"It saves no space: its files are {row.size_ratio:.2f} times as large as those of its own float32"
    if row.latency is None:
        return [f"{fact}, and whether it is faster was not measured. If it is not, ship the float32."]
    interval = row.latency.ratio_own_interval
    if interval is not None and interval[1] < 1:
        return [f"{fact}, but it is shown to be faster."]
    return [f"{fact}, and it is not shown to be faster: ship the float32, unless the device needs integers."]


def roughly(count: int) -> int:
    """Round an estimate up to two digits."""
    step: int = 10 ** max(0, len(str(count)) - 2)
    return -(-count // step) * step


def build(row: Row) -> str:
    """Return a row's id with its metric, size and time."""
    assert row.metric is not None
    time = f", {1e6 * row.latency.time:.0f} µs" if row.latency is not None else ""
    of = f" in {row.metric.of}" if row.metric.of else ""
    return f"{row.id} ({row.metric.shown()}{of}, {(row.size_bytes or 0) / 1000:.1f} kB{time})"


def drop_of(row: Row) -> str:
    """Return a row's drop with its interval, e.g. `a drop of 0.13 points (95% interval -0.20 to 0.46)`."""
    if row.versus_baseline is None:
        return "no drop known"
    return loses(row.metric, row.versus_baseline.drop, row.versus_baseline.drop_interval)


def loses(metric: Metric | None, drop: float, interval: tuple[float, float]) -> str:
    """Return a drop of a metric with its 95% interval."""
    assert metric is not None
    low, high = map(metric.change, interval)
    return f"a {metric.worsening} of {metric.changed(drop)} (95% interval {low} to {high})"


def margin(row: Row, request: RequestRecord) -> str:
    """Return the margin of a row."""
    assert row.versus_baseline is not None
    assert row.metric is not None
    own = row.metric.changed(row.versus_baseline.margin)
    return own + (f" ({request.margin} of {row.metric.base('its')})" if request.margin.endswith("%") else "")


def allowed(metric: Metric | None, request: RequestRecord) -> str:
    """Return the margin of all rows."""
    assert metric is not None
    return metric.margin(request.margin, "its float32's")


def best_by(measure: Measure) -> str:
    """Return the words for the best build, e.g. `most accurate`, `lowest RMSE`."""
    if measure.name == "accuracy":
        return "most accurate"
    return f"{'highest' if measure.higher_is_better else 'lowest'} {measure.label}"


def better(measure: Measure) -> str:
    """Return the words for a better build."""
    return "more accurate" if measure.name == "accuracy" else "better"


def flips_bound(row: Row) -> list[str]:
    """Return what flips imply for accuracy without labels; empty if flips were not counted."""
    versus, count = row.versus_baseline, row.samples
    if versus is None or versus.flips is None or not count:
        return []
    share, most = (f"{100 * fraction:.2f}%" for fraction in (versus.flips / count, at_most(versus.flips, count)))
    flips = f"{versus.flips:,} of {count:,} predictions differ from its float32's: {share}, at 95% confidence at most"
    return [f"{flips} {most}. Whatever the labels are, the share that it gets right falls by no more."]


def without_labels(measure: Measure) -> list[str]:
    """Return why agreement is hard to show; empty for other metrics."""
    if measure.name != "agreement":
        return []
    return ["Without labels every prediction that differs counts as lost: with them, or a wider margin, more may pass."]
