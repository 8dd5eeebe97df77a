from __future__ import annotations

import numpy as np
import pytest

from bitpick.comparison.judge import p_value
from bitpick.comparison.recommend import recommend
from bitpick.measures.accuracy import accuracy
from bitpick.result import Row

N = 1000
TARGETS = np.zeros(N, np.int64)


def make(rows):
    """Rows of `(id, wrong samples, size, fields)`, where wrong samples are a slice."""
    predicted, made = {}, []
    for row_id, wrong, size, fields in rows:
        predictions = np.zeros(N, np.int32)
        predictions[wrong] = 1
        predicted[row_id] = predictions
        made.append(
            Row(
                id=row_id, recipe=row_id, engine=row_id.partition(":")[0], kind=fields.pop("kind", "quantized"),
                status="ok", size_bytes=size, accuracy=accuracy(predictions, TARGETS, ("a", "b")), **fields,
            )
        )  # fmt: skip
    return made, predicted


def test_the_most_accurate_row_and_what_ties_with_it():
    rows, predicted = make(
        [
            ("a:x", slice(0, 50), 300, {}),
            ("a:y", slice(2, 54), 200, {}),  # other 2 and 4 samples: p = 0.45
            ("b:z", slice(0, 90), 100, {}),  # 40 more: p < 0.001
        ]
    )
    found = recommend(rows, predicted, TARGETS)
    assert found.id == "a:y"  # it ties, and is a third smaller
    assert (
        "Of these a:y (94.80%, 0.2 kB) is the one to ship: the most accurate within 10% of the smallest."
        in found.because
    )
    assert found.by_use == {"accuracy": "a:x", "size": "b:z", "a": "a:x", "b": "b:z"}
    assert found.ties == ["a:x", "a:y"]
    text = " ".join(found.because)
    assert "A tie, not a ranking: 1,000 samples do not show that it is more accurate than a:y" in text
    assert "Smallest: b:z (91.00%, 0.1 kB), which is shown to be less accurate." in text
    assert "Best of b: b:z (91.00%, 0.1 kB)." in text


def test_equal_accuracy_goes_to_the_smaller():
    rows, predicted = make([("a:x", slice(0, 50), 300, {}), ("a:y", slice(50, 100), 200, {})])
    found = recommend(rows, predicted, TARGETS)
    assert found.id == "a:y"
    assert "It is also the smallest of all." in found.because


def test_a_tenth_of_the_size_does_not_outweigh_accuracy():
    rows, predicted = make([("a:x", slice(0, 50), 105, {}), ("a:y", slice(2, 54), 100, {})])
    assert recommend(rows, predicted, TARGETS).id == "a:x"


def test_a_clear_winner_is_said_to_be_one():
    rows, predicted = make([("a:x", slice(0, 10), 300, {}), ("a:y", slice(0, 100), 300, {})])
    said = "It is shown to be more accurate than every other row that can be recommended."
    assert said in recommend(rows, predicted, TARGETS).because
    assert said not in recommend(rows[:1], predicted, TARGETS).because


def test_a_deprecated_engine_is_not_recommended_but_is_the_best_of_itself():
    rows, predicted = make([("old:x", slice(0, 1), 10, {"deprecated": "it goes"}), ("a:y", slice(0, 100), 300, {})])
    found = recommend(rows, predicted, TARGETS)
    assert found.id == "a:y"
    assert found.by_use == {"accuracy": "a:y", "size": "a:y", "old": "old:x", "a": "a:y"}
    assert "Not recommended, though at least as accurate: old:x (99.90%, 0.0 kB): it goes." in found.because


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([], "no quantized build was made"),
        ([("a:float32", slice(0, 1), 1, {"kind": "baseline"})], "no quantized build was made"),
        ([("a:x", slice(0, 1), 1, {"flags": [{"code": "drop", "text": "t"}]})], "all 1 quantized rows are flagged"),
        ([("a:x", slice(0, 1), 1, {"deprecated": "it goes"})], "deprecated engines"),
    ],
)
def test_no_build_is_a_legal_answer(rows, says):
    found = recommend(*make(rows), TARGETS)
    assert found.id is None
    assert says in found.because[0]
    assert '"id":null' in found.model_dump_json(exclude_none=True)


def test_p_value_looks_at_the_samples_on_which_the_two_differ():
    first, second = np.zeros(N, np.int32), np.zeros(N, np.int32)
    first[:1], second[1:8] = 1, 1
    assert p_value(first, second, TARGETS) == pytest.approx(0.0391, abs=5e-5)
    assert p_value(first, first, TARGETS) == 1.0
