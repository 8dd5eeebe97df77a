"""The charts of report.html: texts and numbers; report.js draws them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bitpick.reports import measured, words
from bitpick.reports.chart import Chart, Column
from bitpick.reports.charted import Charted
from bitpick.schema.run import Row, Run
from bitpick.schema.speed import CLOCKS, verdict

_MOST_CLASSES = 20
_MOST_LAYERS = 40

_MARKS = " Filled is shown to be good enough, hollow is not shown or not tested, grey is float32."
_BUILD = Column("build", "build")
_STANDING = Column("standing", "standing")
_ENGINE = Column("engine", "engine")
_DROP = Column("drop", "drop, points", words.points)
_FLIPS = Column("flips", "flips", "{:,}".format)


def charts(run: Run) -> list[Chart]:
    """Return the charts that a run has data for."""
    native = [row for row in words.ordered(run) if row.target == "host" and row.metric is not None]
    metric = Charted(measured.measure(native))
    candidates = (
        _size(native, run, metric), _latency(native, run, metric), _drops(native, run, metric), _classes(native),
        _draws(native, metric),
    )  # fmt: skip
    return [chart for chart in (*candidates, _layers(run)) if chart is not None and chart.data]


def _size(rows: Sequence[Row], run: Run, metric: Charted) -> Chart | None:
    rows = [row for row in rows if row.size_bytes]
    if not rows:
        return None
    records = [_record(row, run) | {"bytes": row.size_bytes} for row in rows]
    _mark_front(records, "bytes")
    smallest = min(rows, key=lambda row: row.size_bytes or 0)
    shipped = _pick(rows, run)
    finding = f"The smallest of all is {_described(smallest)}."
    if shipped is not None:
        finding = f"The build to ship is {_described(shipped)}. " + (
            finding if shipped is not smallest else "None is smaller."
        )
    return Chart(
        "size",
        f"{metric.name} and size",
        f"Each mark is a build; further left is smaller, further up is {metric.better}. A line joins the good enough "
        f"builds of which no other is both as {metric.measure.good} and as small." + _MARKS,
        finding,
        (_BUILD, _ENGINE, _STANDING, metric.column, Column("bytes", "size", words.kilobytes)),
        records,
        metric=metric.axis,
    )


def _latency(rows: Sequence[Row], run: Run, metric: Charted) -> Chart | None:
    records = [record for row in rows if (record := _timed(row, run)) is not None]
    if not records:
        return None
    _mark_front(records, "ratio")
    reference = next(row.latency.reference for row in rows if row.latency)
    return Chart(
        "latency",
        f"{metric.name} and latency",
        f"Each mark is a build, with the 95% interval of its time for one sample over that of {reference}: under 1 "
        "is faster. A line joins the good enough builds of which no other is both as "
        f"{metric.measure.good} and as fast." + _MARKS,
        _times_finding(records),
        (
            _BUILD, _ENGINE, _STANDING, metric.column, Column("ratio", "time over the reference's", "{:.2f}".format),
            Column("low", "from", "{:.2f}".format), Column("high", "to", "{:.2f}".format),
            Column("time", "time", words.microseconds), Column("clock", "clock"),
            Column("wall", "in wall time", "{:.2f}".format), Column("resolvable", "resolvable", _yes),
        ),
        records,
        metric=metric.axis,
    )  # fmt: skip


def _timed(row: Row, run: Run) -> dict[str, Any] | None:
    """Return the record of a row with its time over the reference's, which is 1 for the reference."""
    latency = row.latency
    if latency is None:
        return None
    ratio = 1.0 if latency.reference == row.id else latency.ratio_reference
    if ratio is None:
        return None
    low, high = latency.ratio_reference_interval or (ratio, ratio)
    resolvable = latency.reference == row.id or verdict(latency.ratio_reference_interval) != "not resolvable here"
    times: dict[str, Any] = {"ratio": ratio, "low": low, "high": high, "resolvable": resolvable}
    times |= {"time": latency.time, "clock": CLOCKS[latency.clock], "wall": latency.ratio_reference_wall}
    return _record(row, run) | times


def _times_finding(records: list[dict[str, Any]]) -> str:
    quantized = [r for r in records if r["kind"] != "baseline"]
    shipped = next((r for r in quantized if r["ship"]), None)
    fastest = min(quantized, key=lambda r: r["ratio"], default=None)
    finding = "No quantized build was timed."
    if fastest is not None:
        finding = f"The lowest ratio of a quantized build is that of {fastest['build']}: {_ratio(fastest)}."
    if shipped is not None:
        lowest = f" {finding}" if shipped is not fastest else " No quantized build has a lower ratio."
        finding = f"The build to ship takes {_ratio(shipped)} times as long as the reference.{lowest}"
    if unresolved := sum(not r["resolvable"] for r in records):
        finding += f" {unresolved} of {len(records)} are not told from the reference here, and drawn faint."
    return finding


def _drops(rows: Sequence[Row], run: Run, metric: Charted) -> Chart | None:
    compared = [row for row in rows if row.versus_baseline is not None]
    if not compared:
        return None
    records = []
    for row in compared:
        versus = row.versus_baseline
        assert versus is not None
        low, high = versus.drop_interval
        drop_fields = {"drop": versus.drop, "low": low, "high": high, "margin": versus.margin, "flips": versus.flips}
        records.append(_record(row, run) | drop_fields)
    worsening, unit = (
        metric.measure.worsening,
        f", in {metric.measure.change_unit}" if metric.measure.change_unit else "",
    )
    flips = (_FLIPS,) if any(record["flips"] is not None for record in records) else ()
    verdicts = [row.versus_baseline.noninferior for row in compared if row.versus_baseline is not None]
    tested = [claim for claim in verdicts if claim is not None]
    finding = f"{sum(tested)} of the {len(tested)} builds that were tested are shown to lose less than the margin."
    if not tested:
        finding = "None of these builds could be recommended, so none was tested against the margin."
    return Chart(
        "drops",
        f"{worsening.capitalize()}s, with what the samples show",
        f"Each build's {worsening}{f' in {metric.measure.label}' if worsening == 'rise' else ''} beside its own "
        f"float32 on the same samples{unit}, with its 95% interval; the tick is the margin, set before the run. A "
        "filled mark is shown to lose less, all builds tested at once; a hollow one is not shown, or was not tested.",
        finding,
        (_BUILD, _STANDING, metric.drop, *metric.interval, Column("margin", "margin", metric.measure.change), *flips),
        records,
        metric=metric.axis,
    )


def _classes(rows: Sequence[Row]) -> Chart | None:
    by_id = {row.id: row for row in rows}
    data: list[dict[str, Any]] = [
        {"build": row.id, "class": name, "drop": drop}
        for row in rows
        if row.versus_baseline is not None
        for name, drop in words.per_class_drops(row, by_id.get(row.versus_baseline.baseline)).items()
    ]
    if not data:
        return None
    worst = max(data, key=lambda record: record["drop"])
    drawn_classes = list(dict.fromkeys(r["class"] for r in sorted(data, key=lambda r: -abs(r["drop"]))))[:_MOST_CLASSES]
    all_drawn = len({r["class"] for r in data}) == len(drawn_classes)
    drawn_note = "" if all_drawn else f" The {len(drawn_classes)} classes that change most are drawn."
    return Chart(
        "classes",
        "Drop of each class",
        "Points that each class loses beside the float32 build of the same engine; a negative number is a gain."
        + drawn_note,
        f"The largest is {words.points(worst['drop'])} points, in the class {worst['class']}, of {worst['build']}.",
        (_BUILD, Column("class", "class"), _DROP),
        data,
        [place for place, record in enumerate(data) if record["class"] in drawn_classes],
    )


def _draws(rows: Sequence[Row], metric: Charted) -> Chart | None:
    rows_with_draws = [row for row in rows if row.over_draws is not None]
    data = []
    for row in rows_with_draws:
        over_draws = row.over_draws
        assert over_draws is not None
        low, high = over_draws.drop_interval
        for draw in over_draws.draws:
            summary = {"mean": over_draws.drop, "low": low, "high": high}
            data.append({"build": row.id, "seed": draw.seed, "drop": draw.drop, "flips": draw.flips} | summary)
    if not data:
        return None
    widest = max(rows_with_draws, key=_spread)
    worsening, unit = (
        metric.measure.worsening,
        f" in {metric.measure.change_unit}" if metric.measure.change_unit else "",
    )
    flips = (_FLIPS,) if any(record["flips"] is not None for record in data) else ()
    return Chart(
        "draws",
        "Calibration draws",
        f"Each dot is a build of the recipe from other calibration samples: its {worsening}{unit}. The bar is the mean "
        "over draws with its 95% interval, over draws and evaluation samples.",
        f"Draws move the {worsening} of {widest.id} most: by {metric.measure.changed(_spread(widest))}.",
        (
            _BUILD, Column("seed", "seed"), metric.drop, *flips,
            Column("mean", "mean over draws", metric.measure.change), *metric.interval,
        ),
        data,
        metric=metric.axis,
    )  # fmt: skip


def _layers(run: Run) -> Chart | None:
    if run.diagnosis is None:
        return None
    data: list[dict[str, Any]] = [
        {
            "layer": layer.name,
            "kind": layer.kind,
            "weights": layer.weight_sqnr_db,
            "output": layer.activation_sqnr_db,
            "alone": layer.only_quantized.drop if layer.only_quantized else None,
            "spared": layer.only_float.drop if layer.only_float else None,
        }
        for layer in run.diagnosis.layers
    ]
    measured_layers = [record for record in data if record["output"] is not None]
    drawn = sorted(range(len(data)), key=lambda place: _noise(data[place]))[:_MOST_LAYERS]
    drawn_note = f" The {len(drawn)} noisiest layers are drawn." if len(drawn) < len(data) else ""
    worst = min(measured_layers, key=lambda record: record["output"], default=None)
    finding = "No signal over noise is known of any layer's output."
    if worst is not None:
        finding = f"The noisiest output is that of {worst['layer']}: {words.decibels(worst['output'])}."
    return Chart(
        "layers",
        "Signal over noise, layer by layer",
        f"Of {run.diagnosis.recipe}: how far the float32's signal is above what quantization changed, in decibels, in "
        f"the graph's order. Lower is noisier; 6 dB are one bit.{drawn_note}",
        finding,
        (
            Column("layer", "layer"), Column("kind", "type"), Column("weights", "weights", words.decibels),
            Column("output", "output", words.decibels),
            Column("alone", "drop if only it is quantized, points", words.points),
            Column("spared", "drop if only it is in float, points", words.points),
        ),
        data,
        sorted(drawn),
    )  # fmt: skip


def _ratio(record: dict[str, Any]) -> str:
    return f"{record['ratio']:.2f} (95% interval {words.interval(record['low'], record['high'])})"


def _noise(record: dict[str, Any]) -> float:
    values = [record[key] for key in ("output", "weights") if record[key] is not None]
    return min(values, default=float("inf"))


def _record(row: Row, run: Run) -> dict[str, Any]:
    assert row.metric is not None
    pick = run.recommendation.id if run.recommendation else None
    standing = words.standing(row)
    return {
        "build": row.id, "engine": row.engine, "kind": row.kind, "standing": standing, "ship": row.id == pick,
        row.metric.name: row.metric.value, "quality": row.metric.quality,
    }  # fmt: skip


def _mark_front(records: list[dict[str, Any]], cost: str) -> None:
    """Mark the Pareto front: the good enough records for which no other is as good and costs as little."""
    good = [r for r in records if r["standing"] == "good enough"]
    for record in records:
        own = (record["quality"], record[cost])
        others = [o for o in good if (o["quality"], o[cost]) != own]
        beaten = any(o["quality"] >= own[0] and o[cost] <= own[1] for o in others)
        record["front"] = record in good and not beaten


def _pick(rows: Sequence[Row], run: Run) -> Row | None:
    pick = run.recommendation.id if run.recommendation else None
    return next((row for row in rows if row.id == pick), None)


def _described(row: Row) -> str:
    return f"{row.id}, with {words.result(row)} in {words.size(row)}"


def _spread(row: Row) -> float:
    drops = [draw.drop for draw in row.over_draws.draws] if row.over_draws else [0.0]
    return max(drops) - min(drops)


def _yes(value: bool) -> str:
    return "yes" if value else "no"
