from __future__ import annotations

import numpy as np
import pytest

from bitpick.datasets.dataset import Samples
from bitpick.engines import pt2e
from bitpick.preprocessing import Preprocessing

pytestmark = [pytest.mark.frameworks, pytest.mark.filterwarnings("ignore")]
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def torch():
    pytest.importorskip("torchao", reason="torchao is not installed: pip install 'bitpick[pytorch]'")
    return pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'bitpick[pytorch]'")


def greedy():
    """A quantizer that annotates every operator and each of its inputs, whatever they are."""
    import torch
    from torchao.quantization.pt2e import HistogramObserver
    from torchao.quantization.pt2e.quantizer import QuantizationAnnotation, QuantizationSpec, Quantizer

    spec = QuantizationSpec(
        dtype=torch.int8,
        observer_or_fake_quant_ctr=HistogramObserver.with_args(eps=2**-12),
        quant_min=-128,
        quant_max=127,
        qscheme=torch.per_tensor_affine,
    )

    class Greedy(Quantizer):
        def annotate(self, model):
            for node in model.graph.nodes:
                if node.op == "call_function":
                    inputs = dict.fromkeys(node.all_input_nodes, spec)
                    node.meta["quantization_annotation"] = QuantizationAnnotation(inputs, spec, _annotated=True)
            return model

        def validate(self, model):
            pass

    return Greedy()


def module(torch, mask):
    """Scores, to which a mask is added, and their softmax; a table is looked up at the place that is told."""

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.dense, self.table = torch.nn.Linear(4, 6), torch.nn.Embedding(10, 6)

        def forward(self, x, kept, ids):
            scores = self.dense(x) + (1 - kept) * mask
            return torch.softmax(scores, 1) + self.table(ids + 1)

    torch.manual_seed(0)
    found = torch.fx.symbolic_trace(Net().eval())
    found.onnx_inputs = [("x", (None, 4), "float32"), ("kept", (None, 6), "float32"), ("ids", (None,), "int64")]
    return found


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("samples")
    kept = (RNG.random((60, 6)) < 0.7).astype(np.float32)
    arrays = {"x": RNG.normal(size=(60, 4)).astype(np.float32), "kept": kept, "ids": RNG.integers(0, 9, 60)}
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    plain, whole = Preprocessing(), Preprocessing(dtype="int64")
    paths = tuple(tmp_path / f"{name}.npy" for name in arrays)
    return Samples(inputs=paths, count=60, sha256="0", preprocessing=(plain, plain, whole))


def quantized(found):
    """The operators whose inputs are all dequantized."""
    computing = [n for n in found.graph.nodes if n.op == "call_function" and "quantize" not in str(n.target)]
    return {
        node.name
        for node in computing
        if all("dequantize" in str(each.target) for each in node.all_input_nodes if each.op != "get_attr")
    }


@pytest.fixture(scope="module")
def masked(torch, samples):
    """A module with a mask, its quantized twin, and what that leaves in float."""
    floats = module(torch, -1e9)
    return floats, *pt2e.quantize(floats, greedy(), samples)


def test_what_a_mask_blows_up_and_arithmetic_on_integers_are_taken_back_from_the_quantizer(masked):
    _, found, left = masked
    assert left == ["rsub", "mul", "add", "softmax"]
    assert quantized(found) == {"linear", "add_2"}  # not what is done with the ids


def test_a_quantized_module_takes_any_number_of_samples_and_answers_nearly_the_same(torch, samples, masked):
    floats, found, _ = masked
    for count in (1, 7):
        batch = tuple(map(torch.from_numpy, next(samples.head(count).batches(count))))
        with torch.no_grad():
            expected, given = floats(*batch), found(*batch)
        assert 0 < float((given - expected).abs().max()) < 0.05 * float(expected.abs().max())


def test_without_a_mask_only_arithmetic_on_integers_is_taken_back_from_what_a_rewrite_leaves(torch, samples):
    def without_softmax(program):
        for node in program.graph.nodes:
            if node.name == "softmax":
                node.replace_all_uses_with(node.args[0])
        program.graph.eliminate_dead_code()
        program.recompile()

    found, left = pt2e.quantize(module(torch, -3), greedy(), samples, without_softmax)
    assert left == []
    assert quantized(found) == {"linear", "rsub", "mul", "add", "add_2"}
