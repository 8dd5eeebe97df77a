from __future__ import annotations

import weakref
from collections.abc import Iterator

import numpy as np
import pytest

from bitpick.datasets import streams
from bitpick.datasets.load import data_source, load
from bitpick.datasets.options import checked
from bitpick.errors import DataError
from bitpick.models.model import Signature, Tensor
from tests.datasets.conftest import takes

pytestmark = pytest.mark.usefixtures("own_cache")
X = np.random.default_rng(0).normal(size=(20, 2, 2)).astype(np.float32)
Y = np.arange(20) % 3


class FrameworkTensor:
    """What a framework hands over: no array, but one inside."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array
        self.shape = array.shape

    def detach(self) -> FrameworkTensor:
        return self

    def cpu(self) -> FrameworkTensor:
        return self

    def numpy(self) -> np.ndarray:
        return self._array


class Loader:
    """As PyTorch's loaders: batches, and the size of them."""

    batch_size = 6

    def __init__(self, *arrays: np.ndarray) -> None:
        self._arrays = arrays

    def __iter__(self) -> Iterator:
        for start in range(0, 20, 6):
            found = [FrameworkTensor(array[start : start + 6]) for array in self._arrays]
            yield found if len(found) > 1 else found[0]


class Indexed:
    """As PyTorch's data sets: samples by their places."""

    def __getitem__(self, place: int) -> tuple:
        if place >= 20:
            raise IndexError
        return FrameworkTensor(X[place]), int(Y[place])


def batches() -> Iterator:
    for start in range(0, 20, 7):
        yield X[start : start + 7], Y[start : start + 7]


LABELLED = {
    "arrays": (X, Y),
    "tensors": (FrameworkTensor(X), FrameworkTensor(Y)),
    "a dict": {"x": X, "labels": Y},
    "samples": list(zip(X, Y, strict=True)),
    "dicts": [{"x": x, "label": y} for x, y in zip(X, Y, strict=True)],
    "a generator": ((x, int(y)) for x, y in zip(X, Y, strict=True)),
    "a function": lambda: iter(zip(X, Y, strict=True)),
    "batches": batches(),
    "a loader": Loader(X, Y),
    "a data set": Indexed(),
}


@pytest.mark.parametrize("kind", LABELLED)
def test_samples_with_labels(kind):
    kept = streams.cache_samples(LABELLED[kind], checked({}))
    (found,) = kept.read(checked({}), None).values()
    np.testing.assert_array_equal(np.load(next(iter(found.inputs.values()))), X)
    np.testing.assert_array_equal(found.labels, Y)


@pytest.mark.parametrize("data", [X, FrameworkTensor(X), list(X), Loader(X), {"x": X}], ids=lambda d: type(d).__name__)
def test_samples_without_labels(data):
    (found,) = streams.cache_samples(data, checked({})).read(checked({}), None).values()
    np.testing.assert_array_equal(np.load(next(iter(found.inputs.values()))), X)
    assert found.labels is None


def test_batches_without_labels_are_said_to_be_some():
    (found,) = streams.cache_samples([X[:10], X[10:]], checked({"batched": True})).read(checked({}), None).values()
    assert found.count == 20


@pytest.mark.parametrize("data", [((X[:5], Y[:5]), (X[5:], Y[5:])), {"train": (X[:5], Y[:5]), "test": (X[5:], Y[5:])}])
def test_two_splits(data):
    found = load(data, takes(2, 2))
    np.testing.assert_array_equal(found.calibration.labels, Y[:5])
    np.testing.assert_array_equal(next(iter(found.evaluation.inputs.values())), X[5:])


def test_several_inputs_by_name():
    model = Signature((Tensor("a", (2, 2)), Tensor("b", (2,))), (Tensor("scores", (3,)),))
    rows = [({"a": x, "b": x[0]}, y) for x, y in zip(X, Y, strict=True)]
    found = load(rows, model).evaluation.inputs
    np.testing.assert_array_equal(found["a"][:, 0], found["b"])


def test_the_same_samples_have_the_same_name_however_they_come():
    pairs = list(zip(X, Y, strict=True))
    names = {data_source(data).name for data in ((X, Y), pairs, lambda: iter(pairs))}
    assert len(names) == 1
    assert names.pop().startswith("samples-")
    assert data_source((X, Y[::-1].copy())).name != data_source((X, Y)).name != data_source((X + 1, Y)).name


def test_a_generator_is_never_held_whole():
    gone = []

    def samples() -> Iterator:
        for i in range(50):
            array = np.full((10, 10), i, np.uint8)
            weakref.finalize(array, gone.append, i)
            yield array, 0
            del array
            assert len(gone) >= i - 1

    (found,) = streams.cache_samples(samples, checked({})).read(checked({}), None).values()
    np.testing.assert_array_equal(np.load(found.inputs["input"])[:, 0, 0], np.arange(50))


def test_a_stream_that_outgrows_the_cache_ends_with_a_fix(monkeypatch):
    monkeypatch.setenv("BITPICK_CACHE_LIMIT", "100 kB")
    monkeypatch.setattr(streams, "_ROOM", 0)

    def endless() -> Iterator:
        while True:
            yield np.zeros(1000, np.float32)

    with pytest.raises(DataError, match=r"the cache may have 0\.1 MB") as error:
        streams.cache_samples(endless, checked({}))
    assert "BITPICK_CACHE_LIMIT" in error.value.fix


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (3, "a data set cannot be a int"),
        (lambda samples: samples, "a function gives no samples when it is called: TypeError"),
        ([], "has no samples"),
        ([np.zeros(2), np.zeros(3)], r"sample 1 of input has shape \(3,\), but those before it have \(2,\)"),
        ([{"a": np.zeros(2)}, {"b": np.zeros(2)}], "a sample has b, but those before it have a"),
        ([np.array([object()])], "has the dtype object"),
    ],
)
def test_what_is_no_data_set(data, says):
    with pytest.raises(DataError, match=says):
        streams.cache_samples(data, checked({}))


FRAME = {"x": X[:, 0, 0], "y": X[:, 0, 1], "z": X[:, 1, 0], "target": np.array(["b", "a"] * 10)}


class Frame:
    """As a data frame: columns by their names."""

    columns = tuple(FRAME)
    shape = (20, 4)

    def __getitem__(self, name: str) -> FrameworkTensor:
        column = FRAME[name]
        return FrameworkTensor(column.astype(object) if column.dtype.kind == "U" else column)


ROWS = [dict(zip(FRAME, row, strict=True)) for row in zip(*FRAME.values(), strict=True)]
BATCHES = [{name: column[start : start + 7] for name, column in FRAME.items()} for start in range(0, 20, 7)]


@pytest.mark.parametrize("data", [FRAME, Frame(), ROWS, BATCHES], ids=["dict", "frame", "rows", "batches"])
def test_columns_that_python_hands_over_are_a_table(data):
    found = load(data, takes(3), checked({"split": 0.5}))
    assert found.classes == ("a", "b")
    assert "labels: the array target; --labels overrides it" in found.notes
    rows = np.concatenate([split.inputs["image"] for split in (found.calibration, found.evaluation)])
    wanted = X.reshape(20, 4)[:, :3]
    np.testing.assert_array_equal(rows[np.argsort(rows[:, 0])], wanted[np.argsort(wanted[:, 0])])


def test_a_coordinate_is_no_label_and_another_column_has_to_be_named():
    columns = {name: FRAME[name] for name in "xyz"} | {"speed": X[:, 1, 1]}
    with pytest.raises(DataError, match="could be the labels: y, z, speed") as error:
        load(columns, takes(3))
    assert "--labels y or --labels z" in error.value.fix
    assert load(columns, takes(4)).evaluation.labels is None


def test_arrays_by_the_names_of_splits():
    found = load({"x_train": X[:5], "y_train": Y[:5], "x_test": X[5:], "y_test": Y[5:]}, takes(2, 2))
    np.testing.assert_array_equal(found.evaluation.labels, Y[5:])


def test_what_is_no_number_has_the_name_that_the_user_gave_it():
    with pytest.raises(DataError, match="when has the dtype datetime64"):
        streams.cache_samples({"x": X, "when": np.zeros(20, "datetime64[s]")}, checked({}))
    with pytest.raises(DataError, match="the array words in the dict of samples holds words"):
        load({"words": np.array(["a", "b"])}, takes(2))


def test_samples_whose_dtype_changes_are_refused():
    with pytest.raises(DataError, match="sample 1 of input is float32, but those before it are int64"):
        streams.cache_samples([np.array([1, 2]), np.array([1.5, 2.5])], checked({}))


def test_a_single_value_is_there_for_each_sample():
    model = Signature((Tensor("x", (2, 2)), Tensor("rate", ())), (Tensor("y", (3,)),))
    found = load({"x": X, "rate": 16000, "labels": Y}, model)
    assert found.evaluation.inputs["rate"].tolist() == [16000] * found.evaluation.count
    with pytest.raises(DataError, match="rate is a single value"):
        load({"rate": 16000}, model)
