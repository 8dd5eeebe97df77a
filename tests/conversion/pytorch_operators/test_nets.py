"""Whole nets, as an exporter writes them: imported, and through everything that PyTorch's engines do to a module."""

from __future__ import annotations

import warnings
from collections import Counter

import numpy as np
import onnx
import pytest

from bitpick.conversion import canonical_onnx, pytorch_from_onnx
from tests.conversion.pytorch_operators.nodes import in_onnxruntime

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'bitpick[pytorch]'")
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

pytestmark = pytest.mark.frameworks


def separable(inputs, outputs, stride):
    """A depthwise convolution and a pointwise one."""
    return [
        nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False), nn.BatchNorm2d(inputs), nn.ReLU6(),
        nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU6(),
    ]  # fmt: skip


def mobile():
    stem, head = [nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU6()], [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4)]
    return nn.Sequential(*stem, *separable(8, 16, 1), *separable(16, 16, 2), *head)


class Audio(nn.Module):
    """Convolutions along time."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv1d(1, 8, 9, 4, 4), nn.Conv1d(8, 8, 3, padding=2, dilation=2)
        self.norm, self.head = nn.GroupNorm(2, 8), nn.Linear(8, 3)

    def forward(self, x):
        x = functional.leaky_relu(self.norm(functional.max_pool1d(self.first(x), 2)))
        return functional.log_softmax(self.head(functional.hardswish(self.second(x)).mean(-1)), 1)


class Encoder(nn.Module):
    """A transformer encoder with a class token, on token ids."""

    def __init__(self):
        super().__init__()
        self.table, self.token = nn.Embedding(50, 16), nn.Parameter(torch.randn(1, 1, 16))
        self.position = nn.Parameter(torch.randn(1, 12, 16))
        layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, activation="gelu", norm_first=True)
        self.encoder, self.head = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(16, 3)

    def forward(self, ids):
        x = self.table(ids) + self.position
        x = torch.cat([self.token.expand(ids.shape[0], -1, -1), x], 1)
        return self.head(self.encoder(x)[:, 0])


class Tabular(nn.Module):
    """Numbers and a category to a number."""

    def __init__(self):
        super().__init__()
        self.numbers, self.category, self.head = nn.Linear(5, 8), nn.Embedding(10, 4), nn.Linear(12, 1)

    def forward(self, numbers, category):
        return self.head(torch.cat([functional.elu(self.numbers(numbers)), self.category(category).flatten(1)], 1))


class Segmenter(nn.Module):
    """Down, up again in two ways, two outputs."""

    def __init__(self):
        super().__init__()
        self.down, self.deeper = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 16, 3, 2, 1)
        self.up, self.last = nn.ConvTranspose2d(16, 8, 2, 2), nn.Conv2d(16, 1, 1)

    def forward(self, x):
        x = functional.silu(self.down(x))
        x = torch.cat([x, self.up(functional.gelu(self.deeper(x)))], 1)
        mask = functional.interpolate(self.last(x), scale_factor=2, mode="bilinear")
        return torch.sigmoid(mask), x.amax((2, 3))


class Recurrent(nn.Module):
    """The last step of a recurrent layer in both directions."""

    def __init__(self):
        super().__init__()
        self.layer, self.head = nn.LSTM(6, 8, batch_first=True, bidirectional=True), nn.Linear(16, 3)

    def forward(self, x):
        return self.head(self.layer(x)[0][:, -1])


IMAGE = (torch.randn(5, 3, 16, 16),)
# A net, a batch for it, and modules that its imported form must have.
NETS = {
    "depthwise": (mobile, IMAGE, {"Conv2d": 5, "ReLU6": 5, "Linear": 1}),
    "audio": (Audio, (torch.randn(5, 1, 64),), {"Conv1d": 2, "MaxPool1d": 1, "Linear": 1}),
    "transformer": (Encoder, (torch.randint(0, 50, (5, 12)),), {"Embedding": 1, "Linear": 9, "LayerNorm": 4}),
    "tabular": (Tabular, (torch.randn(5, 5), torch.randint(0, 10, (5, 1))), {"Linear": 2, "Embedding": 1, "ELU": 1}),
    "segmenter": (Segmenter, IMAGE, {"Conv2d": 3, "ConvTranspose2d": 1, "Upsample": 1}),
    "recurrent": (Recurrent, (torch.randn(5, 7, 6),), {"LSTM": 1, "Linear": 1}),
}


@pytest.fixture(scope="module", params=NETS)
def net(request, tmp_path_factory):
    """The imported module, a batch of two samples, one of five, what ONNX Runtime gives for it, the modules to have."""
    make, batch, kinds = NETS[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(0)
    two = tuple(array[:2] for array in batch)
    names = [f"x{i}" for i in range(len(batch))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that needs no package of its own is the deprecated one
        torch.onnx.export(
            make().eval(), two, str(folder / "raw.onnx"), dynamo=False, opset_version=17,
            input_names=names, dynamic_axes={name: {0: "n"} for name in names},
        )  # fmt: skip
    canonical_onnx.convert(str(folder / "raw.onnx"), str(folder / "clean.onnx"))
    pytorch_from_onnx.convert(str(folder / "clean.onnx"), str(folder / "m.pt"))
    expected = in_onnxruntime(onnx.load(folder / "clean.onnx"))([array.numpy() for array in batch])
    return pytorch_from_onnx.load(folder / "m.pt"), two, batch, expected, kinds


def agree(found, expected, tolerance=1e-4):
    found = found if isinstance(found, tuple | list) else (found,)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.detach().numpy(), other, rtol=tolerance, atol=tolerance)


def test_it_has_the_modules_that_quantizers_know(net):
    module, _, _, _, kinds = net
    found = Counter(type(child).__name__ for child in module.children())
    assert {kind: found[kind] for kind in kinds} == kinds


def test_it_computes_what_the_graph_does_at_another_batch_size(net):
    module, _, batch, expected, _ = net
    agree(module(*batch), expected)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_it_can_be_traced(net):
    module, two, batch, expected, _ = net
    agree(torch.jit.trace(module, two, check_trace=False)(*batch), expected)


@pytest.mark.filterwarnings("ignore:The tensor attributes")  # of any LSTM
def test_it_can_be_exported_with_a_free_batch(net):
    module, two, batch, expected, _ = net
    free = tuple({0: torch.export.Dim("batch")} for _ in two)
    agree(torch.export.export(module, two, dynamic_shapes=free).module()(*batch), expected)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_fx_quantizes_it(net):
    from torch.ao.quantization import get_default_qconfig_mapping
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

    module, two, batch, expected, _ = net
    engine = torch.backends.quantized.engine
    prepared = prepare_fx(module, get_default_qconfig_mapping(engine), two)
    prepared(*batch)
    agree(convert_fx(prepared)(*batch), expected, tolerance=0.3)
