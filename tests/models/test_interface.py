from __future__ import annotations

import pytest
from pydantic import ValidationError

from bitpick.models.interface import Input, Interface, Output
from bitpick.models.model import Signature, Tensor

SOUND = Interface(
    inputs=(Input(name="sound", shape=(None, 2), stored="int16", stored_shape=(800, 2)), Input(name="rate", shape=())),
    outputs=(Output(name="scores", shape=(3,)), Output(name="count", shape=None, dtype="int64")),
    task="classification",
    classes=("a", "b", "c"),
)


def test_a_build_for_one_shape_has_that_shape_and_nothing_else_of_its_own():
    fixed = SOUND.fixed([(800, 2), ()])
    assert [each.shape for each in fixed.inputs] == [(800, 2), ()]
    assert fixed.fixed([(None, 2), ()]) == SOUND
    assert SOUND.inputs[0].shape == (None, 2)


def test_every_input_gets_a_shape():
    with pytest.raises(ValueError, match="shorter"):
        SOUND.fixed([(800, 2)])


def test_what_the_model_takes_and_gives_is_told_without_how_it_is_prepared():
    assert SOUND.signature == Signature(
        (Tensor("sound", (None, 2)), Tensor("rate", ())), (Tensor("scores", (3,)), Tensor("count", None, "int64"))
    )


def test_a_file_with_a_word_that_is_not_known_is_no_interface():
    told = SOUND.model_dump(mode="json")
    assert Interface.model_validate(told) == SOUND
    told["outputs"][0]["scale"] = 0.5
    with pytest.raises(ValidationError, match=r"outputs\.0\.scale"):
        Interface.model_validate(told)
