from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitpick.datasets import labels
from bitpick.errors import DataError
from bitpick.models.model import Signature, Tensor
from tests.datasets.conftest import takes

WORDS = st.text(st.characters(categories=("Lu", "Ll")), min_size=1, max_size=6)


@given(st.lists(WORDS, min_size=1, max_size=50))
def test_words_become_places_among_the_sorted_names_and_come_back(words):
    found = labels.encode({"": np.array(words)})
    assert list(found.classes) == sorted(set(words))
    assert [found.classes[i] for i in found.labels[""]] == words


@given(st.permutations(["a", "b", "c", "d"]), st.lists(st.sampled_from("abcd"), min_size=1, max_size=30))
def test_the_order_that_is_asked_for_is_the_order_of_the_numbers(order, words):
    found = labels.encode({"": np.array(words)}, order=order)
    assert found.classes == tuple(order)
    assert [order[i] for i in found.labels[""]] == words


@given(st.permutations(["a", "b", "c"]), st.lists(st.integers(0, 2), min_size=1, max_size=30))
def test_numbers_whose_names_are_known_follow_the_order_that_is_asked_for(order, numbers):
    found = labels.encode({"": np.array(numbers)}, source_names=("a", "b", "c"), order=order)
    assert [found.classes[i] for i in found.labels[""]] == ["abc"[i] for i in numbers]


def test_names_are_those_of_both_splits():
    found = labels.encode({"train": np.array(["b", "c"]), "test": np.array(["a"])})
    assert found.classes == ("a", "b", "c")
    assert list(found.labels["test"]) == [0]
    assert list(found.labels["train"]) == [1, 2]


@pytest.mark.parametrize("given_", [np.array([0, 2]), np.array(["0", "2"]), np.array([[0], [2]]), np.array([0.0, 2.0])])
def test_whole_numbers_are_classes_as_many_as_the_model_has_scores(given_):
    found = labels.encode({"": given_}, signature=takes(4, classes=5))
    assert found.classes == ("0", "1", "2", "3", "4")
    assert found.labels[""].dtype == np.int64
    assert list(found.labels[""]) == [0, 2]


@pytest.mark.parametrize("given_", [np.array([0.5, 2.0]), np.array(["0.5", "2"]), np.array([-1, 2])])
def test_other_numbers_are_values(given_):
    found = labels.encode({"": given_}, signature=takes(4, classes=1))
    assert found.classes == ()
    np.testing.assert_allclose(found.labels[""], given_.astype(np.float32))


@pytest.mark.parametrize("given_", [np.array([-1, 1, 1]), np.array(["-1", "1", "1"]), np.array([[-1.0], [1.0], [1.0]])])
def test_minus_1_and_1_are_two_classes_of_which_1_has_the_higher_score(given_):
    found = labels.encode({"train": given_, "test": given_[1:]}, signature=takes(4, classes=1))
    assert (found.classes, found.values) == (("-1", "1"), (-1, 1))
    assert [list(each) for each in found.labels.values()] == [[0, 1, 1], [1, 1]]
    assert "a higher score means 1" in found.notes[0]
    assert labels.encode({"": given_}, order=("no", "yes")).classes == ("no", "yes")
    with pytest.raises(DataError, match="-1 and 1, but there are 3 class names"):
        labels.encode({"": given_}, order=("a", "b", "c"))


def test_0_and_1_as_floats_are_classes_of_a_model_that_gives_one_number():
    for shape in ((), (1,), (1, 1, 1)):
        ends = Signature((Tensor("x", (4,)),), (Tensor("score", shape),))
        found = labels.encode({"": np.array([0.0, 1.0, 1.0])}, signature=ends)
        assert (found.classes, list(found.labels[""])) == (("0", "1"), [0, 1, 1])


def test_one_1_in_each_row_is_a_class_and_several_are_not():
    hot = np.eye(3)[[2, 0, 1]]
    assert list(labels.encode({"": hot}).labels[""]) == [2, 0, 1]
    several = np.array([[1, 1, 0], [0, 0, 1]])
    found = labels.encode({"": several})
    assert found.classes == ()
    np.testing.assert_array_equal(found.labels[""], several)


@pytest.mark.parametrize("given_", [np.array([1, 2, 3]), np.array(["3", "1", "2"]), np.array([10, 30, 20])])
def test_as_many_numbers_as_the_model_has_scores_are_the_names_of_its_classes(given_):
    found = labels.encode({"": given_}, signature=takes(4, classes=3))
    assert list(found.classes) == sorted(map(str, given_))
    assert [int(found.classes[i]) for i in found.labels[""]] == [int(each) for each in given_]
    assert "guessed, --classes overrides it" in found.notes[0]


def test_1_and_2_beside_one_number_may_be_classes_or_values():
    with pytest.raises(DataError, match="the labels are 1 and 2") as error:
        labels.encode({"": np.array([1, 2, 2])}, signature=takes(4, classes=1))
    assert "--classes 1,2" in error.value.fix
    found = labels.encode({"": np.array([1, 2, 2])}, order=("1", "2"), signature=takes(4, classes=1))
    assert list(found.labels[""]) == [0, 1, 1]


NUMBERED = [np.arange(12), np.arange(12).astype(str), np.arange(12.0), np.eye(12)]


@pytest.mark.parametrize("given_", NUMBERED, ids=["numbers", "words", "floats", "one-hot"])
@given(st.permutations(list(map(str, range(12)))))
def test_numbers_are_names_too_where_an_order_of_them_is_asked_for(given_, order):
    found = labels.encode({"": given_}, order=order, signature=takes(4, classes=12))
    assert found.classes == tuple(order)
    assert [order[i] for i in found.labels[""]] == list(map(str, range(12)))


def test_numbers_are_those_of_the_names_that_are_asked_for_where_these_are_words():
    found = labels.encode({"": np.array([2, 0])}, order=("ant", "bee", "cow"))
    assert (found.classes, list(found.labels[""])) == (("ant", "bee", "cow"), [2, 0])
    with pytest.raises(DataError, match="the label '3' is not one of the 3 classes"):
        labels.encode({"": np.array([3, 0])}, order=("ant", "bee", "cow"))


def test_numbers_keep_the_spelling_that_words_have():
    found = labels.encode({"": np.array(["02", "00", "01"])}, signature=takes(4, classes=3))
    assert (found.classes, list(found.labels[""])) == (("00", "01", "02"), [2, 0, 1])
    found = labels.encode({"": np.array(["02", "00", "01"])}, order=("2", "1", "0"))
    assert list(found.labels[""]) == [0, 2, 1]


@pytest.mark.parametrize("given_", [[1_500_000, 1_600_000], [1_760_000_000, 1_760_000_060], [7, 12], [-3, 5]])
@pytest.mark.parametrize("dtype", [np.int64, np.str_])
def test_whole_numbers_beside_one_value_are_values_as_the_same_floats_are(given_, dtype):
    signature = takes(4, classes=1)
    found = labels.encode({"": np.array(given_).astype(dtype)}, signature=signature)
    same = labels.encode({"": np.array(given_, np.float64)}, signature=signature)
    assert found.classes == same.classes == ()
    assert found.labels[""].dtype == same.labels[""].dtype == np.float32
    np.testing.assert_array_equal(found.labels[""], same.labels[""])


@pytest.mark.parametrize("signature", [None, takes(4, classes=10)])
def test_numbers_past_the_scores_are_no_classes(signature):
    found = labels.encode({"": np.array([10**9, 11, 3])}, signature=signature)
    assert found.classes == ()
    assert found.labels[""].dtype == np.int64  # a metric of the user's own may count with them


def test_the_names_of_labels_of_which_several_hold():
    found = labels.encode({"": np.array([[1, 1, 0], [0, 0, 1]])}, order=("red", "round", "big"))
    assert found.classes == ("red", "round", "big")


def test_a_name_that_is_no_class():
    with pytest.raises(DataError, match="the label 'dgo' is not one of the 2 classes"):
        labels.encode({"": np.array(["cat", "dgo"])}, order=("cat", "dog"))


def test_a_label_that_is_no_number():
    with pytest.raises(DataError, match="the label of sample 1 is no finite number"):
        labels.encode({"": np.array([0.5, np.nan])})


def test_none_at_all():
    assert labels.encode({}) == labels.Encoded({})


def test_the_output_with_a_score_for_each_class_says_how_many_there_are():
    given_ = {"": np.arange(20) % 10}
    outputs = (Tensor("features", (64,)), Tensor("scores", (10,)))
    assert len(labels.encode(given_, signature=Signature((), outputs)).classes) == 10
    assert len(labels.encode(given_, signature=Signature((), outputs[:1])).classes) == 64


def test_names_that_are_numbers_are_names_where_the_source_says_so():
    found = labels.encode({"": np.array(["7", "5"])}, signature=takes(4, classes=1), names=True)
    assert (found.classes, list(found.labels[""])) == (("5", "7"), [1, 0])
    assert labels.encode({"": np.array(["7", "5"])}, signature=takes(4, classes=1)).classes == ()
    assert len(labels.encode({"": np.array(["7", "5"])}, signature=takes(4, classes=10), names=True).classes) == 10


def test_labels_that_are_hidden():
    with pytest.raises(DataError, match="go from -1 to -1, but the data set names 3 classes") as error:
        labels.encode({"": np.array([-1, -1])}, source_names=("a", "b", "c"))
    assert "evaluate on a split with labels" in error.value.fix


def test_numbers_of_classes_that_a_model_gives_make_classes_of_the_labels():
    labels_ = np.array([0, 3, 1, 3] * 5)
    ends = Signature((Tensor("x", (4,)),), (Tensor("label", (), "int64"),))
    assert labels.encode({"": labels_}, signature=ends).classes == ("0", "1", "2", "3")
    times = labels.encode({"": labels_ + 1_700_000_000}, signature=ends)
    assert times.classes == ()
