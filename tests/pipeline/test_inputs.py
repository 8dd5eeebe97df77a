from __future__ import annotations

from dataclasses import replace

import pytest

from bitpick.conversion import route as routes
from bitpick.engines.fake.engine import FakeEngine
from bitpick.models.model import Format, Signature, Tensor, prepared
from bitpick.pipeline import fit
from bitpick.recipe import Recipe

PLAIN = Recipe.parse("fake:s8s8-per_tensor-minmax")
EQUALIZED = Recipe.parse("fake:s8s8-per_tensor-minmax+equalize")


@pytest.fixture
def free(known):
    """Inputs of a model with axes that are free beside the batch."""
    signature = Signature((Tensor("image", (None, None, 3)),), known.inputs.signature.outputs)
    interface = fit.interface(signature, known.inputs.evaluation, known.inputs.task)
    return replace(known.inputs, signature=signature, interface=interface)


def sizes(inputs, recipe):
    return inputs.interface_of(recipe).inputs[0].shape


def test_a_build_takes_any_size_where_the_model_does(free):
    assert sizes(free, PLAIN) == sizes(free, EQUALIZED) == (None, None, 3)


def test_a_build_of_an_engine_that_fixes_sizes_takes_that_of_the_samples(free, monkeypatch):
    monkeypatch.setattr(FakeEngine, "fixed_shapes", True)
    assert sizes(free, PLAIN) == (4, 4, 3)


def test_a_build_takes_the_size_that_a_conversion_on_its_way_fixed(free, monkeypatch):
    hops = [replace(hop, sized=hop.target == Format.PYTORCH) for hop in routes.hops()]
    monkeypatch.setattr(routes, "hops", lambda: hops)
    assert sizes(free, PLAIN) == (None, None, 3)
    monkeypatch.setattr(FakeEngine, "accepts", (Format.PYTORCH,))
    assert sizes(free, PLAIN) == sizes(free, EQUALIZED) == (4, 4, 3)


def test_a_graph_that_passes_prepared_goes_another_way_than_the_users_own_file(free, monkeypatch):
    direct = (Format.KERAS, Format.LITERT)
    hops = [replace(hop, sized=(hop.source, hop.target) == direct) for hop in routes.hops()]
    monkeypatch.setattr(routes, "hops", lambda: hops)
    monkeypatch.setattr(FakeEngine, "accepts", (Format.LITERT,))
    keras = replace(free, format=Format.KERAS)
    assert sizes(keras, PLAIN) == (4, 4, 3)
    assert sizes(keras, EQUALIZED) == (None, None, 3)


def test_the_users_own_file_is_its_form_and_others_lie_in_the_run(known):
    directory = known.shop.directory
    assert known.inputs.path(Format.RAW_ONNX, directory) == known.inputs.source
    assert known.inputs.path(Format.ONNX, directory) == directory.form(Format.ONNX)
    equalized = prepared(Format.ONNX, ["equalize"])
    assert known.inputs.path(equalized, directory).name == "onnx+equalize.onnx"
