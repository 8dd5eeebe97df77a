from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bitpick import api
from bitpick.api.runs import Comparison
from bitpick.errors import OutputError, RequestError
from tests.example_runs import FLAGGED, PICK, full_run


@pytest.fixture
def folder(tmp_path) -> Path:
    """A run directory with nothing but run.json, and images."""
    (tmp_path / "run").mkdir()
    run = full_run(tmp_path / "run")
    (tmp_path / "run" / "run.json").write_text(run.model_dump_json(exclude_none=True))
    return tmp_path / "run"


def test_a_comparison_shows_itself_and_where_its_build_is(tmp_path):
    found = Comparison(tmp_path, full_run(tmp_path))
    assert found._repr_html_().startswith('<div class="bitpick">')
    assert repr(found) == f"Comparison(folder={str(tmp_path)!r}, rows={len(found.rows)}, recommended={PICK!r})"
    assert found.build == tmp_path / "builds" / PICK.replace(":", "__")


def test_rows_are_a_table_of_plain_units(tmp_path):
    pytest.importorskip("pandas")
    found = Comparison(tmp_path, full_run(tmp_path))
    frame = found.to_pandas()
    assert list(frame.index) == [row.id for row in found.rows]
    assert frame.loc[PICK, "metric.value"] == 0.895
    assert frame.loc[PICK, "versus_baseline.drop"] == pytest.approx(0.005)
    assert frame.loc[PICK, "size_bytes"] == 100_000


def test_a_run_that_recommends_none_has_no_build(tmp_path):
    run = full_run(tmp_path)
    nothing = run.recommendation.model_copy(update={"id": None})
    for recommendation in (None, nothing):
        found = Comparison(tmp_path, run.model_copy(update={"recommendation": recommendation}))
        assert found.build is None
        assert repr(found).endswith("recommended=None)")


def test_reports_are_written_again_and_run_json_stays(folder):
    before = (folder / "run.json").read_bytes()
    found = api.report(str(folder))
    assert found.recommendation.id == PICK
    assert PICK in (folder / "report.md").read_text()
    assert PICK in (folder / "report.html").read_text()
    assert (folder / "run.json").read_bytes() == before


def test_where_no_run_is_nothing_is_written(tmp_path):
    for asked in (api.report, api.gate, lambda place: api.samples(place, tmp_path / "out")):
        with pytest.raises(OutputError, match=r"holds no run: No such file or directory \(.*run\.json\)"):
            asked(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_report_that_cannot_be_written_says_what_to_do(folder):
    (folder / "report.md").mkdir()
    with pytest.raises(OutputError, match="the report cannot be written in") as error:
        api.report(folder)
    assert f"bitpick report {folder}" in error.value.fix


def test_limits_are_in_points_and_kilobytes(folder):
    # PICK loses 0.5 points and has 100 kB
    limits = [("max_drop", 0.51, 0.49), ("max_size", 100, 99.999)]
    for name, kept, broken in limits:
        for limit, passed in ((kept, True), (broken, False)):
            (check,) = api.gate(folder, **{name: limit})
            assert (check.row, check.passed) == (PICK, passed), check.text


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"max_drop": -1}, "the largest drop -1 is out of range"),
        ({"max_size": float("inf")}, "the largest size inf is out of range"),
        ({"max_latency_ratio": float("nan")}, "the largest latency ratio nan is out of range"),
        ({"max_class_drop": -0.5}, "the largest class drop -0.5 is out of range"),
        ({"min_coverage": 75}, "the coverage 75 is out of range"),
    ],
)
def test_a_limit_that_is_none_is_refused_before_anything_is_read(tmp_path, rule, says):
    with pytest.raises(RequestError) as error:
        api.gate(tmp_path / "nowhere", **rule)
    assert says in str(error.value)


def test_checks_are_written_for_ci_and_a_file_that_cannot_be_is_named(folder, tmp_path):
    checks = api.gate(folder, rows=[FLAGGED, PICK], max_drop=1, junit=tmp_path / "gate.xml")
    assert [(check.row, check.passed) for check in checks] == [(FLAGGED, False), (PICK, True)]
    suite = ET.fromstring((tmp_path / "gate.xml").read_text().partition("?>")[2])
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    with pytest.raises(OutputError, match=r"no/gate\.xml cannot be written: No such file") as error:
        api.gate(folder, junit=tmp_path / "no" / "gate.xml")
    assert "--junit" in error.value.fix


def test_an_earlier_run_is_read_from_its_directory(folder, tmp_path):
    (tmp_path / "before").mkdir()
    run = json.loads((folder / "run.json").read_text())
    row = next(each for each in run["rows"] if each["id"] == PICK)
    row["size_bytes"] //= 2
    (tmp_path / "before" / "run.json").write_text(json.dumps(run))
    checks = {check.rule: check.passed for check in api.gate(folder, against=tmp_path / "before")}
    assert checks["against"]
    assert not checks["against_size"]
