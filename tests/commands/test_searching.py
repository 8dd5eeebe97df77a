"""`bitpick search` as its users meet it."""

from __future__ import annotations

import json

import pytest

from tests.commands.command import bitpick, left_in

pytestmark = pytest.mark.frameworks


def search(place, *arguments):
    return bitpick(place, "search", "../linear.onnx", "--engine", "fake", "--minutes", 0.5, "--no-bench", *arguments)


def test_it_ships_what_it_found_and_says_how_it_was_judged(place):
    done = search(place, "--goal", "accuracy", "--margin", 20, "--out", "run")
    assert done.returncode == 0, done.stderr
    run = json.loads((place / "run" / "run.json").read_text())
    record = run["search"]
    assert (run["command"], run["state"], record["goal"]) == ("search", "complete", "accuracy")
    assert record["searched"] + record["confirmed"] == run["data"]["evaluation"]["count"]
    native = [row for row in run["rows"] if row["status"] == "ok" and row["target"] == "host"]
    assert {row["samples"] for row in native} == {record["confirmed"]}
    sentence = f"tried {len(record['looks'])} of {record['space']} recipes on {record['searched']:,} evaluation samples"
    for text in (done.stdout, (place / "run" / "report.md").read_text(), (place / "run" / "report.html").read_text()):
        assert sentence in text
    assert bitpick(place, "report", "run").stdout == done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--goal", "beauty"], "there is no goal 'beauty'"),
        (["--minutes", "0"], "0 minutes are out of range"),
        (["--for", "fridge"], "there is no use 'fridge'"),
    ],
)
def test_a_wrong_request_leaves_nothing(place, arguments, says):
    before = left_in(place)
    done = bitpick(place, "search", "../linear.onnx", *arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert left_in(place) == before
