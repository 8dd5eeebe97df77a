from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bitpick.datasets.dataset import Samples
from bitpick.engines.engine import SessionSettings
from bitpick.engines.pytorch_fx import engine as module
from bitpick.engines.pytorch_fx.engine import PyTorchFxEngine
from bitpick.errors import EngineError, Unsupported
from bitpick.preprocessing import Preprocessing
from bitpick.recipe import Recipe, baseline
from bitpick.targets.host import this_host
from tests.engines.pytorch_fx.modules import two_layers

ENGINE = PyTorchFxEngine()
STATIC = Recipe.parse("pytorch_fx:s8u8-per_channel-histogram")
UNSIGNED = "PyTorch's quantized convolution and linear take signed 8-bit weights only, on every back-end"


def test_unsigned_weights_are_offered_as_a_row_that_says_why_there_is_none():
    (offer,) = (o for o in ENGINE.recipes(None, this_host()) if o.recipe.weight_dtype == "u8")
    assert offer.unsupported == ENGINE.refusal(offer.recipe) == UNSIGNED


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("s8u8-per_tensor-histogram", "granularity per_tensor with s8u8: it has per_channel"),
        ("s8u8-per_channel-histogram+fbgemm+onednn", "fbgemm and onednn at once"),
        ("s8s8-per_channel-histogram", "dtypes s8s8: it has s8u8, float32"),
    ],
)
def test_what_it_has_not_is_refused_with_what_it_has(text, told):
    assert ENGINE.refusal(Recipe.parse(f"pytorch_fx:{text}")) == f"pytorch_fx does not have {told}"


@pytest.mark.parametrize(("machine", "others"), [("AMD64", ["fbgemm", "onednn"]), ("aarch64", [])])
def test_the_other_back_ends_of_x86_are_rows_of_their_own_there(machine, others):
    offers = ENGINE.recipes(None, replace(this_host(), machine=machine))
    assert [name for offer in offers for name in offer.recipe.options] == others


@pytest.fixture
def build(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'bitpick[pytorch]'")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(60, 3, 4, 4)).astype(np.float32))
    samples = Samples(inputs=(tmp_path / "x.npy",), count=60, sha256="0", preprocessing=(Preprocessing(),))

    def make(recipe, net=None):
        torch.save(net or two_layers(), tmp_path / "m.pt")
        folder = tmp_path / recipe.file_name
        folder.mkdir()
        return ENGINE.build(tmp_path / "m.pt", recipe, samples, None, folder)

    return make


frameworks = [pytest.mark.frameworks, pytest.mark.filterwarnings("ignore")]


def marked(function):
    for mark in frameworks:
        function = mark(function)
    return function


def integers(build):
    found = ENGINE.inspect(build, (np.ones((1, 3, 4, 4), np.float32),)).operators
    return [operator.integer for operator in found if operator.weight is not None]


@marked
def test_a_layer_that_is_excluded_stays_in_float(build):
    scoped = STATIC.model_copy(update={"exclude": ("conv",), "name": "scoped"})
    assert integers(build(STATIC)) == [True, True]
    assert integers(build(scoped)) == [False, True]
    with pytest.raises(EngineError, match="called like 'conv2'"):
        build(scoped.model_copy(update={"exclude": ("conv2",), "name": "wrong"}))


@marked
def test_a_build_ships_the_back_end_that_its_recipe_names_and_leaves_the_process_its_own(build):
    import torch

    before = torch.backends.quantized.engine
    other = next(
        name
        for name in ("onednn", "qnnpack", "fbgemm")
        if name in torch.backends.quantized.supported_engines and name != before
    )
    made = build(STATIC.model_copy(update={"options": {other: ""}}))
    assert made.settings == {"torch.backends.quantized.engine": other}
    assert build(baseline("pytorch_fx")).settings == {}
    assert torch.backends.quantized.engine == before
    batch = np.random.default_rng(1).normal(size=(5, 3, 4, 4)).astype(np.float32)
    with ENGINE.open(made, SessionSettings()) as session:
        assert torch.backends.quantized.engine == other
        (found,) = session.outputs(session.run(session.prepare((batch,))))
    assert torch.backends.quantized.engine == before
    assert (found.shape, found.dtype) == ((5, 4), np.float32)


@marked
def test_a_back_end_that_this_pytorch_lacks_is_told_with_what_it_has(monkeypatch):
    torch = pytest.importorskip("torch")
    before = torch.backends.quantized.engine
    with (
        pytest.raises(Unsupported, match=r"has no xnnpack back-end: it has .*\b" + before),
        module._backend(STATIC.model_copy(update={"options": {"xnnpack": ""}})),
    ):
        pass
    assert torch.backends.quantized.engine == before


@marked
def test_what_a_mask_blows_up_stays_in_float_and_is_told(build):
    torch = pytest.importorskip("torch")

    class Masked(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.dense = torch.nn.Linear(48, 4)
            self.register_buffer("mask", torch.tensor([0, 0, -1e9, 0]))

        def forward(self, x):
            return torch.softmax(self.dense(torch.flatten(x, 1)) + self.mask, 1)

    net = torch.fx.symbolic_trace(Masked().eval())
    net.onnx_inputs = [("x", (None, 3, 4, 4), "float32")]
    made = build(STATIC, net)
    (told,) = made.notes
    assert told.startswith("pytorch_fx leaves add, softmax in float: ")
    assert integers(made) == [True]
