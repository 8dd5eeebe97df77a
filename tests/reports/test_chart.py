from __future__ import annotations

import base64
import csv

import pytest

from bitpick.reports.chart import Chart, Column

DATA = [{"build": "a, b", "drop": 0.5}, {"build": 'c "d"', "drop": None}, {"build": "é", "drop": 0.25}]


@pytest.fixture
def chart() -> Chart:
    columns = Column("build", "Build"), Column("drop", "Drop, points", lambda value: f"{100 * value:.2f}")
    return Chart("drops", "Drops", "Each build.", "None.", columns, DATA, drawn=[2, 0])


def test_a_value_is_written_as_people_read_it_and_none_is_nothing(chart):
    build, drop = chart.columns
    assert [build.shown(record) for record in DATA] == ["a, b", 'c "d"', "é"]
    assert [drop.shown(record) for record in DATA] == ["50.00", "", "25.00"]


def test_some_are_drawn_and_by_default_all(chart):
    assert chart.rows == [DATA[2], DATA[0]]
    assert Chart("x", "", "", "", chart.columns, DATA).rows == DATA
    assert Chart("x", "", "", "", chart.columns, DATA, drawn=[]).rows == []


def test_the_link_holds_all_records_in_plain_units_whatever_is_drawn(chart):
    head, _, content = chart.csv.partition(",")
    assert head == "data:text/csv;charset=utf-8;base64"
    rows = list(csv.DictReader(base64.b64decode(content).decode("utf-8").splitlines()))
    assert [row["build"] for row in rows] == ["a, b", 'c "d"', "é"]
    assert [row["drop"] for row in rows] == ["0.5", "", "0.25"]
