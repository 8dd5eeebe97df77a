from __future__ import annotations

import numpy as np
import pytest

from bitpick.datasets.load import load
from bitpick.datasets.options import checked
from bitpick.errors import DataError
from bitpick.models.model import Signature, Tensor
from tests.datasets.conftest import takes

pytestmark = pytest.mark.usefixtures("own_cache")


def table(folder, header: str, rows: list[str], name: str = "a.csv"):
    path = folder / name
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


ROWS = [f"{i},{i / 2},{'xyz'[i % 3]}" for i in range(30)]


def test_columns_are_features_and_words_are_classes(tmp_path):
    found = load(table(tmp_path, "a,b,label", ROWS), takes(2, name="features"))
    assert found.classes == ("x", "y", "z")
    for split in (found.calibration, found.evaluation):
        features = split.inputs["features"]
        assert features.dtype == np.float32
        np.testing.assert_array_equal(features[:, 0] / 2, features[:, 1])
        np.testing.assert_array_equal(features[:, 0] % 3, split.labels)


def test_a_column_is_named_as_the_labels(tmp_path):
    found = load(table(tmp_path, "a,kind,b", [f"{i},{i % 2},1" for i in range(9)]), takes(2), {"labels": "kind"})
    assert found.classes == ("0", "1", "2")
    assert found.evaluation.inputs["image"].shape[1:] == (2,)


def test_values_stay_values(tmp_path):
    found = load(
        table(tmp_path, "a,price", [f"{i},{i + 0.5}" for i in range(9)]), takes(1, classes=1), {"labels": "price"}
    )
    assert found.classes == ()
    np.testing.assert_array_equal(found.evaluation.labels, found.evaluation.inputs["image"][:, 0] + 0.5)


def test_a_column_that_has_the_name_of_the_input_is_one_of_its_numbers(tmp_path):
    path = table(tmp_path, "x,y,z,target", [f"{i},{i + 1},{i + 2},{i + 0.5}" for i in range(9)])
    found = load(path, takes(3, name="x", classes=1), {"labels": "target"}).evaluation
    np.testing.assert_array_equal(found.inputs["x"], found.labels[:, None] + np.float32([-0.5, 0.5, 1.5]))


TWO = Signature((Tensor("age", (1,)), Tensor("codes", (2,), "int64")), (Tensor("scores", (2,)),))


def test_several_inputs_by_the_names_of_columns(tmp_path):
    path = table(tmp_path, "codes.1,age,codes.0,label", [f"{i},{i + 0.5},{2 * i},a" for i in range(9)])
    found = load(path, TWO).evaluation.inputs
    assert (found["age"].shape[1:], found["codes"].shape[1:]) == ((1,), (2,))
    assert found["codes"].dtype == np.int64
    np.testing.assert_array_equal(found["codes"][:, 0], 2 * found["codes"][:, 1])
    np.testing.assert_array_equal(found["age"][:, 0] - 0.5, found["codes"][:, 1])


def test_several_inputs_as_a_yaml_file_says(tmp_path):
    table(tmp_path, "p,q,r,kind", [f"{i},{i},{i},a" for i in range(9)])
    (tmp_path / "data.yaml").write_text("data: a.csv\nlabels: kind\ninputs: {age: p, codes: [q, r]}\n")
    found = load(tmp_path / "data.yaml", TWO)
    assert {name: array.shape[1:] for name, array in found.evaluation.inputs.items()} == {"age": (1,), "codes": (2,)}
    assert found.classes[0] == "a"


def test_as_many_columns_as_the_model_has_numbers_take_its_shape(tmp_path):
    header = ",".join(["label", *(f"p{i}" for i in range(6))])
    found = load(table(tmp_path, header, ["1," + ",".join(map(str, range(6)))] * 9), takes(2, 3, 1))
    np.testing.assert_array_equal(found.evaluation.inputs["image"][0, ..., 0], [[0, 1, 2], [3, 4, 5]])


WRONG = {
    "no such label": ("a,b,label", ROWS, {"labels": "lable"}, 2, "did you mean label?"),
    "labels not named": (
        "a,b,kind",
        ["1,2,3"] * 9,
        {},
        2,
        "the last or the first: --labels kind or --labels a",
    ),
    "too few": ("a,label", ["1,2"] * 9, {"inputs": {"image": "b"}}, 2, "has no column 'b' for the input image"),
    "another number": ("a,b,c,label", ["1,2,3,x"] * 9, {}, 2, "3 columns beside its labels, label"),
    "word": ("a,b,label", ["1,2,x", "1,two,x"], {}, 2, "row 2: the column b has 'two', which is no number"),
    "empty": ("a,b,label", ["1,2,x", "1,,x"], {}, 2, "row 2: the column b is empty"),
    "not a number": ("a,b,label", ["1,2,x", "1,nan,x"], {}, 2, "row 2: the column b has no finite number"),
    "empty label": ("a,b,label", ["1,2,x", "1,2,"], {}, 2, "row 2: the label in the column label is empty"),
    "no rows": ("a,b,label", [], {}, 2, "has no rows"),
}


@pytest.mark.parametrize("case", WRONG)
def test_tables_that_are_no_data_set(tmp_path, case):
    header, rows, said, size, says = WRONG[case]
    with pytest.raises(DataError) as error:
        load(table(tmp_path, header, rows), takes(size), checked(said))
    assert says in str(error.value)


def test_several_inputs_that_nothing_tells_apart(tmp_path):
    with pytest.raises(DataError) as error:
        load(table(tmp_path, "a,b,c,label", ["1,2,3,x"] * 9), TWO)
    assert "nothing says which columns" in str(error.value)
    assert "inputs: {age: [a, b], …}" in str(error.value)


def test_columns_that_the_model_does_not_take_may_be_the_labels(tmp_path):
    with pytest.raises(DataError, match="bitpick cannot tell whether kind in") as error:
        load({"a": np.arange(9.0), "b": np.arange(9.0), "kind": np.array(["x"] * 9)}, takes(2))
    assert "--labels kind" in error.value.fix
    assert "inputs: {image: [a, b]}" in error.value.fix


def test_labels_of_another_kind_beside_those_that_are_named(tmp_path):
    path = table(tmp_path, "a,b,label,target", [f"{i},1,{i % 3},{i / 2}" for i in range(9)])
    found = load(path, takes(2, classes=1), {"labels": "target"})
    assert found.evaluation.inputs["image"].shape[1:] == (2,)
    assert "not used: the column label" in found.notes


def test_a_split_without_the_column_of_the_labels(tmp_path):
    table(tmp_path, "a,b,kind", ROWS, "train.csv")
    table(tmp_path, "a,b", ["1,2"] * 9, "test.csv")
    with pytest.raises(
        DataError, match=r"the split test of .* has no column 'kind' for the labels, and train has"
    ) as e:
        load(tmp_path, takes(2), {"labels": "kind"})
    assert e.value.fix.endswith("train.csv")


def test_true_and_false_are_1_and_0(tmp_path):
    rows = [f"{i % 2 == 0},{i},{i % 2 == 0}" for i in range(9)]
    found = load(table(tmp_path, "a,b,label", rows), takes(2, classes=2))
    assert found.classes == ("False", "True")
    np.testing.assert_array_equal(found.evaluation.inputs["image"][:, 0], found.evaluation.labels)
