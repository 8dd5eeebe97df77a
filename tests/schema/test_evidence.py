from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitpick.schema.evidence import Measure, Metric

ACCURACY = Measure(name="accuracy")
MAE = Measure(name="mae", unit="°C", higher_is_better=False)
DEVIATION = Measure(name="deviation", higher_is_better=False)
R2 = Measure(name="r2", unit="")
AUC = Measure(name="auc", unit="")
MINE = Measure(name="my_score", unit="mm")


@pytest.mark.parametrize(
    ("value", "shown", "drop"),
    [
        (0.06482, "0.06482", "0.00017"),
        (0.7, "0.7000", "0.0002"),
        (1234.5, "1234", "0"),
        (0.0, "0.000", "0.000"),
        (3e-9, "3e-09", "0.000175"),
    ],
)
def test_a_drop_has_the_decimals_of_the_value(value, shown, drop):
    metric = Metric(name="mae", unit="", higher_is_better=False, value=value)
    assert metric.shown() == shown
    assert metric.change(0.000175) == drop
    assert not metric.change(-1e-12).startswith("-0.0")


@pytest.mark.parametrize(
    ("measure", "label"), [(ACCURACY, "accuracy"), (MAE, "MAE"), (R2, "R²"), (AUC, "AUC"), (MINE, "my score")]
)
def test_its_name_is_written_as_people_do(measure, label):
    assert measure.label == label


@pytest.mark.parametrize(
    ("measure", "value", "interval", "changed"),
    [
        (ACCURACY, "87.19%", "86.40% to 87.94%", "0.44 points"),
        (MAE, "0.8719 °C", "0.864 to 0.8794 °C", "0.0044 °C"),
        (AUC, "0.8719", "0.864 to 0.8794", "0.0044"),
    ],
)
def test_values_intervals_and_changes_have_the_unit_once(measure, value, interval, changed):
    assert measure.formatted(0.8719) == value
    assert measure.between((0.864, 0.8794)) == interval
    assert measure.changed(0.0044) == changed


@pytest.mark.parametrize("measure", [ACCURACY, MAE, AUC])
def test_nothing_is_never_less_than_nothing(measure):
    assert not measure.change(-0.0).startswith("-")
    assert not measure.changed(-0.0).startswith("-")


@pytest.mark.parametrize(
    ("measure", "limits"),
    [
        (ACCURACY, (0.0, 1.0)),
        (AUC, (0.0, 1.0)),
        (MAE, (0.0, math.inf)),
        (DEVIATION, (0.0, math.inf)),  # written in percent, and can be more than all of it
        (R2, (-math.inf, 1.0)),
        (MINE, (-math.inf, math.inf)),
    ],
)
def test_what_values_there_can_be(measure, limits):
    assert measure.limits == limits


@pytest.mark.parametrize(
    ("measure", "value", "interval", "possible"),
    [
        (ACCURACY, 0.9, (-0.3, 0.2), (-0.1, 0.2)),  # no build gets more than 100%
        (ACCURACY, 0.1, (0.05, 0.2), (0.05, 0.1)),
        (MAE, 2.0, (-3.0, 5.0), (-2.0, 5.0)),  # nor has an error below 0
        (R2, 0.7, (-1.0, 9.0), (-0.3, 9.0)),
        (MINE, 0.7, (-1.0, 9.0), (-1.0, 9.0)),
    ],
)
def test_no_build_loses_or_gains_more_than_there_is(measure, value, interval, possible):
    assert measure.possible(value, interval) == pytest.approx(possible)


@given(
    measure=st.sampled_from([ACCURACY, AUC, MAE, DEVIATION, R2]),
    value=st.floats(0, 1),
    other=st.floats(0, 1),
    ends=st.tuples(st.floats(0, 3), st.floats(0, 3)),
)
def test_a_drop_that_there_was_stays_in_the_interval(measure, value, other, ends):
    drop = value - other if measure.higher_is_better else other - value
    low, high = measure.possible(value, (drop - ends[0], drop + ends[1]))
    assert drop - ends[0] <= low <= drop <= high <= drop + ends[1]
    assert measure.possible(value, (low, high)) == (low, high)


def test_a_margin_is_told_as_it_was_asked_for():
    assert ACCURACY.margin("1%", "the float32's") == "1% of the float32's accuracy"
    assert ACCURACY.margin("0.5", "the float32's") == "0.5 points"
    assert MAE.margin("0.5", "its") == "0.5 °C"
    assert AUC.margin("0.01", "its") == "0.01"
    assert DEVIATION.margin("5%", "its") == "5% of what the float model gives"


def test_quality_goes_up_and_a_scale_is_above_zero_whichever_way_the_metric_goes():
    error = Metric(name="mae", unit="mm", higher_is_better=False, value=2.0)
    better = error.model_copy(update={"value": 1.5})
    assert better.quality > error.quality
    assert error.scale == 2.0
    assert Metric(name="r2", unit="", value=-0.4).scale == 0.4
    accuracy = Metric(name="accuracy", value=0.9)
    assert (accuracy.quality, accuracy.scale) == (0.9, 1.0)  # of an accuracy shares are points
