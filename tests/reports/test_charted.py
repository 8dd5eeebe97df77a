from __future__ import annotations

from bitpick.reports.charted import Charted
from bitpick.schema.evidence import Measure

ACCURACY = Charted(Measure(name="accuracy"))
MAE = Charted(Measure(name="mae", unit="mm", higher_is_better=False))
AUC = Charted(Measure(name="auc", unit=""))


def test_a_title_begins_with_the_metric():
    assert [each.name for each in (ACCURACY, MAE, AUC)] == ["Accuracy", "MAE", "AUC"]


def test_what_is_further_up_is_better():
    assert ACCURACY.better == "more accurate"
    assert MAE.better == "a lower MAE, which is better"
    assert AUC.better == "a higher AUC, which is better"
    assert [each.axis.reversed for each in (ACCURACY, MAE, AUC)] == [False, True, False]


def test_a_fraction_is_in_percent_and_its_drop_in_points():
    axis = ACCURACY.axis
    assert (axis.head, axis.drop, axis.factor, axis.unit, axis.points) == (
        "accuracy, %", "drop, points", 100, "%", " points",
    )  # fmt: skip


def test_other_metrics_are_in_their_unit_or_none():
    axis = MAE.axis
    assert (axis.head, axis.drop, axis.factor, axis.unit, axis.points) == ("MAE, mm", "rise, mm", 1, " mm", " mm")
    assert (AUC.axis.head, AUC.axis.drop, AUC.axis.unit, AUC.axis.points) == ("AUC", "drop", "", "")


def test_columns_say_values_with_the_unit_and_drops_without_as_their_head_has_it():
    record = {"mae": 0.5, "drop": 0.04, "low": -0.0, "high": None}
    assert MAE.column.shown(record) == "0.5 mm"
    assert (MAE.drop.head, MAE.drop.shown(record)) == ("rise, mm", "0.04")
    assert [column.shown(record) for column in MAE.interval] == ["0", ""]
