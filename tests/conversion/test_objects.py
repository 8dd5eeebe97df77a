from __future__ import annotations

import pytest

from bitpick.conversion import objects
from bitpick.errors import ModelError


def test_what_is_no_model_of_a_framework_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"the model is a builtins\.dict") as error:
        objects.save({}, tmp_path / "folder")
    assert error.value.expected == "a path, a keras.Model or a torch.nn.Module"
    assert not (tmp_path / "folder").exists()
    assert not objects.needs_example({})


@pytest.mark.frameworks
def test_objects(pool, tmp_path):
    told = pool.run("pytorch", "format_steps:save_objects", {"folder": tmp_path}).value
    assert "example=" in told["refused"][0]
    assert "builtins.str" in told["refused"][1]
    assert (told["kind"], told["training"]) == ("PROGRAM", True)
    assert told["name"] == str(tmp_path / "Sequential.pt2")
    assert pool.run("keras", "format_steps:save_keras_object", {"folder": tmp_path}).value == ["KERAS", "SAVED_MODEL"]
