"""Reports of other tasks than classification."""

from __future__ import annotations

import re

import pytest

from bitpick.reports import html, markdown, measured, terminal
from bitpick.schema.evidence import Fidelity, Measure
from tests.example_runs import OWN, PICK, full_run, regression_run
from tests.records import changed, with_row
from tests.reports.rendering import printed, reports

MAE = Measure(name="mae", unit="mm", higher_is_better=False)
AUC = Measure(name="auc", unit="")


def test_an_error_is_never_called_an_accuracy_and_never_told_in_points(tmp_path):
    run = regression_run(tmp_path)
    run = changed(run, request=changed(run.request, max_drop=0.1))
    for name, text in reports(run, tmp_path).items():
        assert "accura" not in text.lower(), name
        assert "points" not in text, name
        assert "MAE" in text, name
        assert "rise" in text, name
        assert "lower is better" in text or name == "notebook"


def test_what_only_classes_have_is_left_out(tmp_path):
    text = reports(regression_run(tmp_path), tmp_path)
    for words in ("each class", "correct", "flips", "predictions", "stratified", "right"):
        assert words not in text["markdown"], words
        assert words not in text["html"], words
    assert "outputs that differ" in text["markdown"]


def test_values_and_drops_are_in_the_unit(tmp_path):
    text = reports(regression_run(tmp_path), tmp_path)
    assert "It gets 0.1050 mm (MAE), a rise of 0.0040 mm on 500 samples" in text["markdown"]
    assert "| MAE | rise, mm (95% interval) |" in text["markdown"]
    assert "0.1050 mm" in text["terminal"]
    assert "<small>0.0850 to 0.1250 mm</small>" in text["html"]
    assert "5% of the float32’s MAE" in text["html"]
    assert "a rise of at most 2% of the float32's MAE" in text["markdown"]
    assert "| MAE | `beta:s8dynamic` |" in text["markdown"]


def test_further_metrics_and_outputs_have_tables(tmp_path):
    text = reports(regression_run(tmp_path), tmp_path)
    assert "| recipe | RMSE | R² |" in text["markdown"]
    assert f"| `{PICK}` | 0.2100 mm | 0.9000 |" in text["markdown"]
    assert f"| `{PICK}` | class | 97.00% | 0.01 |  |" in text["markdown"]
    assert f"| `{PICK}` | value |  |  | 30.5 dB |" in text["markdown"]
    assert "Further metrics" in text["html"]
    assert "30.5 dB" in text["html"]


def test_without_labels_agreement_and_flips(tmp_path):
    run = full_run(tmp_path)
    recommendation = changed(run.recommendation, by_use={"agreement": PICK})
    run = changed(run, task="agreement", diagnosis=None, examples=None, recommendation=recommendation)
    for row in run.rows:
        run = with_row(run, row.id, accuracy=None)
        if row.metric is not None:
            fidelity = Fidelity(agreement=0.97, kl=0.02, sqnr_db=25.0)
            run = with_row(run, row.id, metric=changed(row.metric, name="agreement"), fidelity=fidelity)
    text = reports(run, tmp_path)
    for name, report in text.items():
        assert "accura" not in report.lower(), name
        assert name == "notebook" or ("flips" in report and "25.0 dB" in report), name
    assert "predicts what the float model does for 89.50% of the samples" in text["html"]
    assert "1% of the float32's agreement" in text["markdown"]
    assert "of agreements Wilson’s, of drops Tango’s" in text["html"]


def test_names_and_units_cannot_break_out_of_a_table(tmp_path):
    text = markdown.render(regression_run(tmp_path, lambda name: f"a|b<i>{name}"))
    assert "<i>mm" not in text
    results = text.split("## Results")[1].split("a\\|b", 1)[1].split("Further metrics")[0]
    rows = [line for line in results.splitlines() if line.startswith("| ")]
    assert len(rows) > 3
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in rows}) == 1


@pytest.mark.parametrize(
    ("text", "task", "says"),
    [
        ("5%", "regression", "5% of the float32's MAE"),
        ("0.5", "regression", "0.5 mm"),
        ("5%", "deviation", "5% of what the float model gives"),
    ],
)
def test_the_margin(tmp_path, text, task, says):
    run = regression_run(tmp_path)
    run = changed(run, request=changed(run.request, margin=text), task=task)
    if task == "deviation":
        for row in run.rows:
            if row.metric is not None:
                run = with_row(run, row.id, metric=changed(row.metric, name="deviation", unit="fraction"))
    assert measured.margin(run) == says


def test_headings_and_limits():
    assert (measured.head(MAE), measured.drop_head(MAE)) == ("MAE, mm", "rise, mm")
    assert (measured.head(AUC), measured.drop_head(AUC)) == ("AUC", "drop")
    assert measured.drop_head(Measure(name="accuracy")) == "drop, points"
    assert measured.limit(0.05, MAE) == "5% of the float32's MAE"
    assert measured.limit(0.05, Measure(name="accuracy")) == "5.00 points"
    assert measured.direction(AUC) == "AUC: higher is better."
    assert measured.direction(Measure(name="accuracy")) == ""
    assert measured.measure([]).name == "accuracy"


def test_one_row_by_itself(tmp_path):
    text = printed(terminal.one_row(regression_run(tmp_path).row(OWN)), width=200)
    assert f"{OWN}: MAE 0.1000 mm (95% interval 0.0800 to 0.1200 mm), 300.0 kB" in text
    assert "RMSE: 0.2000 mm" in text


def test_in_charts_better_is_further_up(tmp_path, opened):
    run = regression_run(tmp_path)
    path = tmp_path / "report.html"
    path.write_text(html.render(run, tmp_path), encoding="utf-8")
    page, seen = opened(path)
    plot = page.locator('[data-chart="size"] .plot')
    assert "MAE, mm" in plot.inner_text()
    heights = plot.locator("svg[role=img] g").evaluate_all(
        """groups => groups.flatMap(g => [...g.querySelectorAll(':scope > path[transform], :scope > circle')])
            .map(mark => mark.getBoundingClientRect()).map(box => [box.left, box.top])"""
    )
    made = page.evaluate("JSON.parse(document.getElementById('charts-data').textContent)")
    data = next(chart for chart in made if chart["name"] == "size")
    assert data["metric"]["reversed"]
    lowest = min(data["data"], key=lambda record: record["mae"])
    highest = max(data["data"], key=lambda record: record["mae"])
    # The marks are drawn in the order of the data, the last things in the picture but for tips.
    marks = heights[-len(data["data"]) :]
    tops = {record["build"]: top for record, (_, top) in zip(data["data"], marks, strict=True)}
    assert tops[lowest["build"]] < tops[highest["build"]]
    assert (seen.errors, seen.outside) == ([], [])
