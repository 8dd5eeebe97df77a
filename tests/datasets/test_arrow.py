from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from bitpick.datasets import arrow
from bitpick.datasets.load import load
from bitpick.datasets.options import checked
from bitpick.errors import DataError
from tests.conftest import skip_or_fail
from tests.datasets.conftest import takes

pytestmark = pytest.mark.usefixtures("own_cache")
ROWS = {"a": [float(i) for i in range(20)], "b": [i % 7 for i in range(20)], "kind": [i % 2 for i in range(20)]}


@pytest.fixture
def parquet():
    """The library that writes tables."""
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        skip_or_fail("pyarrow", "pyarrow is not installed")
    return lambda rows, path: parquet.write_table(pa.table(rows), path)


@pytest.fixture
def datasets():
    """The library that writes data sets."""
    try:
        import datasets
    except ImportError:
        skip_or_fail("datasets", "datasets is not installed")
    datasets.disable_progress_bars()
    return datasets


def test_a_parquet_table(tmp_path, parquet):
    parquet(ROWS, tmp_path / "a.parquet")
    found = load(tmp_path / "a.parquet", takes(2), checked({"labels": "kind"}))
    features = found.evaluation.inputs["image"]
    np.testing.assert_array_equal(features[:, 0] % 7, features[:, 1])
    np.testing.assert_array_equal(features[:, 0] % 2, found.evaluation.labels)


def test_shards_with_the_names_of_splits(tmp_path, parquet):
    (tmp_path / "data").mkdir()
    for shard in range(2):
        parquet(ROWS, tmp_path / "data" / f"train-{shard:05}-of-00002.parquet")
    parquet(ROWS, tmp_path / "data" / "test-00000-of-00001.parquet")
    found = load(tmp_path, takes(2), checked({"labels": "kind"}))
    assert (found.calibration.count, found.evaluation.count) == (40, 20)


def test_sequences_are_arrays(tmp_path, parquet):
    parquet(
        {"wave": [[float(i), 2.0 * i, 3.0 * i] for i in range(10)], "label": ["x", "y"] * 5}, tmp_path / "a.parquet"
    )
    found = load(tmp_path / "a.parquet", takes(3, name="wave"))
    np.testing.assert_array_equal(found.evaluation.inputs["wave"][:, 2], 3 * found.evaluation.inputs["wave"][:, 0])
    assert found.classes == ("x", "y")


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ({"a": [1.0, None], "label": [1, 2]}, "row 2: the column a is empty"),
        ({"a": [[1.0], [1.0, 2.0]], "label": [1, 2]}, "have different lengths"),
    ],
)
def test_cells_that_are_no_numbers(tmp_path, parquet, rows, says):
    parquet(rows, tmp_path / "a.parquet")
    with pytest.raises(DataError, match=says):
        load(tmp_path / "a.parquet", takes(1, name="a"))


def test_a_damaged_file(tmp_path, parquet):
    parquet(ROWS, tmp_path / "a.parquet")
    (tmp_path / "a.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:100])
    with pytest.raises(DataError, match=r"a\.parquet cannot be read"):
        load(tmp_path / "a.parquet", takes(2))


def test_without_the_library_it_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    monkeypatch.setattr(arrow, "installed_version", lambda package: None)
    with pytest.raises(DataError) as error:
        load(tmp_path / "a.parquet", takes(2))
    assert error.value.fix == "pip install 'bitpick[arrow]'"


def pictures(datasets, count: int):
    images = [Image.fromarray(np.full((5, 5, 3), (i, 0, 0), np.uint8)) for i in range(count)]
    features = datasets.Features({"img": datasets.Image(), "kind": datasets.ClassLabel(names=["dog", "cat"])})
    return datasets.Dataset.from_dict({"img": images, "kind": [i % 2 for i in range(count)]}, features=features)


def test_pictures_with_named_classes_as_datasets_saves_them(tmp_path, datasets):
    splits = datasets.DatasetDict({"train": pictures(datasets, 6), "test": pictures(datasets, 10)})
    splits.save_to_disk(tmp_path / "set")
    found = load(tmp_path / "set", takes(5, 5, 3, classes=2))
    assert found.classes == ("dog", "cat")
    assert (found.calibration.count, found.evaluation.count) == (6, 10)
    np.testing.assert_array_equal(found.evaluation.inputs["image"][:, 0, 0, 0], np.arange(10))
    np.testing.assert_array_equal(found.evaluation.labels, np.arange(10) % 2)
    turned = load(tmp_path / "set", takes(5, 5, 3, classes=2), checked({"classes": "cat,dog"}))
    np.testing.assert_array_equal(turned.evaluation.labels, 1 - np.arange(10) % 2)


def test_what_was_selected_is_what_is_read(tmp_path, datasets):
    chosen = pictures(datasets, 20).select([3, 1, 8, 5, 9, 11, 12, 14])
    chosen.save_to_disk(tmp_path / "set", num_shards=2)
    found = load(tmp_path / "set", takes(5, 5, 3, classes=2), checked({"split": 0.5}))
    seen = [int(v) for s in (found.calibration, found.evaluation) for v in s.inputs["image"][:, 0, 0, 0]]
    assert sorted(seen) == [1, 3, 5, 8, 9, 11, 12, 14]


def test_features_as_datasets_saves_them(tmp_path, datasets):
    datasets.Dataset.from_dict(ROWS).save_to_disk(tmp_path / "set")
    found = load(tmp_path / "set", takes(2), checked({"labels": "kind"}))
    np.testing.assert_array_equal(found.evaluation.inputs["image"][:, 0] % 2, found.evaluation.labels)


def test_a_damaged_picture_is_named_by_its_row(tmp_path, datasets):
    features = datasets.Features({"img": datasets.Image(decode=False), "label": datasets.Value("int64")})
    datasets.Dataset.from_dict(
        {"img": [{"bytes": b"broken", "path": None}] * 3, "label": [0, 1, 0]}, features=features
    ).save_to_disk(tmp_path / "set")
    with pytest.raises(DataError, match="row 1 cannot be decoded"):
        load(tmp_path / "set", takes(5, 5, 3))


def test_a_directory_that_is_not_whole(tmp_path, datasets):
    datasets.Dataset.from_dict(ROWS).save_to_disk(tmp_path / "set")
    (file,) = json.loads((tmp_path / "set" / "state.json").read_text())["_data_files"]
    (tmp_path / "set" / file["filename"]).unlink()
    with pytest.raises(DataError, match="is not whole"):
        load(tmp_path / "set", takes(2))
    (tmp_path / "set" / "state.json").write_text("{")
    with pytest.raises(DataError, match=r"its state\.json names no files"):
        load(tmp_path / "set", takes(2))


def test_the_index_that_pandas_writes_is_no_feature(tmp_path, parquet):
    parquet(ROWS | {"__index_level_0__": list(range(20))}, tmp_path / "a.parquet")
    found = load(tmp_path / "a.parquet", takes(2), checked({"labels": "kind"}))
    assert "__index_level_0__, the index that pandas wrote, is left out" in found.notes


def test_words_beside_the_features_may_be_the_labels(tmp_path, parquet):
    parquet(ROWS | {"kind": ["x", "y"] * 10}, tmp_path / "a.parquet")
    with pytest.raises(DataError, match="bitpick cannot tell whether kind in"):
        load(tmp_path / "a.parquet", takes(2))
    assert load(tmp_path / "a.parquet", takes(2), checked({"inputs": {"image": ["a", "b"]}})).evaluation.labels is None
