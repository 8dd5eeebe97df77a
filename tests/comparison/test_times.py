"""Timing within a whole comparison, with the fake engine."""

from __future__ import annotations

import json

import pytest

from bitpick.errors import RequestError, RunError, WorkerError
from bitpick.executors.inline import InlineExecutor
from bitpick.measures import latency
from bitpick.pipeline import directory as stores
from bitpick.speed import lanes, measuring

PLAIN, OTHER = "fake:s8s8-per_tensor-minmax", "fake:s8s8-per_channel-minmax"


class Broken(InlineExecutor):
    """Cannot open one build to time it."""

    def run(self, environment, function, payload, *progress):
        if function.endswith("bench_open") and payload["key"] == OTHER:
            raise WorkerError("it does not open")
        return super().run(environment, function, payload, *progress)


@pytest.fixture
def compare(compare, monkeypatch):
    """Compare two builds, timed quickly."""
    monkeypatch.setattr(latency, "_OPEN", {})
    monkeypatch.setattr(lanes, "_WARM_SECONDS", 0.01)
    monkeypatch.setattr(measuring, "_MOST_ROUNDS", 3)

    compare.options |= {"recipes": (PLAIN, OTHER), "calibration_size": 50, "margin": "20", "bench_seconds": 20}
    return compare


def latencies(run):
    return {row.id: row.latency for row in run.rows if row.latency is not None}


def test_all_rows_are_timed_and_a_continued_run_keeps_that(compare):
    first = compare()
    assert set(latencies(first)) == {"fake:float32", PLAIN, OTHER}
    assert (first.speed.reference, first.speed.untimed) == ("fake:float32", {})
    raw = json.loads((compare.directory.build(PLAIN) / "timings.json").read_text())
    assert sum(map(len, raw["wall"]["row"])) == first.row(PLAIN).latency.pairs
    second = compare(fresh=None)
    assert latencies(second) == latencies(first)
    assert second.speed == first.speed


def test_without_seconds_or_workers_nothing_is_timed(compare):
    run = compare(bench_seconds=0)
    assert latencies(run) == {}
    assert run.speed is None


def test_a_row_that_cannot_be_timed_says_why_and_is_not_tried_again(compare):
    run = compare(fresh=Broken)
    assert run.speed.untimed == {OTHER: "it does not open"}
    assert set(latencies(run)) == {"fake:float32", PLAIN}
    assert run.row(OTHER).status == "ok"
    assert compare(fresh=None).speed.untimed == {OTHER: "it does not open"}


def test_times_beside_a_float_that_is_made_anew_are_taken_anew(compare):
    first = compare()
    path = compare.directory.root / "run.json"
    document = json.loads(path.read_text())
    document["rows"][0]["files"][0]["sha256"] = "0" * 64  # that float32 was another one
    path.write_text(json.dumps(document))
    again = compare()
    assert set(latencies(again)) == set(latencies(first))
    assert latencies(again)[PLAIN] != latencies(first)[PLAIN]


def test_times_beside_another_reference_are_taken_anew(compare):
    first = compare()
    path = compare.directory.root / "run.json"
    text = path.read_text().replace('"reference": "fake:float32"', '"reference": "gone:float32"')
    path.write_text(text)
    again = compare()
    assert {each.reference for each in latencies(again).values()} == {"fake:float32"}
    assert latencies(again)[PLAIN] != latencies(first)[PLAIN]


def test_a_request_that_proves_wrong_late_loses_nothing(compare, monkeypatch):
    from bitpick.comparison import targets

    def late(*_):
        raise RequestError("a file of the request is gone")

    monkeypatch.setattr(targets, "recommend", late)
    with pytest.raises(RunError, match="is gone"):
        compare()
    run = stores.read(compare.directory.root)
    assert run.state == "failed"
    assert set(latencies(run)) == {"fake:float32", PLAIN, OTHER}


def test_a_row_that_gave_way_is_not_timed_by_a_later_round_of_the_same_run(compare, monkeypatch):
    """Repairs come late, and have the rest of the time to themselves."""
    from bitpick.comparison import targets, times

    asked = []
    real = times.measuring.measure

    def give_way(builds, reference, *others):
        asked.append(set(builds))
        found, untimed = real(builds, reference, *others)
        found.pop(OTHER, None)
        return found, untimed | {OTHER: "it gave way"}

    monkeypatch.setattr(times.measuring, "measure", give_way)
    check = targets.check
    monkeypatch.setattr(
        targets, "check", lambda rows, request, host, timed: (timed(), check(rows, request, host, timed))[1]
    )
    run = compare()
    assert len(asked) == 1
    assert run.speed.untimed == {OTHER: "it gave way"}
