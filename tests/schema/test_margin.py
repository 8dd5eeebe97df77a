from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitpick.errors import RequestError
from bitpick.schema.evidence import Metric
from bitpick.schema.margin import margin_of

METRIC = Metric(name="accuracy", value=0.8719)
ERROR = Metric(name="mae", unit="mm", higher_is_better=False, value=2.0)
SCORE = Metric(name="r2", unit="", value=-0.5)


def test_margins():
    assert margin_of("1%", METRIC) == pytest.approx(0.008719)
    assert margin_of("0.5", METRIC) == pytest.approx(0.005)
    for text in ("", "0", "-1", "100", "x%", "nan", "1 %%"):
        with pytest.raises(RequestError, match="the margin"):
            margin_of(text, METRIC)


def test_a_share_is_of_the_value_and_a_number_is_in_the_unit():
    assert margin_of("5%", ERROR) == pytest.approx(0.1)
    assert margin_of("0.5", ERROR) == 0.5
    assert margin_of("250", ERROR) == 250  # an error has no largest value
    assert margin_of("1%", SCORE) == pytest.approx(0.005)  # never below 0


def test_a_share_may_be_of_something_else():
    assert margin_of("5%", ERROR, base=10.0) == pytest.approx(0.5)
    assert margin_of("0.5", ERROR, base=10.0) == 0.5


def test_before_anything_is_measured_it_is_of_an_accuracy_of_1():
    assert margin_of("1%") == pytest.approx(0.01)
    assert margin_of("2") == pytest.approx(0.02)


@pytest.mark.parametrize("text", ["100%", "inf", "inf%", "-0.1", "%", "0%", "1e400"])
def test_what_is_no_margin_of_an_error_either(text):
    with pytest.raises(RequestError, match="is no margin") as error:
        margin_of(text, ERROR)
    assert error.value.expected == "a share of the float32's value, as 1%, or points, as 0.5"


@given(
    number=st.floats(1e-6, 99.9),
    more=st.floats(1.001, 10),
    metric=st.sampled_from([None, METRIC, ERROR, SCORE]),
    unit=st.sampled_from(["", "%"]),
)
def test_a_larger_number_is_a_larger_margin_and_none_is_zero(number, more, metric, unit):
    larger = min(number * more, 99.99)
    least, most = margin_of(f"{number!r}{unit}", metric), margin_of(f"{larger!r}{unit}", metric)
    assert 0 < least <= most
