from __future__ import annotations

import numpy as np
import pytest

from bitpick.datasets.load import data_source, load
from bitpick.errors import DataError
from tests.datasets.conftest import takes

pytestmark = pytest.mark.usefixtures("own_cache")


def says(data, *words: str, **said) -> None:
    with pytest.raises(DataError) as error:
        load(data, takes(6, 8, 3), said)
    for each in words:
        assert each in str(error.value)


def test_an_unknown_name_gets_a_hint():
    says("cifar-10", "there is no data set 'cifar-10'", "did you mean cifar10?", "a folder of pictures")


def test_a_path_that_is_nearly_there(tmp_path):
    (tmp_path / "photos").mkdir()
    says(tmp_path / "fotos" / "train", "did you mean photos?")
    says(tmp_path / "zzz", f"{tmp_path} has no 'zzz'")


def test_a_folder_without_a_data_set(tmp_path):
    says(tmp_path, "holds no data set: it is empty")
    (tmp_path / "cats").mkdir()
    says(tmp_path, "holds no data set: it has cats, without a picture in them")
    (tmp_path / "cats").rmdir()
    (tmp_path / "thesis.txt").write_text("years")
    says(tmp_path, "holds no data set: it has thesis.txt")
    (tmp_path / "all.csv").write_text("a,b\n1,2\n")
    says(tmp_path, f"name the file: --data {tmp_path / 'all.csv'}")
    says(tmp_path / "thesis.txt", "is a .txt file, which bitpick does not read")


def test_two_places_of_a_yaml_file(tmp_path, photos):
    photos({"cat": 3, "dog": 3}, name="a")
    photos({"cat": 2, "dog": 1}, name="b")
    (tmp_path / "data.yaml").write_text("calibration: a\nevaluation: b\n")
    found = load(tmp_path / "data.yaml", takes(6, 8, 3, classes=2))
    assert (found.calibration.count, found.evaluation.count) == (6, 3)
    (tmp_path / "data.yaml").write_text("calibration: a\nevaluation: c\n")
    says(tmp_path / "data.yaml", "there is no data set")


def test_two_files_of_a_yaml_file(tmp_path):
    for name, count in (("one.npz", 5), ("two.npz", 7)):
        np.savez(tmp_path / name, x=np.zeros((count, 3), np.float32), y=np.arange(count) % 2)
    (tmp_path / "data.yaml").write_text("calibration: one.npz\nevaluation: two.npz\n")
    found = load(tmp_path / "data.yaml", takes(3, classes=2))
    assert (found.calibration.count, found.evaluation.count) == (5, 7)


def test_the_command_line_goes_before_a_yaml_file(tmp_path):
    (tmp_path / "data.yaml").write_text("data: cifar10\nscale: 255\nmean: 0.5\n")
    found = data_source(tmp_path / "data.yaml", {"scale": "1"})
    assert found.data == "cifar10"
    assert (found.options.scale, found.options.mean) == (1.0, 0.5)


def test_a_yaml_file_that_is_not_there(tmp_path):
    says(tmp_path / "no.yaml", "there is no data set")


def test_options_are_part_of_what_is_asked_for():
    assert data_source("cifar10", {"scale": "255"}).options.said == {"scale": 255.0}
    assert data_source("cifar10").options.said == {}
