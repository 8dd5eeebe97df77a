from __future__ import annotations

import pytest

from bitpick.datasets import label_choice
from bitpick.errors import DataError


def parts(names: str, size: int | None, taken: str = "") -> label_choice.Parts:
    columns = names.split()
    return label_choice.Parts("a.csv", "column", columns, taken.split(), lambda beside: size in (None, len(beside)))


@pytest.mark.parametrize(
    ("names", "size", "label"),
    [
        ("x y z target", 3, "target"),
        ("x y z target", None, "target"),
        ("target x y z", 3, "target"),
        ("a b Label", 2, "Label"),
        ("a b c y", 3, "y"),
        ("x y", 1, "y"),
        ("X Y", None, "Y"),
        ("x y", 2, None),
        ("x y z", 3, None),
        ("x y z t", 4, None),
        ("a b c", 2, None),
        ("a b y", 3, None),
    ],
)
def test_names_and_what_the_model_takes_tell_the_labels(names, size, label):
    found = label_choice.guess(parts(names, size))
    assert found.name == label
    if label:
        assert found.notes == (f"labels: the column {label}; --labels overrides it",)


@pytest.mark.parametrize(
    ("names", "size", "told"),
    [
        ("a b label target", 3, "label, target"),
        ("a b label target", 2, "label, target"),
        ("x y z", 2, "y, z"),
        ("x y z", None, "y, z"),
        ("x y z t", 3, "y, z, t"),
    ],
)
def test_where_two_fit_the_user_is_asked(names, size, told):
    with pytest.raises(DataError, match=f"more than one column of a.csv could be the labels: {told}\n") as error:
        label_choice.guess(parts(names, size))
    first, second = told.split(", ")[:2]
    assert f"--labels {first} or --labels {second}" in error.value.fix


def test_what_the_model_takes_by_name_is_no_label():
    assert label_choice.guess(parts("x y z label", None, "x y z")).name == "label"
    assert label_choice.guess(parts("x y z", None, "x y z")).name is None
    assert label_choice.guess(parts("x y", None, "x")).name == "y"


def test_what_the_source_says_goes_before_names():
    assert label_choice.guess(parts("image kind label", None), ["kind"]).name == "kind"
    with pytest.raises(DataError, match="fine, coarse"):
        label_choice.guess(parts("image fine coarse", None), ["fine", "coarse"])


def test_a_name_that_is_not_there():
    with pytest.raises(DataError, match="has no column 'lable' for the labels") as error:
        label_choice.named(parts("a label", 1), "lable")
    assert "did you mean label?" in error.value.fix
