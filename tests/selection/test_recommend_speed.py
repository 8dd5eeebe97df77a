"""What measured times do to a recommendation."""

from __future__ import annotations

import pytest

from bitpick.schema.run import Flag
from bitpick.schema.speed import Latency
from tests.selection.judging import recommended, sized

REFERENCE = "onnxruntime:float32"
SLOW = Flag(code="slower_than_float", text="takes 2.00 times as long as its own float32")


def timed(ratio, size=100, width=0.01, reason=None, **fields):
    latency = Latency(
        p50=ratio * 2e-4, p90=ratio * 2e-4, cpu_time=ratio * 1e-4, clock="wall" if reason else "cpu",
        clock_reason=reason, ratio_own=ratio, ratio_own_interval=(ratio - width, ratio + width),
        ratio_own_wall=ratio, reference=REFERENCE, ratio_reference=ratio, ratio_reference_wall=ratio + 0.02,
        ratio_reference_interval=None if width is None else (ratio - width, ratio + width), control=1,
        control_interval=(0.99, 1.01), threads=1, processes=5, pairs=100,
    )  # fmt: skip
    return sized(size, latency=latency, **fields)


def test_within_a_tenth_of_the_smallest_the_fastest_is_picked():
    found = recommended(
        [
            ("a:accurate", range(5), timed(0.9, size=105)),
            ("a:fast", range(40), timed(0.4, size=105)),
            ("b:fastest", range(40), timed(0.2, size=200)),
            ("b:small", range(40), timed(0.8, size=100)),
        ]
    )
    assert found.id == "a:fast"
    assert found.by_use["latency"] == "b:fastest"
    assert found.by_use["size"] == "b:small"
    assert found.by_use["accuracy"] == "a:accurate"
    text = " ".join(found.because)
    assert "a:fast (99.20%, 0.1 kB, 40 µs) is the fastest build at most 10% larger than the smallest that" in text
    assert (
        "Speed: 40 µs of CPU time for one sample on one thread, 0.40 times that of onnxruntime:float32 "
        "(95% interval 0.39 to 0.41; 0.42 in wall time)"
    ) in text
    assert "Fastest of them: b:fastest (99.20%, 0.1 kB, 20 µs)" not in text  # 0.2 kB
    assert "Fastest of them: b:fastest (99.20%, 0.2 kB, 20 µs)." in text


def test_of_times_that_are_not_shown_to_differ_the_most_accurate_is_picked():
    rows = [("a:x", range(40), timed(0.40)), ("a:y", range(5), timed(0.41)), ("a:z", range(1), timed(0.45))]
    found = recommended(rows)
    assert found.id == found.by_use["latency"] == "a:y"
    assert "is the most accurate build at most 10% larger than the smallest that is shown" in found.because[0]
    assert "of those that take at most 10% longer than the fastest" in found.because[0]


def test_a_build_that_is_slower_than_its_float_is_passed_over_and_said_to_be():
    found = recommended(
        [("a:small", range(5), timed(2.0, size=50, flags=[SLOW])), ("a:large", range(20), timed(0.5, size=300))]
    )
    assert found.id == "a:large"
    assert found.by_use["size"] == "a:small"
    text = " ".join(found.because)
    assert "that is shown to be good enough and not slower than its float32." in text
    assert "Smallest of them: a:small (99.90%, 0.1 kB, 200 µs), which is slower than its own float32." in text


def test_where_all_are_slower_one_of_them_is_picked():
    found = recommended([("a:x", range(5), timed(2.0, flags=[SLOW])), ("a:y", range(20), timed(3.0, flags=[SLOW]))])
    assert found.id == "a:x"


@pytest.mark.parametrize("width", [0.001, 0.02, 0.05])
def test_the_pick_does_not_hang_on_how_noisy_the_machine_was(width):
    """The same ratios, known better or worse: on a busy machine the same build is picked."""
    rows = [("a:x", range(5), timed(0.50, width=width)), ("a:y", range(40), timed(0.40, width=width))]
    assert recommended(rows).id == "a:y"
    rows = [("a:x", range(5), timed(0.41, width=width)), ("a:y", range(40), timed(0.40, width=width))]
    assert recommended(rows).id == "a:x"


def test_times_that_are_loosely_known_decide_where_they_are_shown_to_differ():
    loose = {"width": 0.15, "reason": "an inference has 2 threads"}
    found = recommended([("a:x", range(5), timed(0.45, **loose)), ("a:y", range(40), timed(0.35, **loose))])
    assert found.id == "a:x"  # 0.35 is not shown to be less
    assert "of those that are not shown to be slower than another" in found.because[0]
    text = " ".join(found.because)
    assert "did not tell the times of a:x, a:y to within 25% (from wall time: an inference has 2 threads)" in text
    found = recommended([("a:x", range(5), timed(0.9, **loose)), ("a:y", range(40), timed(0.35, **loose))])
    assert found.id == "a:y"


def test_the_fastest_is_a_build_whose_time_is_known():
    noisy, known = timed(0.34, width=0.15), timed(0.36)
    rows = [("a:noisy", range(40), noisy), ("a:fast", range(20), known), ("a:slow", range(5), timed(0.45))]
    assert recommended(rows).id == "a:fast"


def test_a_row_without_times_is_not_the_fastest():
    found = recommended([("a:x", range(40), timed(0.5)), ("a:y", range(5), sized(100))])
    assert found.by_use["latency"] == "a:x"
    assert found.id == "a:y"  # nothing shows it to be slower, and it is more accurate
    assert "of those that are not shown to be slower than another" in found.because[0]


def test_a_row_whose_time_is_hardly_known_is_not_as_fast_as_one_that_is():
    found = recommended([("a:noisy", range(5), timed(1.5, width=0.95)), ("a:fast", range(40), timed(0.6))])
    assert found.id == found.by_use["latency"] == "a:fast"


@pytest.mark.parametrize(("limit", "pick"), [(0.95, "a:x"), (0.6, "a:y"), (0.5, None), (0.3, None)])
def test_a_limit_on_the_latency_ratio(limit, pick):
    rows = [("a:x", range(5), timed(0.9, size=100)), ("a:y", range(20), timed(0.5, size=300))]
    found = recommended(rows, max_latency_ratio=limit)
    assert found.id == pick
    if pick is None:
        assert f"are shown to take at most {limit} of the reference's time" in found.because[0]


def test_a_limit_is_not_kept_by_times_that_are_not_known():
    unknown = timed(0.5)
    unknown["latency"] = unknown["latency"].model_copy(update={"ratio_reference_interval": None})
    rows = [("a:x", range(5), unknown), ("a:y", range(5), sized(100))]
    found = recommended(rows, max_latency_ratio=0.9)
    assert found.id is None
    assert "(of 2 the time is not known)" in found.because[0]


def test_the_pareto_front_knows_times_that_are_shown_to_differ():
    rows = [
        ("a:accurate", range(5), timed(0.5, size=100)),
        ("a:fast", range(20), timed(0.2, size=100)),
        ("a:alike", range(20), timed(0.505, size=100)),
        ("a:slow", range(5), timed(0.9, size=100)),
    ]
    assert recommended(rows).pareto == ["a:accurate", "a:fast"]
