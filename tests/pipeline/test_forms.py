from __future__ import annotations

import pytest

from bitpick.conversion import route as routes
from bitpick.conversion.hop import Hop
from bitpick.engines.fake.engine import FakeEngine
from bitpick.engines.onnxruntime.engine import OnnxRuntimeEngine
from bitpick.errors import ModelError
from bitpick.models.model import Format, Tensor
from bitpick.pipeline import forms
from bitpick.recipe import Recipe, baseline
from tests.conftest import linear_model

PLAIN = Recipe.parse("fake:s8s8-per_tensor-minmax")
EQUALIZED = Recipe.parse("fake:s8s8-per_tensor-minmax+equalize+pool_as_mean")


class Picky(FakeEngine):
    name = "picky"
    environment = "picky"
    accepts = (Format.EXPORTED, Format.PYTORCH)
    runs = (Format.PYTORCH,)
    packages = ("no-such-distribution",)
    extra = "picky"


def test_the_engine_that_runs_a_form_is_one_that_is_installed(use_engines):
    class Other(Picky):
        name = "other"
        packages = ()

    use_engines(Picky(), Other())
    assert forms.runner_of(Format.PYTORCH)[1] == baseline("other")
    use_engines(FakeEngine(), Picky())
    with pytest.raises(ModelError, match="no engine that is installed runs pytorch models") as raised:
        forms.runner_of(Format.PYTORCH)
    assert raised.value.fix == "no-such-distribution is not installed: pip install 'bitpick[picky]'"


def test_a_recipe_starts_from_the_first_form_that_there_is_a_way_to(use_engines):
    use_engines(FakeEngine(), Picky())
    picky = Recipe.parse("picky:s8s8-per_tensor-minmax")
    assert forms.start_form(PLAIN, Format.RAW_ONNX) is Format.ONNX
    assert forms.start_form(picky, Format.RAW_ONNX) is Format.PYTORCH  # no way leads back to a program
    assert forms.start_form(picky, Format.EXPORTED) is Format.EXPORTED
    assert forms.start_form(PLAIN, Format.LITERT) is None


def test_passes_prepare_the_clean_graph_whatever_the_model_is(use_engines):
    use_engines(FakeEngine(), Picky())
    assert forms.start_form(EQUALIZED, Format.KERAS) == "onnx+equalize+pool_as_mean"
    picky = Recipe.parse("picky:s8s8-per_tensor-minmax+equalize")
    assert forms.start_form(picky, Format.EXPORTED) == "pytorch+equalize"
    assert forms.start_form(picky, Format.LITERT) is None


def test_a_recipe_without_a_way_says_from_where_there_is_none(use_engines):
    use_engines(FakeEngine(), Picky())
    assert forms.unreachable(PLAIN, Format.RAW_ONNX) is None
    assert forms.unreachable(PLAIN, Format.LITERT) == "it starts from onnx, and no conversion goes there from litert"
    told = "it starts from onnx, and no conversion goes there from the clean graph"
    assert forms.unreachable(EQUALIZED, Format.LITERT) == told


def test_a_file_says_what_it_takes_and_gives_and_what_that_needs_of_memory(new_shop, dataset, model_file):
    shop = new_shop()
    signature = forms.signature_of(model_file, shop.runner, OnnxRuntimeEngine.environment)
    assert signature.inputs == (Tensor("image", (4, 4, 3)),)
    assert signature.outputs == (Tensor("scores", (4,)),)
    samples = dataset.samples(dataset.evaluation)
    found = forms.with_activations(samples, model_file, shop.runner, OnnxRuntimeEngine.environment)
    assert found.activations.peak >= 48 * 4  # the floats of a sample, at least
    assert found.model_copy(update={"activations": None}) == samples


def test_memory_that_nobody_can_tell_is_none(new_shop, dataset, tmp_path):
    wide = linear_model(tmp_path / "wide.onnx", shape=(8, 8, 3))  # it does not run with these samples
    samples = dataset.samples(dataset.evaluation)
    assert forms.with_activations(samples, wide, new_shop().runner, OnnxRuntimeEngine.environment).activations is None


def test_a_conversion_whose_libraries_are_not_here_is_refused_with_the_line_that_installs_them(monkeypatch):
    hops = (Hop(Format.KERAS, Format.RAW_ONNX, "keras", ("numpy", "no-such-distribution"), "m:f"), *routes.hops())
    monkeypatch.setattr(routes, "hops", lambda: hops)
    with pytest.raises(
        ModelError, match="keras → raw_onnx needs no-such-distribution, which is not installed"
    ) as error:
        forms.check_installed(Format.KERAS)
    assert error.value.fix == "pip install 'bitpick[keras]', or give the model as .onnx"
    forms.check_installed(Format.RAW_ONNX)
