from __future__ import annotations

import numpy as np
import pytest

from bitpick.pipeline import class_orders

TWELVE = tuple(map(str, range(12)))


def seen(trained: list[str], classes: tuple[str, ...], wrong: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """What a model predicts whose scores are in the order `trained`, and the true places in `classes`."""
    rng = np.random.default_rng(2)
    targets = rng.integers(0, len(classes), 500)
    predicted = np.array([trained.index(classes[target]) for target in targets])
    flipped = rng.random(500) < wrong
    predicted[flipped] = rng.integers(0, len(classes), flipped.sum())
    return predicted, targets


@pytest.mark.parametrize(
    ("classes", "trained", "words"),
    [
        (TWELVE, sorted(TWELVE), "their names as text"),
        (("class1", "class10", "class2"), ["class1", "class2", "class10"], "the numbers in their names"),
        (("Zebra", "ant", "bee"), ["ant", "bee", "Zebra"], "their names as text, ignoring case"),
    ],
)
def test_a_usual_order_is_named_as_what_it_is(classes, trained, words):
    found = class_orders.better(*seen(trained, classes), classes)
    assert found.option == (
        f"the model seems to have been trained with the classes in the order of {words}: --classes {','.join(trained)}"
    )
    assert found.share > 0.85


def test_another_order_is_told_as_it_fits():
    trained = ["c", "a", "d", "b"]
    found = class_orders.better(*seen(trained, tuple("abcd")), tuple("abcd"))
    assert found.option == "naming them in the order of its scores, --classes c,a,d,b"


@pytest.mark.parametrize("wrong", [0.1, 1.0])
def test_the_right_order_and_guesses_have_no_better_one(wrong):
    predicted, targets = seen(list(TWELVE), TWELVE, wrong)
    assert class_orders.better(predicted, targets, TWELVE) is None


def test_a_class_without_samples_stays_where_it_is():
    predicted, targets = seen(["b", "a", "c", "d"], tuple("abcd"))
    some = (targets < 2) & (predicted < 2)
    found = class_orders.better(predicted[some], targets[some], tuple("abcd"))
    assert found.option.endswith("--classes b,a,c,d")


def test_names_that_a_shell_or_a_comma_would_cut():
    names = ("a, b", "c")
    assert class_orders.better(*seen(["c", "a, b"], names), names).option.endswith("one name a line: c | a, b")
    names = ("a b", "c")
    assert class_orders.better(*seen(["c", "a b"], names), names).option.endswith("--classes 'c,a b'")
