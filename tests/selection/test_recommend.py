from __future__ import annotations

import numpy as np
import pytest

from tests.selection.judging import TARGETS, TASK, N, recommended, sized


def test_the_most_accurate_within_a_tenth_of_the_smallest_that_is_good_enough():
    found = recommended(
        [
            ("a:best", range(20), sized(300)),
            ("a:pick", range(40, 65), sized(105)),
            ("b:small", range(100, 145), sized(100)),
            ("b:tiny", range(200), sized(50)),  # loses 4 points
        ]
    )
    assert found.id == "a:pick"
    assert found.by_use == {"accuracy": "a:best", "size": "b:small", "a": "a:pick", "b": "b:small"}
    assert found.pareto == ["a:best", "a:pick", "b:small"]
    text = " ".join(found.because)
    assert "a:pick (99.50%, 0.1 kB) is the most accurate build at most 10% larger than the smallest that" in text
    assert "shown to be under 2.00 points; 3 of 4 builds are, all tested at once at a one-sided 5%." in text
    assert "Most accurate of the good ones: a:best (99.60%, 0.3 kB), which ties with it." in text
    assert "Smallest of them: b:small (99.10%, 0.1 kB)." in text
    assert "Not shown to be good enough: b:tiny, a drop of 4.00 points" in text
    assert "no number of samples would show it" in text


def test_the_smallest_is_said_to_be_it():
    found = recommended([("a:x", range(20), sized(100)), ("a:y", range(20), sized(300))])
    assert found.id == "a:x"
    assert found.because[0] == "a:x (99.60%, 0.1 kB) is the smallest build that is shown to be good enough."
    assert found.pareto == ["a:x"]


def test_a_build_that_is_shown_to_be_more_accurate_is_said_to_be():
    found = recommended([("a:x", range(60), sized(100)), ("a:y", range(60, 70), sized(300))])
    assert found.id == "a:x"
    assert any(
        line.startswith("Most accurate of the good ones: a:y") and "shown to be more accurate" in line
        for line in found.because
    )


def test_what_would_settle_a_row_is_told():
    found = recommended([("a:x", range(60), {}), ("a:y", range(200, 285), {})], margin="1.8")
    (line,) = [line for line in found.because if line.startswith("Not shown to be good enough: a:y")]
    assert "samples would show it, if it stays so" in line


def test_no_row_good_enough_is_a_legal_answer():
    found = recommended([("a:x", range(98), {})])
    assert found.id is None
    assert found.because[0] == "No build is shown to have a drop of less than 2.0 points."
    assert "would show it" in found.because[1]
    assert '"id":null' in found.model_dump_json(exclude_none=True)


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"max_size": 200}, "have at most 0.2 kB"),
        ({"max_drop": 0.001}, "lose at most 0.1 points"),
        ({"max_drop": 0.001, "max_size": 200}, "lose at most 0.1 points and have at most 0.2 kB"),
    ],
)
def test_limits_that_no_row_keeps_are_named(limits, says):
    found = recommended([("a:x", range(20), {}), ("a:y", range(20), {})], **limits)
    assert found.id is None
    assert says in found.because[0]


def test_limits_narrow_the_choice():
    rows = [("a:x", range(10), sized(300)), ("a:y", range(40), sized(100))]
    assert recommended(rows).id == "a:y"
    assert recommended(rows, max_drop=0.005).id == "a:x"
    assert recommended(rows, max_size=200).id == "a:y"


def test_a_deprecated_engine_is_not_recommended():
    found = recommended([("old:x", range(1), sized(10, deprecated="it goes")), ("a:y", range(20), {})])
    assert found.id == "a:y"
    assert found.by_use == {"accuracy": "a:y", "size": "a:y", "a": "a:y"}
    assert "Not recommended, though at least as accurate: old:x (99.98%, 0.0 kB): it goes." in found.because


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([], "no quantized build was made"),
        ([("a:x", range(1), {"flags": [{"code": "partly_float", "text": "t"}]})], "all 1 quantized rows are flagged"),
        ([("a:x", range(1), {"deprecated": "it goes"})], "deprecated engines"),
    ],
)
def test_no_build_to_choose_from_is_a_legal_answer(rows, says):
    found = recommended(rows)
    assert found.id is None
    assert says in found.because[0]


def test_p_value_looks_at_the_samples_on_which_the_two_differ():
    first, second = np.zeros(N, np.int32), np.zeros(N, np.int32)
    first[:1], second[1:8] = 1, 1
    assert TASK.versus(first, second, TARGETS).p_value == pytest.approx(0.0391, abs=5e-5)
    assert TASK.versus(first, first, TARGETS).p_value == 1.0


def test_a_build_larger_than_its_float32_is_said_to_save_nothing():
    found = recommended([("a:s8s8", range(10), sized(600))])
    assert found.id == "a:s8s8"
    assert "It saves no space: its files are 2.00 times as large as those of its own float32" in found.because[2]
    assert not any("saves no space" in text for text in recommended([("a:s8s8", range(10), sized(200))]).because)
