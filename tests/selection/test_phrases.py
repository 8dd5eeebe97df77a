from __future__ import annotations

import pytest

from bitpick.pipeline.request import make_request
from bitpick.schema.evidence import Measure, Metric, VersusBaseline
from bitpick.selection import phrases
from tests import records
from tests.conftest import linear_model

ACCURACY, MAE, AUC = (
    Measure(name="accuracy"),
    Measure(name="mae", unit="K", higher_is_better=False),
    Measure(name="auc", unit=""),
)


def row(measure=MAE, value=2.0, flips=None):
    versus = VersusBaseline(
        baseline="e:float32", drop=0.02, drop_interval=(-0.01, 0.05), flips=flips, p_value=0.1, margin=0.1, score=2
    )
    metric = Metric(**measure.model_dump(), value=value)
    return records.row("e:x", size_bytes=1500, metric=metric, samples=10_000, versus_baseline=versus)


def test_a_row_and_its_drop_in_the_words_of_the_metric():
    assert phrases.build(row()) == "e:x (2.000 K, 1.5 kB)"
    assert phrases.drop_of(row()) == "a rise of 0.020 K (95% interval -0.010 to 0.050)"
    assert phrases.drop_of(row(ACCURACY, 0.9)) == "a drop of 2.00 points (95% interval -1.00 to 5.00)"


@pytest.mark.parametrize(
    ("measure", "margin", "own", "all_rows"),
    [
        (MAE, "5%", "0.100 K (5% of its MAE)", "5% of its float32's MAE"),
        (MAE, "0.1", "0.100 K", "0.1 K"),
        (Measure(name="deviation", higher_is_better=False), "5%", "10.00 points (5% of what the float model gives)",
         "5% of what the float model gives"),
    ],
)  # fmt: skip
def test_the_margin(tmp_path, measure, margin, own, all_rows):
    request, _ = make_request(linear_model(tmp_path / "m.onnx"), "tiny", margin=margin)
    assert phrases.margin(row(measure), request) == own
    assert phrases.allowed(row(measure).metric, request) == all_rows


def test_what_the_best_build_is_called():
    assert [phrases.best_by(each) for each in (ACCURACY, MAE, AUC)] == ["most accurate", "lowest MAE", "highest AUC"]
    assert [phrases.better(each) for each in (ACCURACY, MAE)] == ["more accurate", "better"]
    assert [each.good for each in (ACCURACY, MAE)] == ["accurate", "good"]


def test_flips_bound_what_can_be_lost():
    [text] = phrases.flips_bound(row(Measure(name="agreement"), 0.99, flips=61))
    assert text.startswith("61 of 10,000 predictions differ from its float32's: 0.61%, at 95% confidence at most 0.7")
    assert phrases.flips_bound(row()) == []


def test_why_agreement_is_hard_to_show():
    assert "Without labels" in phrases.without_labels(Measure(name="agreement"))[0]
    assert phrases.without_labels(MAE) == []


def test_an_estimate_has_two_digits():
    assert [phrases.roughly(count) for count in (7, 123, 8_401)] == [7, 130, 8_500]
