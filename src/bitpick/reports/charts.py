"""The charts of report.html: what each shows in words, and its numbers. Drawing them is report.js's part."""

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
    """The charts that a run has data for."""
    native = [row for row in words.ordered(run) if row.target == "host" and row.metric is not None]
    of = Charted(measured.measure(native))
    made = (
        _size(native, run, of), _latency(native, run, of), _drops(native, run, of), _classes(native), _draws(native, of)
    )  # fmt: skip
    return [chart for chart in (*made, _layers(run)) if chart is not None and chart.data]


def _size(rows: Sequence[Row], run: Run, of: Charted) -> Chart | None:
    rows = [row for row in rows if row.size_bytes]
    if not rows:
        return None
    records = [_record(row, run) | {"bytes": row.size_bytes} for row in rows]
    _mark_front(records, "bytes")
    least = min(rows, key=lambda row: row.size_bytes or 0)
    pick = _pick(rows, run)
    finding = f"The smallest of all is {_told(least)}."
    if pick is not None:
        finding = f"The build to ship is {_told(pick)}. " + (finding if pick is not least else "None is smaller.")
    return Chart(
        "size",
        f"{of.name} and size",
        f"Each mark is a build; further left is smaller, further up is {of.better}. A line joins the good enough "
        f"builds of which no other is both as {of.measure.good} and as small." + _MARKS,
        finding,
        (_BUILD, _ENGINE, _STANDING, of.column, Column("bytes", "size", words.kilobytes)),
        records,
        metric=of.axis,
    )


def _latency(rows: Sequence[Row], run: Run, of: Charted) -> Chart | None:
    records = [record for row in rows if (record := _timed(row, run)) is not None]
    if not records:
        return None
    _mark_front(records, "ratio")
    reference = next(row.latency.reference for row in rows if row.latency)
    return Chart(
        "latency",
        f"{of.name} and latency",
        f"Each mark is a build, with the 95% interval of its time for one sample over that of {reference}: under 1 "
        f"is faster. A line joins the good enough builds of which no other is both as {of.measure.good} and as fast."
        + _MARKS,
        _told_times(records),
        (
            _BUILD, _ENGINE, _STANDING, of.column, Column("ratio", "time over the reference's", "{:.2f}".format),
            Column("low", "from", "{:.2f}".format), Column("high", "to", "{:.2f}".format),
            Column("time", "time", words.microseconds), Column("clock", "clock"),
            Column("wall", "in wall time", "{:.2f}".format), Column("resolvable", "resolvable", _yes),
        ),
        records,
        metric=of.axis,
    )  # fmt: skip


def _timed(row: Row, run: Run) -> dict[str, Any] | None:
    """A row with its time over the reference's; the reference itself has 1."""
    found = row.latency
    if found is None:
        return None
    ratio = 1.0 if found.reference == row.id else found.ratio_reference
    if ratio is None:
        return None
    low, high = found.ratio_reference_interval or (ratio, ratio)
    clear = found.reference == row.id or verdict(found.ratio_reference_interval) != "not resolvable here"
    told: dict[str, Any] = {"ratio": ratio, "low": low, "high": high, "resolvable": clear}
    told |= {"time": found.time, "clock": CLOCKS[found.clock], "wall": found.ratio_reference_wall}
    return _record(row, run) | told


def _told_times(records: list[dict[str, Any]]) -> str:
    clear = [r for r in records if r["kind"] != "baseline"]
    ship = next((r for r in clear if r["ship"]), None)
    least = min(clear, key=lambda r: r["ratio"], default=None)
    finding = "No quantized build was timed."
    if least is not None:
        finding = f"The lowest ratio of a quantized build is that of {least['build']}: {_ratio(least)}."
    if ship is not None:
        lowest = f" {finding}" if ship is not least else " No quantized build has a lower ratio."
        finding = f"The build to ship takes {_ratio(ship)} times as long as the reference.{lowest}"
    if unclear := sum(not r["resolvable"] for r in records):
        finding += f" {unclear} of {len(records)} are not told from the reference here, and drawn faint."
    return finding


def _drops(rows: Sequence[Row], run: Run, of: Charted) -> Chart | None:
    judged = [row for row in rows if row.versus_baseline is not None]
    if not judged:
        return None
    records = []
    for row in judged:
        versus = row.versus_baseline
        assert versus is not None
        low, high = versus.drop_interval
        told = {"drop": versus.drop, "low": low, "high": high, "margin": versus.margin, "flips": versus.flips}
        records.append(_record(row, run) | told)
    lost, unit = of.measure.worsening, f", in {of.measure.change_unit}" if of.measure.change_unit else ""
    flips = (_FLIPS,) if any(record["flips"] is not None for record in records) else ()
    claims = [row.versus_baseline.noninferior for row in judged if row.versus_baseline is not None]
    tested = [claim for claim in claims if claim is not None]
    finding = f"{sum(tested)} of the {len(tested)} builds that were tested are shown to lose less than the margin."
    if not tested:
        finding = "None of these builds could be recommended, so none was tested against the margin."
    return Chart(
        "drops",
        f"{lost.capitalize()}s, with what the samples show",
        f"Each build's {lost}{f' in {of.measure.label}' if lost == 'rise' else ''} beside its own float32 on the same "
        f"samples{unit}, with its 95% interval; the tick is the margin, set before the run. A filled mark is shown to "
        "lose less, all builds tested at once; a hollow one is not shown, or was not tested.",
        finding,
        (_BUILD, _STANDING, of.drop, *of.interval, Column("margin", "margin", of.measure.change), *flips),
        records,
        metric=of.axis,
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
    hurt = list(dict.fromkeys(r["class"] for r in sorted(data, key=lambda r: -abs(r["drop"]))))[:_MOST_CLASSES]
    every = len({r["class"] for r in data}) == len(hurt)
    some = "" if every else f" The {len(hurt)} classes that change most are drawn."
    return Chart(
        "classes",
        "Drop of each class",
        "Points that each class loses beside the float32 build of the same engine; a negative number is a gain." + some,
        f"The largest is {words.points(worst['drop'])} points, in the class {worst['class']}, of {worst['build']}.",
        (_BUILD, Column("class", "class"), _DROP),
        data,
        [place for place, record in enumerate(data) if record["class"] in hurt],
    )


def _draws(rows: Sequence[Row], of: Charted) -> Chart | None:
    drawn = [row for row in rows if row.over_draws is not None]
    data = []
    for row in drawn:
        found = row.over_draws
        assert found is not None
        low, high = found.drop_interval
        for draw in found.draws:
            whole = {"mean": found.drop, "low": low, "high": high}
            data.append({"build": row.id, "seed": draw.seed, "drop": draw.drop, "flips": draw.flips} | whole)
    if not data:
        return None
    widest = max(drawn, key=_spread)
    lost, unit = of.measure.worsening, f" in {of.measure.change_unit}" if of.measure.change_unit else ""
    flips = (_FLIPS,) if any(record["flips"] is not None for record in data) else ()
    return Chart(
        "draws",
        "Calibration draws",
        f"Each dot is a build of the recipe from other calibration samples: its {lost}{unit}. The bar is the mean "
        "over draws with its 95% interval, over draws and evaluation samples.",
        f"Draws move the {lost} of {widest.id} most: by {of.measure.changed(_spread(widest))}.",
        (
            _BUILD, Column("seed", "seed"), of.drop, *flips, Column("mean", "mean over draws", of.measure.change),
            *of.interval,
        ),
        data,
        metric=of.axis,
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
    known = [record for record in data if record["output"] is not None]
    noisy = sorted(range(len(data)), key=lambda place: _noise(data[place]))[:_MOST_LAYERS]
    some = f" The {len(noisy)} noisiest layers are drawn." if len(noisy) < len(data) else ""
    worst = min(known, key=lambda record: record["output"], default=None)
    finding = "No signal over noise is known of any layer's output."
    if worst is not None:
        finding = f"The noisiest output is that of {worst['layer']}: {words.decibels(worst['output'])}."
    return Chart(
        "layers",
        "Signal over noise, layer by layer",
        f"Of {run.diagnosis.recipe}: how far the float32's signal is above what quantization changed, in decibels, in "
        f"the graph's order. Lower is noisier; 6 dB are one bit.{some}",
        finding,
        (
            Column("layer", "layer"), Column("kind", "type"), Column("weights", "weights", words.decibels),
            Column("output", "output", words.decibels),
            Column("alone", "drop if only it is quantized, points", words.points),
            Column("spared", "drop if only it is in float, points", words.points),
        ),
        data,
        sorted(noisy),
    )  # fmt: skip


def _ratio(record: dict[str, Any]) -> str:
    return f"{record['ratio']:.2f} (95% interval {words.interval(record['low'], record['high'])})"


def _noise(record: dict[str, Any]) -> float:
    found = [record[key] for key in ("output", "weights") if record[key] is not None]
    return min(found, default=float("inf"))


def _record(row: Row, run: Run) -> dict[str, Any]:
    assert row.metric is not None
    pick = run.recommendation.id if run.recommendation else None
    standing = words.standing(row)
    return {
        "build": row.id, "engine": row.engine, "kind": row.kind, "standing": standing, "ship": row.id == pick,
        row.metric.name: row.metric.value, "quality": row.metric.quality,
    }  # fmt: skip


def _mark_front(records: list[dict[str, Any]], cost: str) -> None:
    """Mark the good enough records of which no other is as good and costs as little, as far as costs are known."""
    good = [r for r in records if r["standing"] == "good enough"]
    for record in records:
        own = (record["quality"], record[cost])
        others = [o for o in good if (o["quality"], o[cost]) != own]
        beaten = any(o["quality"] >= own[0] and o[cost] <= own[1] for o in others)
        record["front"] = record in good and not beaten


def _pick(rows: Sequence[Row], run: Run) -> Row | None:
    pick = run.recommendation.id if run.recommendation else None
    return next((row for row in rows if row.id == pick), None)


def _told(row: Row) -> str:
    return f"{row.id}, with {words.result(row)} in {words.size(row)}"


def _spread(row: Row) -> float:
    found = [draw.drop for draw in row.over_draws.draws] if row.over_draws else [0.0]
    return max(found) - min(found)


def _yes(value: bool) -> str:
    return "yes" if value else "no"
