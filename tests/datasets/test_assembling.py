from __future__ import annotations

import numpy as np
import pytest

from bitpick.datasets import assembling
from bitpick.datasets.assembling import RawSplit
from bitpick.datasets.options import DataOptions
from bitpick.errors import DataError

pytestmark = pytest.mark.usefixtures("own_cache")
X = np.arange(40, dtype=np.float32).reshape(20, 2)
Y = np.arange(20) % 2


@pytest.fixture
def found(tmp_path):
    """What a reader found: these arrays, each an input."""

    def make(labels=None, notes=(), **arrays) -> RawSplit:
        place = tmp_path / str(len(list(tmp_path.iterdir())))
        place.mkdir()
        for name, array in arrays.items():
            np.save(place / f"{name}.npy", array)
        return RawSplit({name: place / f"{name}.npy" for name in arrays}, labels, f"digest of {place.name}", notes)

    return make


def made(splits, **said):
    return assembling.dataset("mine", splits, DataOptions(**said), None)


def test_one_set_is_divided_with_each_label_beside_its_sample(found):
    made_of = made({"": found(Y, x=X, twice=2 * X)}, split=0.25)
    assert (made_of.calibration.count, made_of.evaluation.count) == (15, 5)
    both = (made_of.calibration, made_of.evaluation)
    for split in both:
        np.testing.assert_array_equal(split.inputs["twice"], 2 * split.inputs["x"])
        np.testing.assert_array_equal(split.labels, split.inputs["x"][:, 0] / 2 % 2)
    assert sorted(np.concatenate([split.inputs["x"][:, 0] for split in both])) == X[:, 0].tolist()
    assert "one set, divided: 5 samples to evaluate on, the other 15 to calibrate with" in made_of.notes


def test_a_division_is_the_same_again_and_another_with_another_seed(found):
    whole = found(Y, x=X)
    first, again, other = (made({"": whole}, split_seed=seed) for seed in (0, 0, 1))
    assert again == first
    assert other.evaluation.sha256 != first.evaluation.sha256


def test_two_splits_stay_where_they_are(found):
    train, test = found(Y[:5], ("from train",), x=X[:5]), found(Y[5:], ("from train",), x=X[5:])
    told = made({"test": test, "train": train})
    assert told.calibration.paths == train.inputs
    assert told.evaluation.paths == test.inputs
    assert told.notes.count("from train") == 1


def test_the_digest_of_a_split_covers_its_labels(found):
    whole = found(Y, x=X)
    splits = [assembling.with_labels(whole.inputs, whole.sha256, labels) for labels in (Y, 1 - Y, None)]
    assert len({split.sha256 for split in splits}) == 3
    assert splits[2].labels is None
    again = assembling.with_labels(whole.inputs, "another", Y)
    assert again.labels_path == splits[0].labels_path


def test_of_three_splits_one_is_not_used_and_said(found):
    told = made({name: found(Y, x=X) for name in ("train", "test", "val")})
    assert told.notes == ("the split val is not used",)


def test_splits_of_other_names_are_refused_with_those_that_are_known(found):
    with pytest.raises(DataError, match="mine has the splits left, right") as error:
        made({name: found(Y, x=X) for name in ("left", "right")})
    assert error.value.expected.startswith("one of calibration, ")
    assert " and one of evaluation, " in error.value.expected


def test_labels_are_in_both_splits_or_in_none(found):
    with pytest.raises(DataError, match="the split test of mine has no labels, but the other one does") as error:
        made({"train": found(Y, x=X), "test": found(x=X)})
    assert "bitpick divides it into two sets" in error.value.fix
    assert made({"train": found(x=X), "test": found(x=X)}).evaluation.labels is None


def test_inputs_and_labels_that_are_not_as_many_as_each_other_are_counted(found):
    assert found(Y, x=X, y=X).count == 20
    with pytest.raises(DataError, match="different numbers of samples: x 20, y 7, labels 20"):
        made({"": found(Y, x=X, y=X[:7])})


def test_an_empty_split_is_named(found):
    with pytest.raises(DataError, match="mine has no samples in test"):
        made({"train": found(Y, x=X), "test": found(Y[:0], x=X[:0])})


def test_a_sample_that_is_not_finite_has_the_place_that_it_has_in_the_file(found):
    broken = X.copy()
    broken[17, 1] = np.nan
    with pytest.raises(DataError, match="sample 17 of x in mine has numbers that are not finite"):
        made({"": found(Y, x=broken)})


def test_the_order_of_classes_that_is_asked_for_is_that_of_a_whole_data_set_too(dataset):
    turned = assembling.apply_options(dataset, DataOptions(classes=("dog", "cow", "bee", "ant")))
    assert turned.classes == ("dog", "cow", "bee", "ant")
    for found, own in ((turned.calibration, dataset.calibration), (turned.evaluation, dataset.evaluation)):
        assert found.paths == own.paths
        assert found.sha256 != own.sha256
        np.testing.assert_array_equal(found.labels, 3 - np.asarray(own.labels).astype(int))
    assert assembling.apply_options(dataset, DataOptions()) is dataset
    assert assembling.apply_options(dataset, DataOptions(classes=dataset.classes)) is dataset


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"labels": "y.npy"}, "leave --labels out"),
        ({"split": 0.5}, "leave --split out"),
        ({"classes": ("ant", "bee", "cow")}, "'dog' is not one of the 3 classes"),
    ],
)
def test_an_option_that_a_whole_data_set_has_no_use_for_is_refused(dataset, said, says):
    with pytest.raises(DataError) as error:
        assembling.apply_options(dataset, DataOptions(**said))
    assert says in str(error.value)
