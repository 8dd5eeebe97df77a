from __future__ import annotations

import base64
import csv

import pytest

from bitpick.reports.chart import Chart
from bitpick.reports.charts import charts
from tests.example_runs import FLAGGED, OTHER, OWN, PICK, SLOW, UNSHOWN, full_run, small_run
from tests.records import changed, with_row


@pytest.fixture
def made(tmp_path) -> dict[str, Chart]:
    return {chart.name: chart for chart in charts(full_run(tmp_path))}


def test_a_chart_for_each_thing_that_was_measured(made):
    assert list(made) == ["size", "latency", "drops", "classes", "draws", "layers"]
    assert [chart.name for chart in charts(small_run())] == ["size", "drops", "classes"]
    assert charts(small_run(rows=[], recommendation=None)) == []


def test_the_findings_are_in_words(made):
    assert made["size"].finding == (
        f"The build to ship is {PICK}, with 89.50% in 100.0 kB. "
        f"The smallest of all is {UNSHOWN}, with 88.00% in 95.0 kB."
    )
    assert made["latency"].finding == (
        "The build to ship takes 0.45 (95% interval 0.43 to 0.48) times as long as the reference. "
        f"The lowest ratio of a quantized build is that of {UNSHOWN}: 0.40 (95% interval 0.38 to 0.43). "
        "1 of 6 are not told from the reference here, and drawn faint."
    )
    assert made["drops"].finding.startswith("2 of the 3 builds that were tested")
    assert made["classes"].finding == f"The largest is 9.00 points, in the class ant, of {FLAGGED}."
    assert made["draws"].finding.endswith("most: by 0.20 points.")
    assert made["layers"].finding == "The noisiest output is that of second: 19.0 dB."


def test_the_front_is_of_those_that_are_good_enough(made):
    front = {name: {r["build"] for r in made[name].data if r["front"]} for name in ("size", "latency")}
    assert front == {"size": {SLOW}, "latency": {PICK, SLOW}}


def test_a_time_that_is_not_told_from_the_references_is_drawn_faint(tmp_path):
    latency = next(chart for chart in charts(full_run(tmp_path)) if chart.name == "latency")
    assert [record["build"] for record in latency.data if not record["resolvable"]] == [SLOW]
    assert {record["build"]: record["clock"] for record in latency.data}[SLOW] == "wall time"


def test_the_csv_holds_every_record_in_plain_units(made):
    content = base64.b64decode(made["drops"].csv.partition(",")[2]).decode()
    rows = {row["build"]: row for row in csv.DictReader(content.splitlines())}
    assert set(rows) == {PICK, UNSHOWN, FLAGGED, SLOW}
    assert float(rows[FLAGGED]["drop"]) == 0.08
    assert rows[FLAGGED]["standing"] == "flagged"
    assert {OWN, OTHER}.isdisjoint(rows)


def test_of_many_classes_those_that_change_most_are_drawn(tmp_path):
    run = full_run(tmp_path)
    for row in run.rows:
        if row.accuracy:
            shift = 0 if row.kind == "baseline" else 0.001
            per_class = {f"c{i}": 0.5 - shift * i for i in range(50)}
            run = with_row(run, row.id, accuracy=changed(row.accuracy, per_class=per_class))
    classes = next(chart for chart in charts(run) if chart.name == "classes")
    assert {record["class"] for record in classes.rows} == {f"c{i}" for i in range(30, 50)}
    assert len({record["class"] for record in classes.data}) == 50
    assert "The 20 classes that change most are drawn." in classes.shows


def test_of_many_layers_the_noisiest_are_drawn_in_the_graphs_order(tmp_path):
    run = full_run(tmp_path)
    layer = run.diagnosis.layers[0]
    levels = [30.0 + (7 * i) % 60 for i in range(60)]
    many = tuple(
        changed(layer, name=f"l{i}", activation_sqnr_db=level, weight_sqnr_db=None) for i, level in enumerate(levels)
    )
    run = changed(run, diagnosis=changed(run.diagnosis, layers=many))
    layers = next(chart for chart in charts(run) if chart.name == "layers")
    assert [r["layer"] for r in layers.rows] == [f"l{i}" for i, level in enumerate(levels) if level < 70]
    assert len(layers.data) == 60
    assert "The 40 noisiest layers are drawn." in layers.shows
