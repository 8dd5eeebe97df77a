"""SavedModels: which are opened, and by what."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from bitpick.errors import ModelError
from tests.conversion.saved_model_steps import WEIGHT

pytestmark = pytest.mark.frameworks


def run(pool, folder, name):
    return pool.run("keras", "saved_model_steps:run", {"source": folder / name, "inputs": folder / "x.npy"}).value


@pytest.mark.parametrize("name", ["trained", "unsigned", "mixed", "captured", "captured_unsigned"])
def test_it_is_opened_and_written_so_that_tensorflow_alone_opens_it(pool, saved_models, name):
    told = run(pool, saved_models, name)
    expected = np.load(saved_models / "x.npy") @ WEIGHT
    np.testing.assert_allclose(told["found"], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(told["written"], told["found"])
    assert (told["weights"], told["names"]) == (WEIGHT.size, ["x"])


def test_of_several_signatures_none_is_guessed(pool, saved_models):
    with pytest.raises(ModelError, match="has the signatures fit, predict"):
        run(pool, saved_models, "two")


def test_only_a_folder_with_parts_missing_was_not_copied_whole(pool, saved_models):
    for name, damage in (("cut", lambda place: (place / "saved_model.pb").write_bytes(b"\x0a\xff")),
                         ("bare", lambda place: shutil.rmtree(place / "variables"))):  # fmt: skip
        shutil.copytree(saved_models / "trained", saved_models / name)
        damage(saved_models / name)
        with pytest.raises(ModelError, match="check that the folder was copied whole"):
            run(pool, saved_models, name)
