from __future__ import annotations

import pytest

from bitpick.data.load import load
from bitpick.errors import DataError


def test_an_unknown_name_gets_a_hint():
    with pytest.raises(DataError) as error:
        load("cifar-10")
    assert "did you mean cifar10?" in str(error.value)


def test_a_folder_without_a_data_set(tmp_path):
    with pytest.raises(DataError, match="holds no CIFAR-10"):
        load(tmp_path)
