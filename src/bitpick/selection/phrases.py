"""What a recommendation says of rows, in words."""

from __future__ import annotations

from collections.abc import Sequence

from bitpick.recipe import baseline
from bitpick.schema.evidence import Measure, Metric
from bitpick.schema.run import RequestRecord, Row
from bitpick.schema.speed import CLOCKS, verdict
from bitpick.statistics import at_most


def speeds(row: Row) -> list[str]:
    """How fast a row is, in numbers; nothing where that was not measured."""
    latency = row.latency
    if latency is None:
        return []
    one = f"Speed: {1e6 * latency.time:.0f} µs of {CLOCKS[latency.clock]} for one sample on one thread"
    beside: list[str] = []
    for other, value, interval, wall in (
        (latency.reference, latency.ratio_reference, latency.ratio_reference_interval, latency.ratio_reference_wall),
        ("its own float32", latency.ratio_own, latency.ratio_own_interval, latency.ratio_own_wall),
    ):
        if value is None or (beside and latency.reference == baseline(row.engine).id):
            continue
        known = f"95% interval {interval[0]:.2f} to {interval[1]:.2f}" if interval else verdict(interval)
        known += f"; {wall:.2f} in wall time" if wall is not None and latency.clock != "wall" else ""
        beside.append(f"{value:.2f} times that of {other} ({known})")
    return [f"{one}, {' and '.join(beside)}." if beside else f"{one}."]


def loosely_timed(rows: Sequence[Row], loose: float) -> list[str]:
    """That times of rows counted only where they are shown to differ, and why they are so loosely known."""
    if not rows:
        return []
    why = dict.fromkeys(row.latency.clock_reason for row in rows if row.latency is not None)
    because = f" (from wall time: {', '.join(filter(None, why))})" if any(why) else ""
    within = f"This machine did not tell the times of {', '.join(row.id for row in rows)} to within"
    rule = "between such builds only a time that is shown to be shorter counts"
    fix = "run again on a quieter machine, or give --bench-seconds more"
    return [f"{within} {100 * (loose - 1):.0f}%{because}: {rule}; {fix}."]


def larger(row: Row) -> list[str]:
    """That a row is larger than its own float32, with what is known of its speed; nothing where it is not."""
    if row.size_ratio is None or row.size_ratio <= 1:
        return []
    saves = f"It saves no space: its files are {row.size_ratio:.2f} times as large as those of its own float32"
    if row.latency is None:
        return [f"{saves}, and whether it is faster was not measured. If it is not, ship the float32."]
    bounds = row.latency.ratio_own_interval
    if bounds is not None and bounds[1] < 1:
        return [f"{saves}, but it is shown to be faster."]
    return [f"{saves}, and it is not shown to be faster: ship the float32, unless the device needs integers."]


def roughly(count: int) -> int:
    """A number rounded up to two digits: it is an estimate."""
    step: int = 10 ** max(0, len(str(count)) - 2)
    return -(-count // step) * step


def build(row: Row) -> str:
    """A row with its metric, size and time."""
    assert row.metric is not None
    timed = f", {1e6 * row.latency.time:.0f} µs" if row.latency is not None else ""
    of = f" in {row.metric.of}" if row.metric.of else ""
    return f"{row.id} ({row.metric.shown()}{of}, {(row.size_bytes or 0) / 1000:.1f} kB{timed})"


def drop_of(row: Row) -> str:
    """The drop with its interval, e.g. `a drop of 0.13 points (95% interval -0.20 to 0.46)`."""
    if row.versus_baseline is None:
        return "no drop known"
    return loses(row.metric, row.versus_baseline.drop, row.versus_baseline.drop_interval)


def loses(metric: Metric | None, drop: float, interval: tuple[float, float]) -> str:
    """A drop of a metric with its 95% interval, in words."""
    assert metric is not None
    low, high = map(metric.change, interval)
    return f"a {metric.worsening} of {metric.changed(drop)} (95% interval {low} to {high})"


def margin(row: Row, request: RequestRecord) -> str:
    """What a row's drop must be under."""
    assert row.versus_baseline is not None
    assert row.metric is not None
    own = row.metric.changed(row.versus_baseline.margin)
    return own + (f" ({request.margin} of {row.metric.base('its')})" if request.margin.endswith("%") else "")


def allowed(metric: Metric | None, request: RequestRecord) -> str:
    """What every row's drop must be under."""
    assert metric is not None
    return metric.margin(request.margin, "its float32's")


def best_by(measure: Measure) -> str:
    """What the best build is called, e.g. `most accurate`, `lowest RMSE`."""
    if measure.name == "accuracy":
        return "most accurate"
    return f"{'highest' if measure.higher_is_better else 'lowest'} {measure.label}"


def better(measure: Measure) -> str:
    """What a better build is called."""
    return "more accurate" if measure.name == "accuracy" else "better"


def flips_bound(row: Row) -> list[str]:
    """What predictions that differ say where there are no labels; nothing where they are not known."""
    versus, count = row.versus_baseline, row.samples
    if versus is None or versus.flips is None or not count:
        return []
    share, most = (f"{100 * each:.2f}%" for each in (versus.flips / count, at_most(versus.flips, count)))
    flips = f"{versus.flips:,} of {count:,} predictions differ from its float32's: {share}, at 95% confidence at most"
    return [f"{flips} {most}. Whatever the labels are, the share that it gets right falls by no more."]


def without_labels(measure: Measure) -> list[str]:
    """Why agreement is hard to show; nothing of other metrics."""
    if measure.name != "agreement":
        return []
    return ["Without labels every prediction that differs counts as lost: with them, or a wider margin, more may pass."]
