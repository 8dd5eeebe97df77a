from __future__ import annotations

import zipfile

import numpy as np
import pytest

from bitpick.datasets.load import load
from bitpick.datasets.options import checked
from bitpick.errors import DataError
from bitpick.models.model import Signature, Tensor
from tests.datasets.conftest import takes

pytestmark = pytest.mark.usefixtures("own_cache")
X = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
Y = np.arange(20) % 3
MODEL = takes(4, name="features")


def both(found) -> tuple[np.ndarray, np.ndarray]:
    """All samples and labels, in the order of the samples' first number."""
    inputs = np.concatenate([next(iter(s.inputs.values())) for s in (found.calibration, found.evaluation)])
    labels = np.concatenate([s.labels for s in (found.calibration, found.evaluation)])
    order = np.argsort(inputs[:, 0])
    return inputs[order], labels[order]


@pytest.mark.parametrize("names", [("x", "y"), ("features", "labels"), ("data", "target"), ("pixels", "label")])
def test_inputs_and_labels_by_their_usual_names(tmp_path, names):
    np.savez(tmp_path / "a.npz", **dict(zip(names, (X, Y), strict=True)))
    found = load(tmp_path / "a.npz", MODEL)
    inputs, labels = both(found)
    order = np.argsort(X[:, 0])
    np.testing.assert_array_equal(inputs, X[order])
    np.testing.assert_array_equal(labels, Y[order])
    assert found.classes == ("0", "1", "2")


@pytest.mark.parametrize("style", ["x_{}", "{}_x"])
def test_names_of_arrays_say_the_split(tmp_path, style):
    named = {style.format("train"): X[:5], style.format("test"): X[5:], "y_train": Y[:5], "y_test": Y[5:]}
    np.savez_compressed(tmp_path / "a.npz", **named)
    found = load(tmp_path / "a.npz", MODEL)
    np.testing.assert_array_equal(found.calibration.inputs["x"], X[:5])
    np.testing.assert_array_equal(found.evaluation.labels, Y[5:])


def test_files_with_the_names_of_splits(tmp_path):
    np.savez(tmp_path / "calibration.npz", x=X[:5], y=Y[:5])
    np.savez(tmp_path / "evaluation.npz", x=X[5:], y=Y[5:])
    found = load(tmp_path, MODEL)
    assert (found.calibration.count, found.evaluation.count) == (5, 15)
    np.testing.assert_array_equal(found.evaluation.labels, Y[5:])


def test_a_folder_of_npy_files(tmp_path):
    for name, array in {"x_train": X[:5], "x_test": X[5:], "y_train": Y[:5], "y_test": Y[5:]}.items():
        np.save(tmp_path / f"{name}.npy", array)
    found = load(tmp_path, MODEL)
    assert found.evaluation.paths["x"] == tmp_path / "x_test.npy"  # mapped where it lies
    np.testing.assert_array_equal(found.evaluation.labels, Y[5:])


def test_one_npy_with_labels_beside_it(tmp_path):
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", Y)
    found = load(tmp_path / "x.npy", MODEL, checked({"labels": str(tmp_path / "y.npy"), "split": 0.5}))
    np.testing.assert_array_equal(both(found)[0], X[np.argsort(X[:, 0])])
    np.testing.assert_array_equal(both(found)[1], Y[np.argsort(X[:, 0])])
    assert found.evaluation.count == 10


def test_several_inputs_by_name(tmp_path):
    model = Signature((Tensor("a", (4,)), Tensor("b", (2,))), (Tensor("scores", (3,)),))
    np.savez(tmp_path / "a.npz", b=X[:, :2], a=X, unused=X, y=Y)
    found = load(tmp_path / "a.npz", model)
    assert list(found.evaluation.paths) == ["a", "b"]
    np.savez(tmp_path / "b.npz", left=X, right=X[:, :2], y=Y)
    found = load(tmp_path / "b.npz", model, checked({"inputs": {"a": "left", "b": "right"}}))
    np.testing.assert_array_equal(found.evaluation.inputs["a"][:, :2], found.evaluation.inputs["b"])


def test_an_array_is_unpacked_once(tmp_path, own_cache):
    np.savez(tmp_path / "a.npz", x=X, y=Y)
    first = load(tmp_path / "a.npz", MODEL)
    entries = sorted(each.name for each in (own_cache / "artifacts").iterdir())
    assert load(tmp_path / "a.npz", MODEL) == first
    assert sorted(each.name for each in (own_cache / "artifacts").iterdir()) == entries


def test_objects_are_refused_and_never_opened(tmp_path):
    member = tmp_path / "x.npy"
    with member.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": (1,)})
        file.write(b"cos\nsystem\n(S'touch evil'\ntR.")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.write(member, "x.npy")
    for path in (member, tmp_path / "a.npz"):
        with pytest.raises(DataError, match="holds Python objects, which can run code"):
            load(path, MODEL)


def test_a_name_in_an_archive_leads_nowhere(tmp_path, own_cache):
    np.save(tmp_path / "x.npy", X)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.write(tmp_path / "x.npy", "../../../outside.npy")
    load(tmp_path / "a.npz", MODEL)
    assert not list(tmp_path.rglob("outside*"))


WRONG = {
    "counts": ({"x": X, "y": Y[:5]}, {}, "different numbers of samples: x 20, labels 5"),
    "label": ({"x": X, "y": Y}, {"labels": "z"}, "has no array 'z', and there is no such file"),
    "input": ({"x": X}, {"inputs": {"a": "b"}}, "has no array 'b' for a"),
    "too many": ({"a": X, "b": X, "c": Y}, {}, "holds 3 arrays (a, b, c), but the model takes features"),
    "words": ({"x": np.array(["a", "b"])}, {}, "the array x in"),
    "none": ({"y": Y}, {}, "holds no array beside the labels"),
    "empty": ({}, {}, "holds no arrays"),
    "no samples": ({"x": X[:0], "y": Y[:0]}, {}, "has no samples"),
}


@pytest.mark.parametrize("case", WRONG)
def test_arrays_that_are_no_data_set(tmp_path, case):
    arrays, said, says = WRONG[case]
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError) as error:
        load(tmp_path / "a.npz", MODEL, checked(said))
    assert says in str(error.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and nothing more"])
def test_a_damaged_archive(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match="is damaged"):
        load(tmp_path / "a.npz", MODEL)


def test_one_file_of_labels_is_not_for_two_splits(tmp_path):
    np.savez(tmp_path / "train.npz", x=X)
    np.savez(tmp_path / "test.npz", x=X)
    np.save(tmp_path / "y.npy", Y)
    with pytest.raises(DataError, match="are one file, but"):
        load(tmp_path, MODEL, checked({"labels": str(tmp_path / "y.npy")}))


def arrays_of(tmp_path, said=None, signature=MODEL, **arrays):
    np.savez(tmp_path / "a.npz", **arrays)
    return load(tmp_path / "a.npz", signature, checked(said or {}))


def test_the_array_that_is_taken_as_the_labels_is_told(tmp_path):
    note = "labels: the array Y; --labels overrides it"
    assert note in arrays_of(tmp_path, X=X, Y=Y).notes
    assert note not in arrays_of(tmp_path, {"labels": "Y"}, X=X, Y=Y).notes


def test_two_arrays_with_names_of_labels_have_to_be_told_apart(tmp_path):
    with pytest.raises(DataError, match="could be the labels: label, target") as error:
        arrays_of(tmp_path, features=X, label=Y, target=Y)
    assert "--labels label or --labels target" in error.value.fix
    found = arrays_of(tmp_path, {"labels": "target"}, features=X, label=1 - Y, target=Y)
    np.testing.assert_array_equal(both(found)[1], Y[np.argsort(X[:, 0])])
    assert "not used: label, as the model has no input of that name" in found.notes


def test_arrays_of_one_number_a_sample_are_columns(tmp_path):
    columns = dict(zip(("x", "y", "z"), X.T, strict=False))
    found = arrays_of(tmp_path, signature=takes(3, name="features"), **columns, target=Y)
    assert found.evaluation.inputs["features"].shape[1:] == (3,)
    assert "labels: the array target; --labels overrides it" in found.notes
    with pytest.raises(DataError, match="could be the labels: y, z"):
        arrays_of(tmp_path, signature=takes(2, name="features"), **columns)
    said = {"inputs": {"features": ["z", "x"]}, "labels": "target"}
    found = arrays_of(tmp_path, said, takes(2, name="features"), **columns, target=Y)
    np.testing.assert_array_equal(both(found)[0][:, 0], X[:, 2][np.argsort(X[:, 2])])


def test_inputs_that_only_their_order_tells_apart_are_told(tmp_path):
    model = Signature((Tensor("a", (4,)), Tensor("b", (4,))), (Tensor("scores", (3,)),))
    found = arrays_of(tmp_path, signature=model, left=X, right=X, y=Y)
    assert (
        "inputs are matched by order: a gets left, b gets right; inputs: in a data.yaml overrides that" in found.notes
    )


def test_an_array_of_words_has_the_name_that_the_user_gave_it(tmp_path):
    with pytest.raises(DataError, match=r"the array species in .*a\.npz holds words") as error:
        arrays_of(tmp_path, species=np.array(["a", "b"] * 10))
    assert "--labels species" in error.value.fix
    found = arrays_of(tmp_path, {"labels": "species"}, x=X, species=np.array(["b", "a"] * 10))
    assert found.classes == ("a", "b")
    np.savez(tmp_path / "objects.npz", x=X, y=np.array(["a", "b"] * 10, object))
    with pytest.raises(DataError, match=r"y in .*objects\.npz holds Python objects") as error:
        load(tmp_path / "objects.npz", MODEL)
    assert "words.astype(str)" in error.value.fix


def test_a_single_value_is_there_for_each_sample(tmp_path):
    model = Signature((Tensor("x", (4,)), Tensor("rate", ())), (Tensor("y", (3,)),))
    np.savez(tmp_path / "a.npz", x=X, rate=np.array(16000), labels=Y)
    found = load(tmp_path / "a.npz", model)
    for split in (found.calibration, found.evaluation):
        assert split.inputs["rate"].tolist() == [16000] * split.count
    np.savez(tmp_path / "b.npz", rate=np.array(16000))
    with pytest.raises(DataError, match=r"rate in .* is a single value"):
        load(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", x=X, labels=np.array(1))
    with pytest.raises(DataError, match=r"labels in .* is a single value"):
        load(tmp_path / "c.npz", MODEL)
