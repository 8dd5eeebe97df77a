from __future__ import annotations

import pytest

from bitpick.reports import speeds
from bitpick.schema.speed import BenchRecord
from tests.records import changed, row


def timed(**fields):
    told = {
        "p50": 0.000363, "p90": 0.0005, "cpu_time": 0.000263, "clock": "cpu", "reference": "a:float32", "control": 1.0,
        "control_interval": (0.99, 1.01), "threads": 1, "processes": 5, "pairs": 100, "ratio_own": 0.5,
        "ratio_reference": 0.45, "ratio_own_interval": (0.49, 0.51), "ratio_reference_interval": (0.44, 0.46),
        "ratio_reference_wall": 0.47,
    }  # fmt: skip
    return row(latency=told | fields)


def test_times_and_their_ratios_are_of_the_clock_that_decides():
    assert speeds.latency(timed()) == "263 µs"
    assert speeds.latency(timed(clock="wall", clock_reason="it waits")) == "363 µs"
    assert speeds.wall(timed()) == "363 µs, 90%: 500 µs"
    assert speeds.ratio_own(timed()) == "0.50 (0.49 to 0.51)"
    assert speeds.ratio_reference(timed()) == "0.45 (0.44 to 0.46)"
    assert speeds.ratio_wall(timed()) == "0.47"
    assert speeds.time_beside(timed()) == "0.45"


@pytest.mark.parametrize(
    ("interval", "says", "short"),
    [
        ((0.8, 1.02), "0.90 (0.80 to 1.02), not resolvable here", "0.90?"),
        ((0.98, 1.02), "0.90 (0.98 to 1.02)", "0.90"),  # no difference of 5% either way
        ((0.8, 0.99), "0.90 (0.80 to 0.99)", "0.90"),
        (None, "0.90, not resolvable here", "0.90?"),
    ],
)
def test_a_ratio_that_is_not_told_from_1_is_shown_and_said_to_be(interval, says, short):
    found = timed(ratio_reference=0.9, ratio_reference_interval=interval)
    assert speeds.ratio_reference(found) == says
    assert speeds.time_beside(found) == short


def test_a_run_of_an_older_version_keeps_what_it_could_not_tell():
    """Older versions had one clock, and claimed all ratios of a row or none."""
    older = {"p50": 0.000263, "cpu_time": None, "clock": "wall", "ratio_reference_wall": None}
    assert speeds.ratio_reference(timed(**older, resolvable=True)) == "0.45 (0.44 to 0.46)"
    assert speeds.ratio_reference(timed(**older, resolvable=False)) == "0.45, not resolvable here"
    assert speeds.row_clocks([timed(**older)]) == "Ratios are of wall time: an older version measured nothing else."


def test_the_reference_is_beside_itself():
    reference = timed(reference="e:s8u8-per_channel-minmax", ratio_reference=None, ratio_reference_wall=None)
    assert speeds.ratio_reference(reference) == "the reference"
    assert speeds.time_beside(reference) == "1"
    assert speeds.ratio_wall(reference) == ""


def test_what_was_not_timed_is_empty():
    for told in (speeds.latency, speeds.wall, speeds.ratio_own, speeds.ratio_reference, speeds.ratio_wall):
        assert told(row()) == ""
    assert speeds.time_beside(row()) == speeds.throughput(row()) == speeds.memory(row()) == ""
    assert speeds.row_clocks([row()]) == ""


def test_the_clock_is_told_once_and_the_exceptions_by_name():
    all_cpu = "Ratios are of CPU time, which other processes hardly disturb."
    assert speeds.row_clocks([timed(), timed()]) == all_cpu
    waiting = timed(clock="wall", clock_reason="it waits")
    assert speeds.row_clocks([timed(), waiting]) == f"{all_cpu} Those of {waiting.id} are of wall time: it waits."
    assert speeds.row_clocks([waiting, waiting]) == "Ratios are of wall time: it waits."


def test_throughput_and_memory():
    fast = row(throughput={"batch": 32, "threads": 1, "samples_per_second": 12345.6}, memory_bytes=12_345_678)
    assert speeds.throughput(fast) == "12,346 a second"
    assert speeds.memory(fast) == "12.3 MB"


def test_one_process_is_said_to_be_too_few():
    record = BenchRecord(
        batch=1, threads=1, processes=1, pairs=3, clock="cpu", control=1.0, control_interval=None, control_wall=1.1,
        control_wall_interval=None, rows=[],
    )  # fmt: skip
    assert speeds.control(record).endswith("One process is too few for intervals, and nothing is claimed.")
    record = changed(record, control_interval=(0.98, 1.03))
    assert "1.000 (0.980 to 1.030), which makes the intervals wider" in speeds.control(record)
